#pragma once
#include <cstdint>

namespace kvgauge::cuda::emulator {

/// d[j][i] = sum_k a[i][k] b[j][k] in f32, one multiplication and one addition per term. Leading dimensions in
/// elements.
struct ProductOperands {
  const float* a = nullptr;  ///< [m][k]
  std::int64_t a_stride = 0;
  const float* b = nullptr;  ///< [n][k]
  std::int64_t b_stride = 0;
  float* d = nullptr;  ///< [n][m]
  std::int64_t d_stride = 0;
  std::int64_t m = 0, n = 0, k = 0;
};

/// Each element is one chain over ascending k.
void product_in_sequence(const ProductOperands& operands);

/// Each element is 16 chains (k = l mod 16), added pairwise at the end: another rounding than product_in_sequence.
void product_in_lanes(const ProductOperands& operands);

}  // namespace kvgauge::cuda::emulator
