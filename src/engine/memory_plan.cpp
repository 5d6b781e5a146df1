#include "engine/memory_plan.h"

#include <algorithm>
#include <limits>

#include "core/cat.h"
#include "core/ceil_div.h"
#include "kv/paged_view.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace {

std::int64_t blocks_for(std::int64_t tokens) { return ceil_div(tokens, kPageTokens); }

}  // namespace

MemoryPlan plan_memory(const EngineOptions& options, const ModelConfig& config, std::int64_t block_bytes,
                       std::uint64_t default_bytes) {
  if (options.max_batch < 1 || options.step_tokens < 1 || options.chunk_tokens < 1)
    throw UsageError(cat("--max-batch ", options.max_batch, ", step of ", options.step_tokens, " tokens, chunk of ",
                         options.chunk_tokens, ": at least 1 was needed"));
  if (options.max_model_len < 0 || options.max_model_len > config.max_positions)
    throw UsageError(cat("--max-model-len: ", options.max_model_len, " was asked for, the model's context is ",
                         config.max_positions));
  const std::int64_t wanted_len = options.max_model_len > 0 ? options.max_model_len : config.max_positions;
  const std::int64_t most_blocks = std::numeric_limits<std::int32_t>::max() - 1;

  MemoryPlan plan;
  if (options.kv_memory > 0) {
    plan.blocks = std::min<std::int64_t>(
        static_cast<std::int64_t>(options.kv_memory / static_cast<std::uint64_t>(block_bytes)), most_blocks);
    if (plan.blocks < 1)
      throw UsageError(cat("--kv-memory: ", options.kv_memory, " bytes hold no page of ", block_bytes, " bytes (",
                           kPageTokens, " tokens); give at least that"));
  } else {
    plan.blocks = std::clamp<std::int64_t>(static_cast<std::int64_t>(default_bytes) / block_bytes, 1,
                                           std::min(most_blocks, options.max_batch * blocks_for(wanted_len)));
  }
  plan.max_model_len = std::min(wanted_len, plan.blocks * kPageTokens);
  if (options.max_model_len > plan.max_model_len)
    throw UsageError(cat("--max-model-len: ", options.max_model_len, " tokens need ",
                         blocks_for(options.max_model_len) * block_bytes, " bytes of KV pages, there are ",
                         plan.blocks * block_bytes, "; raise --kv-memory"));
  return plan;
}

}  // namespace kvgauge
