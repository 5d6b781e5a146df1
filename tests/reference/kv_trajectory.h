#pragma once
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

struct TrajectoryStepReference {
  double dr, dtheta;
};
inline TrajectoryStepReference reference_trajectory_step(const std::vector<double>& u, const std::vector<double>& v) {
  return {reference_distance(u, v), reference_angle(u, v)};
}

}  // namespace kvgauge::testing
