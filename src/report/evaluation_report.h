#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "core/json.h"
#include "metrics/evaluation.h"
#include "metrics/selection.h"

namespace kvgauge {

/// Everything a report says, but the rows themselves.
struct EvaluationReport {
  Evaluation evaluation = {};
  SelectionResult selection = {};  ///< no questions: the rows have no candidates

  // Where it comes from.
  std::string label = "correct";                           ///< the field that was taken for the truth
  std::int64_t released_graded = 0, released_correct = 0;  ///< rows that have a `paper_correct`, and where it is true
  std::string input = {}, input_sha256 = {};               ///< the hash is empty for a pipe
  std::int64_t failed = 0;                                 ///< rows with an error, which are not among the evaluated
  std::string first_error = {};
  std::int64_t ungraded_candidates = 0;  ///< rows left out of the selection: a candidate has no label
  std::optional<Json> manifest = {};     ///< of the job that made the answers
};

/// The fields of the command line's contract: fractions, undefined numbers null; and more, listed in
/// docs/cli/evaluate.md.
OrderedJson evaluation_json(const EvaluationReport& report);

/// A summary, then tables: all rows, complete rows, controls and verdicts, comparisons, selection. Metrics in percent
/// with two decimals as papers print them.
std::string evaluation_markdown(const EvaluationReport& report);

/// One line per score (or baseline) and subset, fractions at full precision, undefined numbers empty; RFC 4180 quoting.
std::string evaluation_csv(const EvaluationReport& report);

}  // namespace kvgauge
