#pragma once
#include <cmath>
#include <cstddef>
#include <span>

#include "core/check.h"
#include "kvgauge/scores.h"

namespace kvgauge {

inline constexpr double kNoDistance =
    1e-12;  ///< a closed loop, or ends that point the same way: nothing to normalise by

/// Sums over the differences of a trajectory in ascending token order, in double (METHOD.md A.3). The one place for
/// this arithmetic: back ends that keep dr and dtheta at home and score/ must agree in every bit.
/// @param dr, dtheta T-1 values each
template <class Float>
TrajectorySums sum_trajectory(std::span<const Float> dr, std::span<const Float> dtheta, double end_dr,
                              double end_dtheta) {
  KVGAUGE_CHECK(dr.size() == dtheta.size(), "dr has ", dr.size(), " values, dtheta ", dtheta.size());
  TrajectorySums sums{.tokens = static_cast<std::int64_t>(dr.size()) + 1, .end_dr = end_dr, .end_dtheta = end_dtheta};
  const bool has_scale = end_dr > kNoDistance && end_dtheta > kNoDistance;
  for (std::size_t t = 0; t < dr.size(); ++t) {
    const double r = dr[t], theta = dtheta[t];
    sums.sum_dr += r;
    sums.sum_dtheta += theta;
    sums.sum_dr_cos += r * std::cos(theta);
    sums.sum_dr_sin += r * std::sin(theta);
    if (!has_scale) continue;
    const double m = r / end_dr, a = theta / end_dtheta;
    sums.sum_m_cos_a += m * std::cos(a);
    sums.sum_m_sin_a += m * std::sin(a);
  }
  if (!has_scale) sums.sum_m_cos_a = sums.sum_m_sin_a = kUndefined;
  return sums;
}

}  // namespace kvgauge
