// out[r, i] = silu(gate_up[r, i]) * gate_up[r, columns + i],  silu(x) = x / (1 + exp(-x)).
// Four neighbouring columns a thread, one block per (row, 1024 columns). Everything is touched once: rows * columns *
// (8 + out element) bytes.
#include "cuda/swiglu.h"

#include "core/check.h"
#include "cuda/row_access.cuh"

namespace kvgauge::cuda {

struct SwigluKernelArgs {
  const float* gate_up;
  void* out;
  std::int64_t columns, gate_up_stride, out_stride;
};

inline constexpr int kSwigluThreads = 256;

/// With s = exp(-|x|): x s / (1 + s) for x < 0 and x / (1 + s) else; no overflow on either side.
__device__ __forceinline__ float silu(float x) {
  const float s = expf(-fabsf(x));
  return (x < 0 ? x * s : x) / (1.f + s);
}

template <class Out, bool kWhole>
__global__ void __launch_bounds__(kSwigluThreads) swiglu_kernel(SwigluKernelArgs a) {
  const std::int64_t row = blockIdx.x, column = (std::int64_t{blockIdx.y} * blockDim.x + threadIdx.x) * 4;
  const std::int64_t left = a.columns - column;
  const float* gates = a.gate_up + row * a.gate_up_stride + column;
  Pack<float, 4> gate = load_values<kWhole, 4>(gates, left);
  const Pack<float, 4> up = load_values<kWhole, 4>(gates + a.columns, left);
  for (int i = 0; i < 4; ++i) gate.values[i] = silu(gate.values[i]) * up.values[i];
  store_values<kWhole>(static_cast<Out*>(a.out) + row * a.out_stride + column, narrowed<Out>(gate), left);
}

void launch_swiglu(const SwigluArgs& args, StreamHandle stream) {
  const MatrixView &in = args.gate_up, &out = args.out;
  KVGAUGE_CHECK(
      in.dtype == DType::kF32 && out.dtype != DType::kF16 && in.columns == 2 * out.columns && out.rows >= in.rows,
      "gate_up is ", name(in.dtype), "[", in.rows, ",", in.columns, "], out ", name(out.dtype), "[", out.rows, ",",
      out.columns, "]");
  if (in.rows == 0 || out.columns == 0) return;
  const bool whole = out.columns % 4 == 0 && rows_are_aligned(in.data, in.stride, sizeof(float), 4) &&
                     rows_are_aligned(out.data, out.stride, static_cast<std::int64_t>(size_of(out.dtype)), 4);
  const LaunchShape shape{
      dim3(static_cast<unsigned>(in.rows), static_cast<unsigned>(ceil_div(out.columns, 4 * kSwigluThreads))),
      dim3(kSwigluThreads), 0};
  const SwigluKernelArgs a{static_cast<const float*>(in.data), out.data, out.columns, in.stride, out.stride};
  if (out.dtype == DType::kBF16) {
    launch(stream, shape, whole ? swiglu_kernel<bf16_t, true> : swiglu_kernel<bf16_t, false>, a);
  } else {
    launch(stream, shape, whole ? swiglu_kernel<float, true> : swiglu_kernel<float, false>, a);
  }
}

}  // namespace kvgauge::cuda
