#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/json.h"
#include "grade/grader.h"
#include "metrics/evaluation.h"
#include "metrics/selection.h"

namespace kvgauge {

/// The steps of one answer, kept to be drawn (rows of `run --trajectory`).
struct ExampleTrajectory {
  std::string id;
  bool correct = false;
  std::vector<double> dr, dtheta;  ///< unit of the cache entries; radians
};

/// What is read of graded rows.
struct GradedRowsOptions {
  std::vector<std::string> wanted = {};  ///< paths of the only scores to read; empty: all
  std::string label = "correct";         ///< the field that says whether an answer is right, e.g. paper_correct
  std::optional<Dataset> dataset = {};   ///< predictions that its grader finds equal vote together; else equal texts do
};

/// Graded rows as the columns of an evaluation. Memory: one number per row and score, and a few per question with
/// candidates.
///
/// Of a row are read: the label; `finish_reason` (complete unless it is there and not "stop"); the sampled tokens under
/// `usage`; every number under `scores` by its dotted path and under `group_scores` by "group_scores." and its path;
/// and `candidates`, the answers that were sampled for the question, with `selected`, the index of the one that was
/// kept. Scores that a row lacks are undefined there. Batch rows have these under response.body.kvgauge.
class GradedRows {
 public:
  explicit GradedRows(GradedRowsOptions options = {});

  /// @throws FormatError if the row has no label
  void add(const OrderedJson& row, std::string_view where);

  /// Call once, after the last row. @throws InputError without a graded row, UsageError if no row has a wanted score
  void finish(std::string_view file);

  const EvaluationInput& columns() const { return columns_; }
  const SelectionTable& selection() const { return selection_; }
  std::vector<std::string> score_names() const;
  std::int64_t failed() const { return failed_; }  ///< rows that carry an error; they are in no column
  std::int64_t released_correct() const { return released_correct_; }  ///< rows right by `paper_correct`
  std::int64_t released_graded() const { return released_graded_; }    ///< rows that have a `paper_correct`
  const std::string& first_error() const { return first_error_; }
  std::int64_t ungraded_candidates() const { return ungraded_candidates_; }  ///< rows whose candidates have no labels
  const std::optional<ExampleTrajectory>& example(bool correct) const { return examples_[correct ? 1 : 0]; }

 private:
  std::size_t column(const std::string& path);
  bool is_wanted(const std::string& path) const;
  template <class Put>
  void walk(const OrderedJson& scores, const std::string& prefix, int depth, const Put& put);
  const OrderedJson* label_of(const OrderedJson& answer) const;
  void merge_votes(std::vector<Candidate>& answers) const;
  void add_candidates(const OrderedJson& candidates, std::int64_t chosen);
  void keep_example(const OrderedJson& row, const OrderedJson& fields, bool correct);

  GradedRowsOptions options_;
  EvaluationInput columns_;
  std::unordered_map<std::string, std::size_t> column_of_;
  std::vector<bool> higher_, seen_;
  SelectionTable selection_;
  std::int64_t failed_ = 0, ungraded_candidates_ = 0, released_correct_ = 0, released_graded_ = 0;
  std::string first_error_;
  std::optional<ExampleTrajectory> examples_[2];
};

}  // namespace kvgauge
