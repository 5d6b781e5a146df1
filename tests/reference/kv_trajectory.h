#pragma once
#include <cmath>
#include <cstdint>
#include <vector>

#include "reference/kv_coe.h"

namespace kvgauge::testing {

/// The mean of the layers' vectors: e of one position.
inline std::vector<double> reference_trajectory_point(const std::vector<std::vector<double>>& layers) {
  std::vector<double> e(layers[0].size(), 0.0);
  for (std::size_t i = 0; i < e.size(); ++i) {
    for (const auto& layer : layers) e[i] += layer[i];
    e[i] /= static_cast<double>(layers.size());
  }
  return e;
}

/// The K heads at the start of e, cached at `position`, as they were before RoPE: the rotation's inverse, half layout.
inline void reference_turn_back(std::vector<double>& e, int heads, int head_dim, std::int64_t position,
                                const std::vector<double>& inverse_frequencies) {
  const int half = head_dim / 2;
  for (int head = 0; head < heads; ++head)
    for (int i = 0; i < half; ++i) {
      double& low = e[static_cast<std::size_t>(head * head_dim + i)];
      double& high = e[static_cast<std::size_t>(head * head_dim + half + i)];
      const double angle = -static_cast<double>(position) * inverse_frequencies[static_cast<std::size_t>(i)];
      const double x = low, y = high;
      low = x * std::cos(angle) - y * std::sin(angle);
      high = y * std::cos(angle) + x * std::sin(angle);
    }
}

struct TrajectoryStepReference {
  double dr, dtheta;
};
inline TrajectoryStepReference reference_trajectory_step(const std::vector<double>& u, const std::vector<double>& v) {
  return {reference_distance(u, v), reference_angle(u, v)};
}

}  // namespace kvgauge::testing
