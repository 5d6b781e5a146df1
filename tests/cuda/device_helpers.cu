// Kernels that do nothing but call the helpers that all kernels share.
#include "device_helpers.h"

#include "cuda/row_access.cuh"

namespace kvgauge::testing {

using namespace kvgauge::cuda;

__global__ void helpers_kernel(HelperArgs a) {
  __shared__ float scratch[kWarpSize];
  __shared__ double wide_scratch[kWarpSize];
  const std::int64_t i = global_thread_index();
  const float x = a.x[i];
  a.out.block_sums[i] = block_sum(x, scratch);
  a.out.second_block_sums[i] = block_sum(2 * x + 1, scratch);
  a.out.block_sums_double[i] = block_sum(static_cast<double>(x), wide_scratch);
  a.out.warp_sums[i] = warp_sum(x);
  a.out.warp_maxima[i] = warp_max(x);
  a.out.places[i] = (global_warp_index() * kWarpSize + lane_index()) * 10'000 + warp_index() * 100 + lane_index();
}

void launch_helpers(const HelperArgs& args, int blocks, int threads, StreamHandle stream) {
  launch(stream, LaunchShape{dim3(static_cast<unsigned>(blocks)), dim3(static_cast<unsigned>(threads)), 0},
         helpers_kernel, args);
}

template <bool kWhole>
__global__ void row_copy_kernel(RowCopyArgs a) {
  const std::int64_t column = global_thread_index() * 4, left = a.columns - column;
  const auto values = load_values<kWhole, 4>(a.from + column, left);
  store_values<kWhole>(a.to + column, values, left);
  store_values<kWhole>(a.narrow + column, narrowed<bf16_t>(values), left);
}

void launch_row_copy(const RowCopyArgs& args, bool whole, StreamHandle stream) {
  constexpr int kThreads = 64;
  const LaunchShape shape{dim3(static_cast<unsigned>(ceil_div(args.columns, 4 * kThreads))), dim3(kThreads), 0};
  launch(stream, shape, whole ? row_copy_kernel<true> : row_copy_kernel<false>, args);
}

}  // namespace kvgauge::testing
