#pragma once
// What kernels share: indices, number types, 16-byte loads, reductions. Fixed orders everywhere: a reduction gives the
// same bits on every run.
#include <cstdint>

#include "core/ceil_div.h"
#include "core/dtype.h"
#include "cuda/launch.h"
#include "cuda/ptx.cuh"

namespace kvgauge::cuda {

inline constexpr int kWarpSize = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

KVGAUGE_HOST_DEVICE constexpr float square(float x) { return x * x; }

__device__ __forceinline__ int lane_index() { return static_cast<int>(threadIdx.x) % kWarpSize; }
__device__ __forceinline__ int warp_index() { return static_cast<int>(threadIdx.x) / kWarpSize; }
/// Of a one-dimensional launch.
__device__ __forceinline__ std::int64_t global_thread_index() {
  return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ std::int64_t global_warp_index() { return global_thread_index() / kWarpSize; }

/// The launch's dynamic shared memory, 16-byte aligned.
template <class T>
__device__ __forceinline__ T* shared() {
#if defined(__CUDACC__)
  extern __shared__ __align__(16) unsigned char kvgauge_dynamic_shared[];
  return reinterpret_cast<T*>(kvgauge_dynamic_shared);
#else
  return static_cast<T*>(emulator::dynamic_shared());
#endif
}

/// Count values of T read or written as one access (16 bytes for the memory-bound kernels); the address must be aligned
/// to its size.
template <class T, int Count>
struct alignas(sizeof(T) * Count) Pack {
  T values[Count];
};
template <class T>
inline constexpr int kPackCount = 16 / static_cast<int>(sizeof(T));
template <class T, int Count = kPackCount<T>>
__device__ __forceinline__ Pack<T, Count> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, Count>*>(from);
}
template <class T, int Count>
__device__ __forceinline__ void store_pack(T* to, const Pack<T, Count>& pack) {
  *reinterpret_cast<Pack<T, Count>*>(to) = pack;
}

/// T as f32, exact: to_float, with the conversion that the device has for f16.
template <class T>
__device__ __forceinline__ float widened(T x) {
  return to_float(x);
}
__device__ __forceinline__ float widened(half_t x) { return widen_f16(x.bits); }

/// f32 to T, rounded to nearest even.
template <class T>
__device__ __forceinline__ T from_float(float x) {
  if constexpr (sizeof(T) == 2) {
    return to_bf16(x);
  } else {
    return x;
  }
}

/// Sum over the warp's lanes, in every lane; a butterfly, so all lanes hold the same bits. All 32 lanes must call.
template <class T>
__device__ __forceinline__ T warp_sum(T value) {
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(kAllLanes, value, offset);
  return value;
}
__device__ __forceinline__ float warp_max(float value) {
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2)
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, offset));
  return value;
}

/// Sum over a one-dimensional block, in every thread, with the same bits everywhere. Barrier contract: every thread of
/// the block calls, the block is whole warps; it begins and ends with a barrier, so `scratch` ([kWarpSize] in shared
/// memory) may be reused at once.
template <class T>
__device__ __forceinline__ T block_sum(T value, T* scratch) {
  value = warp_sum(value);
  __syncthreads();
  if (lane_index() == 0) scratch[warp_index()] = value;
  __syncthreads();
  T total = 0;
  for (int warp = 0; warp < static_cast<int>(blockDim.x) / kWarpSize; ++warp) total += scratch[warp];
  __syncthreads();
  return total;
}

}  // namespace kvgauge::cuda
