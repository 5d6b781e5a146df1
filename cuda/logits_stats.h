#pragma once
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
  std::int64_t count = 0;
};

/// @param args only `logits` is read
void launch_logits_stats(const LogitsStatsArgs& args, const LogitsStatsTables& tables, StreamHandle stream);

}  // namespace kvgauge::cuda
