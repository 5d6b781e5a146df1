#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "metrics/interval.h"

namespace kvgauge {

/// Linear between order statistics, at position (n - 1) q of the ascending values, as numpy.quantile. NaN if there are
/// none. @param q 0 to 1
double quantile_of_sorted(std::span<const double> sorted, double q);
/// The same of values in any order.
double quantile(std::vector<double> values, double q);
inline double median(std::vector<double> values) { return quantile(std::move(values), 0.5); }

/// What is told of repeated measurements. Everything is NaN where there are none.
struct SampleSummary {
  std::int64_t n = 0;
  double mean = kUndefined;
  double std = kUndefined;  ///< of the values themselves (divisor n), as numpy.std
  double min = kUndefined, q25 = kUndefined, median = kUndefined, q75 = kUndefined, max = kUndefined;
};
SampleSummary summarize(std::vector<double> values);

/// An interval for the median of a distribution of any shape, from order statistics: with B ~ Binomial(n, 1/2) and k
/// the largest rank with P(B < k) <= (1 - coverage) / 2, it is [x_(k), x_(n+1-k)]. Holds the median with at least that
/// probability. NaN where there are too few values for any such k (under 6 for 95 %).
Interval median_interval(std::vector<double> values, double coverage = 0.95);

/// What a change costs, from pairs that were measured side by side: ratio = time with it / time without. Between two
/// ratios means are geometric, so that exchanging the sides gives the reciprocal.
struct PairedRatio {
  std::int64_t pairs = 0;
  double ratio = kUndefined;  ///< median of the pairs' ratios
  Interval ci95;              ///< median_interval() of them
  double q25 = kUndefined, q75 = kUndefined;
};
/// @param off,on positive times, one of each a pair
PairedRatio paired_ratio(std::span<const double> off, std::span<const double> on);

}  // namespace kvgauge
