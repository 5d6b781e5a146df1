#pragma once
// RoPE's angles, for the kernels that turn K and for those that turn it back.
#include "cuda/device.cuh"

namespace kvgauge::cuda {

struct Rotation {
  float cosine, sine;
};

/// Cosine and sine of an angle (up to 2^31 in magnitude), to 1e-15 before they are rounded to f32. The library's double
/// functions keep a table for huge angles on the stack; this has neither.
///   angle = n pi/2 + r, |r| <= pi/4, pi/2 in two parts: r is off by less than 2^-53
///   Taylor: sin r up to r^15, cos r up to r^16; the next terms are below (pi/4)^17/17! < 5e-17
__device__ __forceinline__ Rotation rotation_by(double angle) {
  const double n = rint(angle * 0x1.45f306dc9c883p-1);
  const double r = fma(-n, 0x1.1a62633145c07p-54, fma(-n, 0x1.921fb54442d18p0, angle)), z = r * r;
  constexpr double kSin[] = {-1. / 1307674368000, 1. / 6227020800, -1. / 39916800, 1. / 362880,
                             -1. / 5040,          1. / 120,        -1. / 6,        1.};
  constexpr double kCos[] = {
      1. / 20922789888000, -1. / 87178291200, 1. / 479001600, -1. / 3628800, 1. / 40320, -1. / 720, 1. / 24, -0.5, 1.};
  double sine = kSin[0], cosine = kCos[0];
  for (int i = 1; i < 8; ++i) sine = fma(sine, z, kSin[i]);
  for (int i = 1; i < 9; ++i) cosine = fma(cosine, z, kCos[i]);
  sine *= r;
  const auto quarter = static_cast<unsigned>(static_cast<long long>(n)) & 3u;
  const double c = quarter % 2 == 0 ? cosine : sine, s = quarter % 2 == 0 ? sine : cosine;
  return {static_cast<float>(quarter == 1 || quarter == 2 ? -c : c), static_cast<float>(quarter >= 2 ? -s : s)};
}

}  // namespace kvgauge::cuda
