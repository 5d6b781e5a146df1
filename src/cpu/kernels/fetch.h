#pragma once
// Fetching what products will need: the panel that will be multiplied next, and the lines of results.
//
// Of several tiles of rows only the first reads its panel from memory; the others find it in L2 and leave the memory
// idle. So the coming panel is fetched evenly over all of them. It must go to L2 (prefetcht1): what L1 has in flight at
// a time bounds a thread to a third of the memory's rate. A single tile is left to the hardware's prefetcher, which
// follows a stream faster.
#include "cpu/kernels/simd.h"

namespace kvgauge::cpu::KVGAUGE_ISA {

struct Fetch {
  const char* at = nullptr;
  std::int64_t rate = 0, credit = 0;  ///< bytes at a step

  KVGAUGE_INLINE void step(Fetch& fetch) {
    for (fetch.credit += fetch.rate; fetch.credit >= 64; fetch.credit -= 64) {
      __builtin_prefetch(fetch.at, 0, 2);
      fetch.at += 64;
    }
  }
};

/// The share of tile `tile` of `tiles`, each of which takes `steps` steps through a panel of `step_bytes` a step.
KVGAUGE_INLINE Fetch share_of_tile(const void* coming, std::int64_t tile, std::int64_t tiles, std::int64_t steps,
                                   std::int64_t step_bytes) {
  if (coming == nullptr || tiles == 1) return {};
  const std::int64_t rate = (step_bytes + tiles - 1) / tiles;
  return {.at = static_cast<const char*>(coming) + tile * steps * rate / 64 * 64, .rate = rate};
}

/// The lines of a tile's results, which are stored when it is done. Without, stores that miss every cache queue up
/// behind one another, and the next tile waits for them. (Results of few rows are in L2 still.)
KVGAUGE_INLINE void fetch_results(std::int64_t rows_in_all, float* out, std::int64_t out_stride, std::int64_t rows,
                                  int columns) {
  if (rows_in_all < 64) return;
  for (std::int64_t r = 0; r < rows; ++r)
    for (int i = 0; i < columns; i += 64 / static_cast<int>(sizeof(float)))
      __builtin_prefetch(out + r * out_stride + i, 1);
}

}  // namespace kvgauge::cpu::KVGAUGE_ISA
