// The emulated product: operands brought to one form, multiplied by cublas_products.cpp, parts of K added up in their
// order.
#include <bit>
#include <cstring>

#include "core/dtype.h"
#include "cublas_problem.h"
#include "cublas_products.h"

namespace kvgauge::cuda::emulator::blas {
namespace {

/// Element as f32; TF32 keeps ten bits of the fraction, rounded to nearest.
float element(const void* data, std::int64_t index, int type, bool tf32) {
  const auto i = static_cast<std::size_t>(index);
  if (type == CUDA_R_16BF) return to_float(static_cast<const bf16_t*>(data)[i]);
  if (type == CUDA_R_16F) return to_float(static_cast<const half_t*>(data)[i]);
  const float value = static_cast<const float*>(data)[i];
  if (!tf32) return value;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return std::bit_cast<float>((bits + 0xfffu + (bits >> 13 & 1u)) & ~0x1fffu);
}

/// op(X) as f32 with k side by side: [lines of m or n][k]. Where it lies in memory like that it is used in place.
struct Operand {
  const float* data;
  std::int64_t stride;
};
Operand with_k_inside(const Call& call, int i, std::vector<float>& storage) {
  const Problem& p = call.problem;
  const Layout& x = p.matrices[i];
  const bool tf32 = p.operation.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  const void* data = i == 0 ? call.a : call.b;
  const std::int64_t lines = i == 0 ? p.m : p.n;
  // op(A) is [m, k]: element (line, k) of A, or (k, line) if it is transposed; op(B) is [k, n]
  const bool k_is_row = (i == 0) == (p.operation.transposed[i] != CUBLAS_OP_N);
  const bool side_by_side = k_is_row == (x.order == CUBLASLT_ORDER_COL);
  if (side_by_side && x.type == CUDA_R_32F && !tf32) return {static_cast<const float*>(data), x.ld};
  storage.resize(static_cast<std::size_t>(lines * p.k));
  for (std::int64_t line = 0; line < lines; ++line) {
    float* out = storage.data() + line * p.k;
    if (side_by_side && x.type == CUDA_R_16BF) {  // the common case, as a loop that vectorises
      const auto* from = static_cast<const bf16_t*>(data) + line * x.ld;
      for (std::int64_t k = 0; k < p.k; ++k) out[k] = to_float(from[k]);
      continue;
    }
    for (std::int64_t k = 0; k < p.k; ++k)
      out[k] = element(data, k_is_row ? x.at(k, line) : x.at(line, k), x.type, tf32);
  }
  return {storage.data(), p.k};
}

void store(const Call& call, std::int64_t row, std::int64_t column, float sum) {
  const Layout& c = call.problem.matrices[2];
  const Layout& d = call.problem.matrices[3];
  float value = call.alpha * sum;
  if (call.beta != 0) value += call.beta * element(call.c, c.at(row, column), c.type, false);
  const auto at = static_cast<std::size_t>(d.at(row, column));
  if (d.type == CUDA_R_32F) static_cast<float*>(call.d)[at] = value;
  if (d.type == CUDA_R_16BF) static_cast<bf16_t*>(call.d)[at] = to_bf16(value);
  if (d.type == CUDA_R_16F) static_cast<half_t*>(call.d)[at] = to_half(value);
}

}  // namespace

void execute(const Call& call) {
  thread_local std::vector<float> a_storage, b_storage, sums;
  const Problem& p = call.problem;
  const Operand a = with_k_inside(call, 0, a_storage), b = with_k_inside(call, 1, b_storage);
  const Layout& d = p.matrices[3];
  const auto size = static_cast<std::size_t>(p.m * p.n);
  const std::int32_t parts = call.algorithm.parts;
  const bool in_place =
      parts == 1 && d.type == CUDA_R_32F && d.order == CUBLASLT_ORDER_COL && call.alpha == 1 && call.beta == 0;
  if (!in_place) sums.assign(size, 0.0f);
  for (std::int32_t part = 0; part < parts; ++part) {
    const std::int64_t begin = p.k * part / parts, end = p.k * (part + 1) / parts;
    float* const out = in_place    ? static_cast<float*>(call.d)
                       : parts > 1 ? call.workspace + static_cast<std::size_t>(part) * size
                                   : sums.data();
    (call.algorithm.kernel == Kernel::kSequence ? product_in_sequence : product_in_lanes)(
        {a.data + begin, a.stride, b.data + begin, b.stride, out, in_place ? d.ld : p.m, p.m, p.n, end - begin});
  }
  if (in_place) return;
  for (std::int32_t part = 0; parts > 1 && part < parts; ++part)
    for (std::size_t i = 0; i < size; ++i) sums[i] += call.workspace[static_cast<std::size_t>(part) * size + i];
  for (std::int64_t column = 0; column < p.n; ++column)
    for (std::int64_t row = 0; row < p.m; ++row)
      store(call, row, column, sums[static_cast<std::size_t>(column * p.m + row)]);
}

}  // namespace kvgauge::cuda::emulator::blas
