#pragma once
#include <cstdint>
#include <span>

#include "metrics/correlation.h"
#include "metrics/interval.h"

namespace kvgauge {

/// What a score says of correctness among answers of one length. Two views with complementary blind spots:
/// the partial correlation holds length fixed exactly but only along a straight line of ranks; the matched AUROC makes
/// no such assumption but lets lengths differ a little within a stratum.
struct LengthControl {
  std::int64_t n = 0, right = 0, wrong = 0;  ///< rows whose length is known
  PartialCorrelation spearman = {};          ///< x = score, y = correct, z = tokens
  std::int64_t strata = 0;                   ///< that have at least two rows of each class
  double matched_auroc = kUndefined;         ///< over pairs (right, wrong) of one stratum
  Interval matched_ci95 = {};                ///< from DeLong's variance of each stratum
};

/// Strata: quantiles of length, min(10, max(1, smaller class / 5)) of them; rows of equal length share one.
///   matched AUROC = sum_s pairs_s AUROC_s / sum_s pairs_s, variance = sum_s pairs_s^2 var_s / (sum_s pairs_s)^2
/// @param scores without NaN. @param tokens negative = unknown, the row is left out
LengthControl control_for_length(std::span<const double> scores, std::span<const std::uint8_t> correct,
                                 std::span<const std::int64_t> tokens);

}  // namespace kvgauge
