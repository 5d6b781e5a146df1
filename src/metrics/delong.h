#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "metrics/interval.h"

namespace kvgauge {

/// AUROC and its variance from placement values.
///   V10_i = P(a wrong row scores less than right row i) + P(level)/2, V01_j = the same of wrong row j among right rows
///   AUROC = mean V10 = mean V01,  variance = var(V10)/right + var(V01)/wrong, sample variances
/// Source: DeLong, DeLong, Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
/// characteristic curves", 1988; placements from one sort (Sun, Xu 2014).
struct AurocEstimate {
  double auroc = kUndefined;
  double variance = kUndefined;  ///< NaN with fewer than two rows of a class
};
AurocEstimate auroc_estimate(std::span<const double> scores, std::span<const std::uint8_t> correct);

/// Two scores of the same rows.
struct DeLongComparison {
  AurocEstimate a, b;
  double covariance = kUndefined;
  double difference = kUndefined;      ///< AUROC a - AUROC b
  double standard_error = kUndefined;  ///< of the difference: sqrt(var a + var b - 2 cov)
  double z = kUndefined;
  double p = kUndefined;  ///< two-sided; 1 if the rankings do not differ, NaN if they do and the error is 0
  Interval ci95 = {};     ///< of the difference
};
DeLongComparison compare_aurocs(std::span<const double> a, std::span<const double> b,
                                std::span<const std::uint8_t> correct);

}  // namespace kvgauge
