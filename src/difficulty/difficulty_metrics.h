#pragma once
#include <cstdint>
#include <span>

#include "metrics/interval.h"

namespace kvgauge {

/// What predicted difficulties are worth against labels, with percentile bootstrap intervals over questions. Rows count
/// alike, whatever they weighed in training.
struct DifficultyMetrics {
  std::int64_t rows = 0, questions = 0;
  Estimate mse, spearman;
  Estimate auroc;       ///< of label >= 75; NaN where one class is absent
  Estimate slow_share;  ///< of rows with d > tau
};
/// @param d finite
/// @param questions [rows], rows of one question are drawn together
DifficultyMetrics difficulty_metrics(std::span<const float> d, std::span<const float> labels,
                                     std::span<const std::uint64_t> questions, double tau, int resamples,
                                     std::uint64_t seed);

}  // namespace kvgauge
