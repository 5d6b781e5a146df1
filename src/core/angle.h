#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "core/host_device.h"

namespace kvgauge {

inline constexpr double kZeroNorm = 1e-12;  ///< a vector shorter than this has no direction (METHOD.md A.5)

/// The angle between u and v in radians, [0, pi], from one pass of sums: |u-v|^2, |u| and |v|, all in double.
///   q = (|u-v|^2 - (|u|-|v|)^2) / (|u||v|) = 2 - 2 cos(theta),  theta = 2 asin(sqrt(q) / 2)
/// Near 0, where neighbouring tokens lie, it keeps the digits that acos(dot / (|u||v|)) loses. A numerator within the
/// rounding of its own terms is 0 (parallel states), and one as close to 4|u||v| is that (opposite states): the root of
/// such a remainder would read as an angle of 1e-8, and end-to-end parallel states must be seen to be so. Both vectors
/// shorter than kZeroNorm: 0. One of them: pi/2. NaN propagates.
KVGAUGE_HOST_DEVICE inline double angle(double difference_squared, double norm_u, double norm_v) {
  const bool u_is_zero = norm_u < kZeroNorm, v_is_zero = norm_v < kZeroNorm;
  if (u_is_zero && v_is_zero) return 0;
  if (u_is_zero || v_is_zero) return std::numbers::pi / 2;
  const double norms_apart = norm_u - norm_v, norms_sum = norm_u + norm_v;
  const double numerator = difference_squared - norms_apart * norms_apart;
  const double rounding =
      4 * std::numeric_limits<double>::epsilon() * (difference_squared + std::abs(norms_apart) * norms_sum);
  if (numerator <= rounding) return 0;
  if (norms_sum * norms_sum - difference_squared <= rounding) return std::numbers::pi;
  return 2 * std::asin(0.5 * std::sqrt(std::clamp(numerator / (norm_u * norm_v), 0.0, 4.0)));
}

}  // namespace kvgauge
