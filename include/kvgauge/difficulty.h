#pragma once
#include <cstdint>
#include <vector>

#include "kvgauge/scores.h"

namespace kvgauge {

/// Which cached positions and layers become the feature of a difficulty, and how (METHOD.md F.1):
///   f = sum over the chosen layers and the last `positions` positions of K and V, K's numbers before V's, head after
///   head; divided by the numbers of layers, positions and heads as the means say. Keys as they are cached, after RoPE.
struct WindowSpec {
  GaugePart part = GaugePart::kKV;
  std::vector<std::int32_t> layers = {};  ///< ascending; empty: all of the model
  std::int64_t positions = 128;           ///< N; 0: all. A sequence that has fewer gives all it has
  bool mean_over_positions = false;
  bool mean_over_heads = false;
  bool mean_over_layers = true;

  bool operator==(const WindowSpec&) const = default;
};

/// Numbers of the feature for a model with `kv_heads` KV heads of `head_dim`.
constexpr std::int64_t window_features(const WindowSpec& window, std::int64_t kv_heads, std::int64_t head_dim) {
  return std::int64_t{window.part == GaugePart::kKV ? 2 : 1} * (window.mean_over_heads ? 1 : kv_heads) * head_dim;
}

/// First position of the window that ends before `end`.
constexpr std::int64_t window_begin(const WindowSpec& window, std::int64_t end) {
  return window.positions == 0 || window.positions > end ? 0 : end - window.positions;
}

}  // namespace kvgauge
