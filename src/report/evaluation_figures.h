#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "metrics/evaluation.h"
#include "report/evaluation_report.h"
#include "report/graded_rows.h"

namespace kvgauge {

/// The figures of an evaluation as HTML <figure> elements with inline SVG. Figures are numbered in the order in which
/// they are made: one object per document.
class EvaluationFigures {
 public:
  EvaluationFigures(const Evaluation& evaluation, const EvaluationInput& columns)
      : evaluation_(evaluation), columns_(columns) {}

  std::string aurocs();                                     ///< every score with its interval, all and complete rows
  std::string roc(const std::vector<std::string>& scores);  ///< and beside it risk over coverage
  std::string score(const ScoreEvaluation& score);          ///< five panels
  std::string trajectories(const GradedRows& rows);         ///< empty without an example
  std::string selection(const SelectionResult& selection);

  /// Scores to draw, all or, when there are more than `most`, at most so many of: kv_coe.normalized.r and .c, and the
  /// two that rank best of each group (first part of the path), without copies of one ranking and token counts.
  std::vector<std::string> chosen(std::size_t most) const;

 private:
  struct Ranked;  ///< one score's rows in the form that panels need
  Ranked ranked(std::string_view name) const;
  std::string roc_panel(const std::vector<std::string>& scores, bool wide);
  std::string risk_panel(const std::vector<std::string>& scores, bool wide);
  std::string histogram_panel(const ScoreEvaluation& score);
  std::string reliability_panel(const ScoreEvaluation& score);
  std::string length_panel(const ScoreEvaluation& score);
  std::string trajectory_panel(const GradedRows& rows, bool angles);

  const Evaluation& evaluation_;
  const EvaluationInput& columns_;
  int figures_ = 0;
};

}  // namespace kvgauge
