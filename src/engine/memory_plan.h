#pragma once
#include <cstdint>
#include <memory>

#include "kvgauge/engine.h"
#include "loader/model_config.h"
#include "ops/backend.h"

namespace kvgauge {

/// How much of the device the KV pages get, and the context that follows from it.
struct MemoryPlan {
  std::int64_t blocks = 0;
  std::int64_t max_model_len = 0;  ///< one sequence of this length always fits into the pages
};

/// @param block_bytes of one block over all layers
/// @throws UsageError if kv_memory or max_model_len cannot be kept, naming both numbers and the remedy
MemoryPlan plan_memory(const EngineOptions& options, const ModelConfig& config, std::int64_t block_bytes);

/// The back end that --device, --dtype, --threads and --batch-invariant name.
/// @throws UsageError for values it does not know, DeviceError for a device that is not there
std::unique_ptr<Backend> open_backend(const EngineOptions& options, const ModelConfig& config);

}  // namespace kvgauge
