#pragma once
#include <cstdint>
#include <span>

#include "kvgauge/scores.h"

namespace kvgauge {

struct Interval {
  double low = kUndefined, high = kUndefined;
};

struct BootstrapOptions {
  int resamples = 1000;
  std::uint64_t seed = 0;
  double coverage = 0.95;
};

/// Percentile bootstrap interval of AUROC over resamples of the rows with replacement: the central `coverage` of the
/// values, linear between order statistics. Resamples with one class only have no AUROC and are left out. The same seed
/// draws the same rows for every score of equal length, so scores are compared on the same resamples. NaN where AUROC
/// itself is undefined. Cost: one sort, then O(rows) per resample.
Interval auroc_interval(std::span<const double> scores, std::span<const std::uint8_t> correct,
                        const BootstrapOptions& options = {});

}  // namespace kvgauge
