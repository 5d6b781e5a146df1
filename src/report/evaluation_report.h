#pragma once
#include <string>

#include "core/json.h"
#include "metrics/evaluation.h"

namespace kvgauge {

/// `evaluate`'s result in the fields of the command line's contract: fractions, undefined numbers null. Besides it:
/// accuracy, truncated, nan_policy, complete_only counts, baselines (shaped like scores), higher_is_better per score.
OrderedJson evaluation_json(const Evaluation& evaluation);

/// A summary, then two tables, all rows and complete rows; metrics in percent with two decimals as papers print them.
std::string evaluation_markdown(const Evaluation& evaluation);

/// One line per score (or baseline) and subset, fractions at full precision, undefined numbers empty; RFC 4180 quoting.
std::string evaluation_csv(const Evaluation& evaluation);

}  // namespace kvgauge
