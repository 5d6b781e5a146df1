#include "engine/memory_plan.h"

#include <unistd.h>

#include <algorithm>
#include <limits>

#include "core/cat.h"
#include "cpu/cpu_backend.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace {

constexpr std::int64_t kDefaultKvBytes = std::int64_t{4} << 30;

std::int64_t available_memory() {
  return static_cast<std::int64_t>(::sysconf(_SC_AVPHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
}

std::int64_t blocks_for(std::int64_t tokens) { return (tokens + kPageTokens - 1) / kPageTokens; }

}  // namespace

MemoryPlan plan_memory(const EngineOptions& options, const ModelConfig& config, std::int64_t block_bytes) {
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
    const std::int64_t bytes = std::min(kDefaultKvBytes, available_memory() / 2);
    plan.blocks = std::clamp<std::int64_t>(bytes / block_bytes, 1,
                                           std::min(most_blocks, options.max_batch * blocks_for(wanted_len)));
  }
  plan.max_model_len = std::min(wanted_len, plan.blocks * kPageTokens);
  if (options.max_model_len > plan.max_model_len)
    throw UsageError(cat("--max-model-len: ", options.max_model_len, " tokens need ",
                         blocks_for(options.max_model_len) * block_bytes, " bytes of KV pages, there are ",
                         plan.blocks * block_bytes, "; raise --kv-memory"));
  return plan;
}

std::unique_ptr<Backend> open_backend(const EngineOptions& options, const ModelConfig& config) {
  if (options.device != "auto" && options.device != "cpu")
    throw UsageError(cat("--device: '", options.device, "' is not in this build, it has: auto, cpu"));
  CpuOptions cpu;
  cpu.threads = options.threads;
  cpu.compute_dtype = DType::kF32;
  cpu.batch_invariant = options.batch_invariant;
  if (options.dtype == "bf16") {
    if (!cpu_supports_bf16())
      throw DeviceError("--dtype: bf16 products need AVX-512, which this processor lacks; use --dtype f32");
    cpu.compute_dtype = DType::kBF16;
  } else if (options.dtype == "auto") {
    cpu.compute_dtype = config.stored_dtype != DType::kF32 && cpu_supports_bf16() ? DType::kBF16 : DType::kF32;
  } else if (options.dtype != "f32") {
    throw UsageError(cat("--dtype: '", options.dtype, "' is unknown, one of auto, bf16, f32 was needed"));
  }
  return make_cpu_backend(cpu);
}

}  // namespace kvgauge
