#pragma once
#include <cstdint>

#include "kvgauge/engine.h"
#include "loader/model_config.h"

namespace kvgauge {

/// How much of the device the KV pages get, and the context that follows from it.
struct MemoryPlan {
  std::int64_t blocks = 0;
  std::int64_t max_model_len = 0;  ///< one sequence of this length always fits into the pages
};

/// @param block_bytes of one block over all layers
/// @param default_bytes for all blocks where options.kv_memory is 0 (Backend::default_kv_bytes)
/// @throws UsageError if kv_memory or max_model_len cannot be kept, naming both numbers and the remedy
MemoryPlan plan_memory(const EngineOptions& options, const ModelConfig& config, std::int64_t block_bytes,
                       std::uint64_t default_bytes);

}  // namespace kvgauge
