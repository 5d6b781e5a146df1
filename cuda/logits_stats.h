#pragma once
#include <cstddef>

#include "cuda/stream_handle.h"
#include "ops/logits_stats.h"

namespace kvgauge::cuda {

/// The lists of LogitsStatsArgs in device memory, [count] each.
struct LogitsStatsTables {
  const std::int32_t* rows = nullptr;
  const std::int32_t* chosen = nullptr;
  const std::int32_t* draws = nullptr;  ///< nullptr: all tokens are in `chosen`
  const std::int32_t* drawn = nullptr;  ///< what the last sample() drew, by request
  TokenLogitStats* out = nullptr;
  std::byte* parts = nullptr;  ///< logits_stats_part_bytes() that go from tile to tile; nullptr: whole rows
  std::int64_t count = 0;
};

/// What the threads of `count` rows know after a tile of the vocabulary.
std::size_t logits_stats_part_bytes(std::int64_t count);

/// @param args its lists are not read
void launch_logits_stats(const LogitsStatsArgs& args, const LogitsStatsTables& tables, StreamHandle stream);

}  // namespace kvgauge::cuda
