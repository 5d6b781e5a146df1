// Races between threads of a block, which only the thread sanitizer sees. One kernel a run, by name; the sanitizer
// reports or does not.
#include <cstdio>
#include <string>

#include "cuda/device.cuh"

namespace kvgauge::cuda {

struct RaceArgs {
  float* out;
};

__global__ void missing_barrier_kernel(RaceArgs args) {
  __shared__ float values[64];
  values[threadIdx.x] = 1;
  args.out[threadIdx.x] = values[63 - threadIdx.x];
}
/// The lanes have met, but a shuffle orders no memory.
__global__ void ordered_by_a_shuffle_kernel(RaceArgs args) {
  __shared__ float values[32];
  values[threadIdx.x] = 1;
  const float other = __shfl_xor_sync(kAllLanes, 1.f, 1);
  args.out[threadIdx.x] = values[31 - threadIdx.x] + other;
}
__global__ void two_writers_kernel(RaceArgs args) { args.out[threadIdx.x / 2] = static_cast<float>(threadIdx.x); }
/// The second round writes what the first round's slower warps still read.
__global__ void missing_trailing_barrier_kernel(RaceArgs args) {
  __shared__ float scratch[kWarpSize];
  for (int round = 0; round < 2; ++round) {
    if (lane_index() == 0) scratch[warp_index()] = static_cast<float>(round);
    __syncthreads();
    args.out[threadIdx.x] = scratch[0] + scratch[1];
  }
}

__global__ void right_kernel(RaceArgs args) {
  __shared__ float scratch[kWarpSize];
  __shared__ float values[64];
  float total = 0;
  for (int round = 0; round < 3; ++round) total += block_sum(1.f, scratch);
  values[threadIdx.x] = total;
  __syncwarp();
  total += values[threadIdx.x ^ 1];
  __syncthreads();
  total += values[63 - threadIdx.x];
  __syncthreads();
  args.out[global_thread_index()] = total;
  atomicAdd(&args.out[1000], 1.f);
}

}  // namespace kvgauge::cuda

int main(int, char** arguments) {
  using namespace kvgauge::cuda;
  const std::string name = arguments[1];
  float* out = nullptr;
  check_cuda(cudaMalloc(&out, 4096), "cudaMalloc");
  check_cuda(cudaMemset(out, 0, 4096), "cudaMemset");
  const auto run = [&](void (*kernel)(RaceArgs), unsigned blocks, unsigned threads) {
    launch(nullptr, {dim3(blocks), dim3(threads)}, kernel, {out});
  };
  if (name == "missing_barrier") run(missing_barrier_kernel, 1, 64);
  if (name == "ordered_by_a_shuffle") run(ordered_by_a_shuffle_kernel, 1, 32);
  if (name == "two_writers") run(two_writers_kernel, 1, 64);
  if (name == "missing_trailing_barrier") run(missing_trailing_barrier_kernel, 1, 64);
  if (name == "right")
    for (int i = 0; i < 3; ++i) run(right_kernel, 8, 64);
  check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  float count = 0;
  check_cuda(cudaMemcpy(&count, out + 1000, 4, cudaMemcpyDeviceToHost), "cudaMemcpy");
  check_cuda(cudaFree(out), "cudaFree");
  std::printf("%s: done, %g\n", name.c_str(), count);
}
