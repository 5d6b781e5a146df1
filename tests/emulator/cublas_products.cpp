// The arithmetic of the emulated cuBLASLt: 16-wide vectors, compiled for three instruction sets from one text. All give
// the same bits, because no product is fused with its addition (-ffp-contract=off) and no lane depends on the width.
#include "cublas_products.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace kvgauge::cuda::emulator {
namespace {

constexpr std::int64_t kWidth = 16;
using Vector = float __attribute__((vector_size(kWidth * sizeof(float)), aligned(4)));
#define KVGAUGE_INLINE inline __attribute__((always_inline))

/// By reference: a vector returned by value has an ABI of its own in every instruction set.
KVGAUGE_INLINE void load(Vector& to, const float* from) { std::memcpy(&to, from, sizeof(to)); }

/// Sums Rows x Columns elements in lanes, beginning at row i and column j.
template <int Rows, int Columns>
KVGAUGE_INLINE void lanes_tile(const ProductOperands& o, std::int64_t i, std::int64_t j) {
  Vector sums[Rows][Columns] = {};
  std::int64_t k = 0;
  for (; k + kWidth <= o.k; k += kWidth) {
    Vector a[Rows];
    for (int r = 0; r < Rows; ++r) load(a[r], o.a + (i + r) * o.a_stride + k);
    for (int c = 0; c < Columns; ++c) {
      Vector b;
      load(b, o.b + (j + c) * o.b_stride + k);
      for (int r = 0; r < Rows; ++r) sums[r][c] += a[r] * b;
    }
  }
  for (int r = 0; r < Rows; ++r)
    for (int c = 0; c < Columns; ++c) {
      float lanes[kWidth];
      std::memcpy(lanes, &sums[r][c], sizeof(lanes));
      for (std::int64_t rest = k; rest < o.k; ++rest)
        lanes[rest - k] += o.a[(i + r) * o.a_stride + rest] * o.b[(j + c) * o.b_stride + rest];
      for (std::int64_t half = kWidth / 2; half > 0; half /= 2)
        for (std::int64_t l = 0; l < half; ++l) lanes[l] += lanes[l + half];
      o.d[(j + c) * o.d_stride + i + r] = lanes[0];
    }
}

KVGAUGE_INLINE void lanes(const ProductOperands& o) {
  std::int64_t j = 0;
  for (; j + 4 <= o.n; j += 4) {
    std::int64_t i = 0;
    for (; i + 4 <= o.m; i += 4) lanes_tile<4, 4>(o, i, j);
    for (; i < o.m; ++i) lanes_tile<1, 4>(o, i, j);
  }
  for (; j < o.n; ++j) {
    std::int64_t i = 0;
    for (; i + 4 <= o.m; i += 4) lanes_tile<4, 1>(o, i, j);
    for (; i < o.m; ++i) lanes_tile<1, 1>(o, i, j);
  }
}

constexpr std::int64_t kPanel = 2 * kWidth;  // rows of a, transposed to [k][kPanel]

template <int Columns>
KVGAUGE_INLINE void sequence_tile(const ProductOperands& o, const float* panel, std::int64_t i, std::int64_t rows,
                                  std::int64_t j) {
  Vector sums[Columns][2] = {};
  for (std::int64_t k = 0; k < o.k; ++k) {
    Vector low, high;
    load(low, panel + k * kPanel);
    load(high, panel + k * kPanel + kWidth);
    for (int c = 0; c < Columns; ++c) {
      const float b = o.b[(j + c) * o.b_stride + k];
      sums[c][0] += low * b;
      sums[c][1] += high * b;
    }
  }
  for (int c = 0; c < Columns; ++c)
    std::memcpy(o.d + (j + c) * o.d_stride + i, sums[c], static_cast<std::size_t>(rows) * sizeof(float));
}

KVGAUGE_INLINE void sequence(const ProductOperands& o, float* panel) {
  for (std::int64_t i = 0; i < o.m; i += kPanel) {
    const std::int64_t rows = std::min(kPanel, o.m - i);
    for (std::int64_t r = 0; r < kPanel; ++r)
      for (std::int64_t k = 0; k < o.k; ++k) panel[k * kPanel + r] = r < rows ? o.a[(i + r) * o.a_stride + k] : 0.0f;
    std::int64_t j = 0;
    for (; j + 4 <= o.n; j += 4) sequence_tile<4>(o, panel, i, rows, j);
    for (; j < o.n; ++j) sequence_tile<1>(o, panel, i, rows, j);
  }
}

__attribute__((target("avx512f"))) void lanes_avx512(const ProductOperands& o) { lanes(o); }
__attribute__((target("avx2"))) void lanes_avx2(const ProductOperands& o) { lanes(o); }
void lanes_portable(const ProductOperands& o) { lanes(o); }
__attribute__((target("avx512f"))) void sequence_avx512(const ProductOperands& o, float* panel) { sequence(o, panel); }
__attribute__((target("avx2"))) void sequence_avx2(const ProductOperands& o, float* panel) { sequence(o, panel); }
void sequence_portable(const ProductOperands& o, float* panel) { sequence(o, panel); }

const bool kHasAvx512 = __builtin_cpu_supports("avx512f") != 0;
const bool kHasAvx2 = __builtin_cpu_supports("avx2") != 0;

}  // namespace

void product_in_lanes(const ProductOperands& operands) {
  (kHasAvx512 ? lanes_avx512 : kHasAvx2 ? lanes_avx2 : lanes_portable)(operands);
}

void product_in_sequence(const ProductOperands& operands) {
  thread_local std::vector<float> panel;
  panel.resize(static_cast<std::size_t>(std::max<std::int64_t>(operands.k, 1) * kPanel));
  (kHasAvx512 ? sequence_avx512 : kHasAvx2 ? sequence_avx2 : sequence_portable)(operands, panel.data());
}

}  // namespace kvgauge::cuda::emulator
