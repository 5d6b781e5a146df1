#pragma once
// Fetching the panel that will be multiplied next, while several tiles of rows are multiplied with this one.
//
// Only the first tile reads its panel from memory, the others find it in L2 and leave the memory idle: the coming panel
// is fetched evenly over all of them. It must go to L2 (prefetcht1): what L1 has in flight at a time bounds a thread to
// a third of the memory's rate. A single tile is left to the hardware's prefetcher, which follows a stream faster.
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

}  // namespace kvgauge::cpu::KVGAUGE_ISA
