#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "metrics/interval.h"

namespace kvgauge {

/// Isotonic regression: the non-decreasing function of x that is nearest to the labels in least squares (pool adjacent
/// violators), as blocks from low to high.
struct IsotonicFit {
  struct Block {
    double first = 0, last = 0;  ///< x of its lowest and highest row
    double value = 0;            ///< mean label of its rows
  };
  std::vector<Block> blocks;
  /// Linear between blocks, constant beyond the outermost. NaN without blocks.
  double at(double x) const;
};
/// @param x finite. Equal x are one point. Cost: one sort
IsotonicFit isotonic_fit(std::span<const double> x, std::span<const std::uint8_t> correct);

/// P(correct) of each row by an isotonic fit on the midranks of the rows outside its fold; folds are dealt by a hash of
/// the row's position. So no row is judged by a fit that has seen its label.
std::vector<double> cross_fitted_probabilities(std::span<const double> scores, std::span<const std::uint8_t> correct,
                                               int folds = 5);

/// Probabilities against outcomes in bins of equal width; empty bins are left out.
struct Reliability {
  struct Bin {
    std::int64_t n = 0;
    double predicted = 0, correct = 0;  ///< mean probability, share of right rows
    Interval ci95 = {};                 ///< of the share: Wilson 1927
  };
  std::vector<Bin> bins;
  double ece = kUndefined;    ///< sum n_b |correct_b - predicted_b| / n  (expected calibration error)
  double brier = kUndefined;  ///< mean (probability - label)^2
};
/// @param probabilities in [0, 1]
Reliability reliability(std::span<const double> probabilities, std::span<const std::uint8_t> correct, int bins = 10);

/// Wilson's 95 % interval of a share.
Interval wilson_interval(double successes, double n);

}  // namespace kvgauge
