#pragma once
#include <cstdint>

#include "core/dtype.h"
#include "loader/model_config.h"

namespace kvgauge {

/// Numbers of a model by its shape: embeddings, output head (unless it is the embeddings), per layer q, k, v, o, gate,
/// up, down, two norms, and biases and q/k norms where the architecture has them.
std::int64_t parameter_count(const ModelConfig& config);

/// What a model, its cache and what is measured on the cache take, in bytes. All but the weights grow with tokens.
struct MemoryCosts {
  std::uint64_t weights = 0;       ///< parameters in the dtype
  std::uint64_t kv_per_token = 0;  ///< K and V of all layers
  std::uint64_t hidden_per_token =
      0;  ///< the output of every layer, if it were stored (the paper's Figure 1): layers * hidden
  std::uint64_t gauge_per_token = 0;     ///< kv-coe: dr and dtheta in f32; prob: six doubles of a token's distribution
  std::uint64_t gauge_per_sequence = 0;  ///< kv-coe: e_1 and the newest e of V in f32

  std::uint64_t kv(std::int64_t sequences, std::int64_t tokens) const;  ///< whole pages
  std::uint64_t hidden(std::int64_t sequences, std::int64_t tokens) const;
  std::uint64_t gauges(std::int64_t sequences, std::int64_t tokens) const;
  /// How many sequences of `tokens` fit beside the weights. @param with_hidden their hidden states are stored as well
  std::int64_t sequences(std::uint64_t memory, std::int64_t tokens, bool with_hidden) const;
};
MemoryCosts memory_costs(const ModelConfig& config, DType dtype);

}  // namespace kvgauge
