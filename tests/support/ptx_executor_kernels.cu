#include "support/ptx_executor_kernels.h"

#include "cuda/device.cuh"
#include "cuda/launch.h"

namespace kvgauge::testing {

__global__ void scale_kernel(ScaleArgs a) {
  const std::int64_t i = cuda::global_thread_index();
  if (i < a.written) a.out[i] = 3 * a.in[i < a.count ? i : 0];
}

__global__ void rotate_kernel(RotateArgs a) {
  __shared__ float values[64];
  values[threadIdx.x] = a.in[threadIdx.x];
  if (a.with_barrier) __syncthreads();
  a.out[threadIdx.x] = values[(threadIdx.x + 33) % 64];
}

void launch_scale(const ScaleArgs& args, cuda::StreamHandle stream) {
  constexpr unsigned kThreads = 128;
  if (args.written == 0) return;
  cuda::launch(stream, {.grid = static_cast<unsigned>((args.written + kThreads - 1) / kThreads), .block = kThreads},
               scale_kernel, args);
}

void launch_rotate(const RotateArgs& args, cuda::StreamHandle stream) {
  cuda::launch(stream, {.grid = 1, .block = 64}, rotate_kernel, args);
}

}  // namespace kvgauge::testing
