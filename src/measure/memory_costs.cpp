#include "measure/memory_costs.h"

#include "core/ceil_div.h"
#include "kvgauge/scores.h"
#include "model/cache_layout.h"

namespace kvgauge {

std::int64_t parameter_count(const ModelConfig& c) {
  const std::int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
  const std::int64_t layer = c.hidden * (q + 2 * kv) + q * c.hidden + 3 * c.hidden * c.intermediate + 2 * c.hidden +
                             (c.qkv_bias ? q + 2 * kv : 0) + (c.qk_norm ? 2 * c.head_dim : 0);
  return (c.tied_head ? 1 : 2) * c.vocab * c.hidden + c.layers * layer + c.hidden;
}

MemoryCosts memory_costs(const ModelConfig& c, DType dtype) {
  const auto bytes = static_cast<std::uint64_t>(size_of(dtype));
  return {.weights = static_cast<std::uint64_t>(parameter_count(c)) * bytes,
          .kv_per_token = static_cast<std::uint64_t>(page_layout(c, dtype).bytes_per_token()),
          .hidden_per_token = static_cast<std::uint64_t>(c.layers * c.hidden) * bytes,
          .gauge_per_token = 2 * sizeof(float) + sizeof(TokenLogitStats),
          .gauge_per_sequence = 2 * static_cast<std::uint64_t>(c.kv_heads * c.head_dim) * sizeof(float)};
}

std::uint64_t MemoryCosts::kv(std::int64_t sequences, std::int64_t tokens) const {
  return static_cast<std::uint64_t>(sequences * ceil_div(tokens, kPageTokens) * kPageTokens) * kv_per_token;
}
std::uint64_t MemoryCosts::hidden(std::int64_t sequences, std::int64_t tokens) const {
  return static_cast<std::uint64_t>(sequences * tokens) * hidden_per_token;
}
std::uint64_t MemoryCosts::gauges(std::int64_t sequences, std::int64_t tokens) const {
  return static_cast<std::uint64_t>(sequences) *
         (static_cast<std::uint64_t>(tokens) * gauge_per_token + gauge_per_sequence);
}

std::int64_t MemoryCosts::sequences(std::uint64_t memory, std::int64_t tokens, bool with_hidden) const {
  if (memory <= weights) return 0;
  const std::uint64_t each = kv(1, tokens) + gauges(1, tokens) + (with_hidden ? hidden(1, tokens) : 0);
  return static_cast<std::int64_t>((memory - weights) / each);
}

}  // namespace kvgauge
