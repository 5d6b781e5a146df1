#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kvgauge/scores.h"

namespace kvgauge::testing {

inline TokenLogitStats reference_logits_stats(const std::vector<float>& logits, int chosen) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> finite;
  for (const float z : logits) {
    if (std::isnan(z) || z == std::numeric_limits<float>::infinity()) return {nan, nan, nan, nan, nan, nan};
    if (std::isfinite(z)) finite.push_back(z);
  }
  if (finite.empty()) return {nan, nan, nan, nan, nan, nan};
  std::sort(finite.begin(), finite.end());
  const double maximum = finite.back();
  double sum = 0;
  for (const double z : finite) sum += std::exp(z - maximum);
  const double log_sum = maximum + std::log(sum);
  TokenLogitStats stats;
  stats.max_prob = std::exp(maximum - log_sum);
  stats.max_logprob = maximum - log_sum;
  stats.second_prob = finite.size() > 1 ? std::exp(finite[finite.size() - 2] - log_sum) : 0;
  stats.chosen_logprob = static_cast<double>(logits[static_cast<std::size_t>(chosen)]) - log_sum;
  for (const double z : finite) {
    stats.entropy -= std::exp(z - log_sum) * (z - log_sum);
    stats.mean_logprob += (z - log_sum) / static_cast<double>(finite.size());
  }
  return stats;
}

}  // namespace kvgauge::testing
