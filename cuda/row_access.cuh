#pragma once
// Rows of matrices, a few neighbouring values a thread: as one access where every row is aligned and made of whole
// packs (kWhole), value by value otherwise. Which thread has which columns is the same in both cases, so the order of a
// sum does not depend on the alignment.
#include "cuda/device.cuh"

namespace kvgauge::cuda {

/// Count values at `from`, of which `left` exist (any number, may be <= 0); zeros behind them.
template <bool kWhole, int Count, class T>
__device__ __forceinline__ Pack<T, Count> load_values(const T* from, std::int64_t left) {
  if constexpr (kWhole) {
    return left > 0 ? load_pack<T, Count>(from) : Pack<T, Count>{};
  } else {
    Pack<T, Count> pack{};
    for (int i = 0; i < Count; ++i)
      if (i < left) pack.values[i] = from[i];
    return pack;
  }
}

/// Writes the first `left` values of `pack`.
template <bool kWhole, class T, int Count>
__device__ __forceinline__ void store_values(T* to, const Pack<T, Count>& pack, std::int64_t left) {
  if constexpr (kWhole) {
    if (left > 0) store_pack(to, pack);
  } else {
    for (int i = 0; i < Count; ++i)
      if (i < left) to[i] = pack.values[i];
  }
}

/// f32 values as T, each rounded to nearest even.
template <class T, int Count>
__device__ __forceinline__ Pack<T, Count> narrowed(const Pack<float, Count>& pack) {
  Pack<T, Count> out;
  for (int i = 0; i < Count; ++i) out.values[i] = from_float<T>(pack.values[i]);
  return out;
}

/// True if rows `stride` elements apart may be accessed as packs of `count` elements of `element_bytes`.
inline bool rows_are_aligned(const void* data, std::int64_t stride, std::int64_t element_bytes, int count) {
  const std::int64_t bytes = element_bytes * count;
  return reinterpret_cast<std::uintptr_t>(data) % static_cast<std::uintptr_t>(bytes) == 0 &&
         stride * element_bytes % bytes == 0;
}

}  // namespace kvgauge::cuda
