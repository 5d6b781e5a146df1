#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "metrics/interval.h"

namespace kvgauge {

/// Ranks from 1, equal values share the mean of theirs. Infinities are values like others; no NaN.
std::vector<double> midranks(std::span<const double> values);

/// Product-moment correlation; NaN when one side is constant or there are fewer than two values.
double pearson(std::span<const double> x, std::span<const double> y);

/// Pearson's of the midranks (Spearman's rho).
double spearman(std::span<const double> x, std::span<const double> y);

/// (concordant - discordant) / sqrt((pairs - ties in x)(pairs - ties in y)); NaN when one side is constant.
/// Knight's algorithm, O(n log n).
double kendall_tau_b(std::span<const double> x, std::span<const double> y);

/// Spearman correlation of x and y with z held fixed: the correlation of what a linear fit on z's ranks leaves of
/// theirs,
///   (r_xy - r_xz r_yz) / sqrt((1 - r_xz^2)(1 - r_yz^2))
/// NaN when the ranks of z determine those of x or y.
struct PartialCorrelation {
  std::int64_t n = 0;
  double xy = kUndefined, xz = kUndefined, yz = kUndefined;
  double partial = kUndefined;
  Interval ci95 = {};  ///< tanh(atanh(r) -+ 1.96 sqrt(1.06 / (n - 4))): Fieller, Hartley, Pearson 1957, one control
};
/// @param x,y,z_ranks midranks of the three
PartialCorrelation partial_correlation(std::span<const double> x_ranks, std::span<const double> y_ranks,
                                       std::span<const double> z_ranks);
PartialCorrelation partial_spearman(std::span<const double> x, std::span<const double> y, std::span<const double> z);

}  // namespace kvgauge
