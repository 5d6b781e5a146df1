// residual[r, :] += x[r, :] (if x is given);  out[r, :] = residual[r, :] / sqrt(mean(residual[r, :]^2) + eps) * weight.
// One block per row, four neighbouring columns a thread and step. A thread keeps its first kKeptPacks steps in
// registers, which is the whole row up to 16,384 columns, so the residual is read once: rows * columns * (4, + 8 with
// x, + out element) bytes and the weight once per row (from the second-level cache). The number of threads follows from
// `columns` alone: the sum has one order whatever the number of rows.
#include "cuda/rms_norm.h"

#include <algorithm>
#include <limits>

#include "core/check.h"
#include "cuda/row_access.cuh"

namespace kvgauge::cuda {

struct RmsNormKernelArgs {
  float* residual;
  const float* x;  // nullptr: nothing to add
  const float* weight;
  void* out;  // nullptr: only the sum is wanted
  std::int64_t residual_stride, x_stride, out_stride;
  int columns;  // 32 bits within a row: with 64 the compiler reassociates the addresses and splits 16-byte accesses
  float eps;
};

inline constexpr int kRmsNormThreads = 1024;
inline constexpr int kKeptPacks = 4;

template <class Out, bool kWhole>
__global__ void __launch_bounds__(kRmsNormThreads) rms_norm_kernel(RmsNormKernelArgs a) {
  __shared__ float scratch[kWarpSize];
  using Values = Pack<float, 4>;
  const std::int64_t row = blockIdx.x;
  const int columns = a.columns, step = static_cast<int>(blockDim.x) * 4, first = static_cast<int>(threadIdx.x) * 4;
  float* const residual = a.residual + row * a.residual_stride;
  const bool adds = a.x != nullptr;
  const float* const x = adds ? a.x + row * a.x_stride : nullptr;
  float squares = 0;
  const auto count_in = [&](const Values& values) {
    for (int i = 0; i < 4; ++i) squares = fmaf(values.values[i], values.values[i], squares);
  };

  Values kept[kKeptPacks], added[kKeptPacks] = {};
  for (int p = 0; p < kKeptPacks; ++p)
    kept[p] = load_values<kWhole, 4>(residual + first + p * step, columns - first - p * step);
  if (adds)
    for (int p = 0; p < kKeptPacks; ++p)
      added[p] = load_values<kWhole, 4>(x + first + p * step, columns - first - p * step);
  for (int p = 0; p < kKeptPacks; ++p) {
    const int column = first + p * step;
    if (adds) {
      for (int i = 0; i < 4; ++i) kept[p].values[i] += added[p].values[i];
      store_values<kWhole>(residual + column, kept[p], columns - column);
    }
    count_in(kept[p]);
  }
  for (int column = first + kKeptPacks * step; column < columns; column += step) {
    Values values = load_values<kWhole, 4>(residual + column, columns - column);
    if (adds) {
      const Values more = load_values<kWhole, 4>(x + column, columns - column);
      for (int i = 0; i < 4; ++i) values.values[i] += more.values[i];
      store_values<kWhole>(residual + column, values, columns - column);
    }
    count_in(values);
  }
  if (a.out == nullptr) return;  // the whole grid leaves

  const float factor = 1.f / sqrtf(block_sum(squares, scratch) / static_cast<float>(columns) + a.eps);
  Out* const out = static_cast<Out*>(a.out) + row * a.out_stride;
  const auto write = [&](int column, Values values) {
    const Values weight = load_values<kWhole, 4>(a.weight + column, columns - column);
    for (int i = 0; i < 4; ++i) values.values[i] = values.values[i] * factor * weight.values[i];
    store_values<kWhole>(out + column, narrowed<Out>(values), columns - column);
  };
  for (int p = 0; p < kKeptPacks; ++p) write(first + p * step, kept[p]);
  for (int column = first + kKeptPacks * step; column < columns; column += step)
    write(column, load_values<kWhole, 4>(residual + column, columns - column));  // this thread wrote it
}

void launch_rms_norm(const RmsNormArgs& args, StreamHandle stream) {
  const MatrixView &residual = args.residual, &x = args.x, &out = args.out;
  KVGAUGE_CHECK(residual.dtype == DType::kF32 && residual.columns <= std::numeric_limits<int>::max() / 2,
                "residual is ", name(residual.dtype), "[", residual.rows, ",", residual.columns, "]");
  KVGAUGE_CHECK(
      x.data == nullptr || (x.dtype == DType::kF32 && x.rows >= residual.rows && x.columns == residual.columns),
      "x is ", name(x.dtype), "[", x.rows, ",", x.columns, "]");
  KVGAUGE_CHECK(out.data == nullptr || (out.dtype != DType::kF16 && out.rows >= residual.rows &&
                                        out.columns == residual.columns && args.weight != nullptr),
                "out is ", name(out.dtype), "[", out.rows, ",", out.columns, "]");
  if (residual.rows == 0 || residual.columns == 0 || (x.data == nullptr && out.data == nullptr)) return;
  const bool whole = residual.columns % 4 == 0 && rows_are_aligned(residual.data, residual.stride, sizeof(float), 4) &&
                     rows_are_aligned(x.data, x.stride, sizeof(float), 4) &&
                     rows_are_aligned(out.data, out.stride, static_cast<std::int64_t>(size_of(out.dtype)), 4) &&
                     rows_are_aligned(args.weight, 0, sizeof(float), 4);
  const std::int64_t threads = ceil_div(ceil_div(residual.columns, 4 * kKeptPacks), kWarpSize) * kWarpSize;
  const LaunchShape shape{dim3(static_cast<unsigned>(residual.rows)),
                          dim3(static_cast<unsigned>(std::min<std::int64_t>(threads, kRmsNormThreads))), 0};
  const RmsNormKernelArgs a{static_cast<float*>(residual.data),
                            static_cast<const float*>(x.data),
                            args.weight,
                            out.data,
                            residual.stride,
                            x.stride,
                            out.stride,
                            static_cast<int>(residual.columns),
                            args.eps};
  if (out.data != nullptr && out.dtype == DType::kBF16) {
    launch(stream, shape, whole ? rms_norm_kernel<bf16_t, true> : rms_norm_kernel<bf16_t, false>, a);
  } else {
    launch(stream, shape, whole ? rms_norm_kernel<float, true> : rms_norm_kernel<float, false>, a);
  }
}

}  // namespace kvgauge::cuda
