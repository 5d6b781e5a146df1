#pragma once
#include "core/check.h"
#include "kvgauge/scores.h"
#include "ops/args.h"

namespace kvgauge {

/// How a window of cached positions becomes one vector. METHOD.md F.1 (the difficulty regressor: sums, heads
/// flattened), E (embeddings: means over positions and heads).
struct PoolSpec {
  GaugePart part = GaugePart::kKV;       ///< K's features come before V's
  std::span<const std::int32_t> layers;  ///< ascending; empty = all
  bool mean_over_positions = false;      ///< false: sum
  bool mean_over_heads = false;          ///< false: head after head
  bool mean_over_layers = true;          ///< false: sum
};
constexpr std::int64_t pool_features(const PoolSpec& spec, const PagedKvView& pages) {
  return std::int64_t{spec.part == GaugePart::kKV ? 2 : 1} * (spec.mean_over_heads ? 1 : pages.kv_heads) * pages.head_dim;
}

/// The regressor, in device memory, f32: d = w2 . relu(W1 x + b1) + b2 with x = (f - mean) / deviation, or f itself.
struct PoolHead {
  const float* w1 = nullptr;  ///< [hidden, features] row-major; nullptr: no head
  const float* b1 = nullptr;  ///< [hidden]
  const float* w2 = nullptr;  ///< [hidden]
  const float* b2 = nullptr;  ///< [1]
  std::int64_t hidden = 0;
  const float* mean = nullptr;       ///< [features] or nullptr
  const float* deviation = nullptr;  ///< [features], nowhere 0; both or neither
};

/// A window: positions [begin, end) of one sequence, at least one. The last N: begin = max(0, end - N).
struct PoolItem {
  const std::int32_t* blocks = nullptr;  ///< covers `end` positions
  std::int64_t begin = 0, end = 0;
};

/// Window sums and the head, in one launch for all items, reading the pages (values that attention reads):
///   f = sum_l sum_t part(l, t), t over the window; divided by the numbers of layers, positions and heads as the spec
///   says. Pages may be f32, f16 or bf16. Sums of at most 16 values are in f32, all others in double, in a fixed order: neither batch nor page order
///   changes a bit of f or d. NaN propagates.
struct KvPoolArgs {
  PagedKvView pages;
  PoolSpec spec;
  std::span<const PoolItem> items;
  MatrixView features;   ///< f32 [items, pool_features()], f before it is standardised; data == nullptr: not kept
  PoolHead head;
  std::span<float> out;  ///< on the host, there after Backend::wait(): d of each item; empty without a head
};

/// What every back end requires of its caller.
inline void check_kv_pool(const KvPoolArgs& args) {
  const std::int64_t features = pool_features(args.spec, args.pages);
  KVGAUGE_CHECK(features > 0, "pages of ", args.pages.kv_heads, " heads of ", args.pages.head_dim);
  for (std::size_t i = 0; i < args.spec.layers.size(); ++i)
    KVGAUGE_CHECK(args.spec.layers[i] >= 0 && args.spec.layers[i] < args.pages.layers &&
                      (i == 0 || args.spec.layers[i - 1] < args.spec.layers[i]),
                  "layer ", args.spec.layers[i], " of ", args.pages.layers);
  for (const PoolItem& item : args.items)
    KVGAUGE_CHECK(item.begin >= 0 && item.begin < item.end, "a window [", item.begin, ", ", item.end, ")");
  KVGAUGE_CHECK(args.features.data == nullptr || (args.features.dtype == DType::kF32 && args.features.columns == features &&
                                                  args.features.rows >= std::ssize(args.items)),
                "features are ", args.features.rows, " x ", args.features.columns, " for ", args.items.size(), " x ", features);
  KVGAUGE_CHECK(args.out.size() == (args.head.w1 == nullptr ? 0 : args.items.size()), args.out.size(), " out for ",
                args.items.size(), " items");
  KVGAUGE_CHECK(args.head.w1 == nullptr || args.head.hidden > 0, "a head of ", args.head.hidden, " hidden units");
}

}  // namespace kvgauge
