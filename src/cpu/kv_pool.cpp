#include "ops/kv_pool.h"

#include <algorithm>

#include "cpu/backend.h"

namespace kvgauge::cpu {
namespace {

/// A thread's scratch: sums of all values, the features, the hidden layer.
struct PoolScratch {
  double* sums;
  float* features;
  float* hidden;
};
constexpr std::size_t scratch_bytes(std::int64_t values, std::int64_t features, std::int64_t hidden) {
  return (static_cast<std::size_t>(values) * sizeof(double) +
          static_cast<std::size_t>(features + hidden) * sizeof(float) + 127) /
         64 * 64;
}

template <class T>
void sum_window(const KvPoolArgs& args, const PoolItem& item, double* sums) {
  const PagedKvView& pages = args.pages;
  const std::int64_t layers = args.spec.layers.empty() ? pages.layers : std::ssize(args.spec.layers);
  for (std::int64_t i = 0; i < layers; ++i) {
    const int layer = args.spec.layers.empty() ? static_cast<int>(i) : args.spec.layers[static_cast<std::size_t>(i)];
    for (std::int64_t position = item.begin; position < item.end; ++position) {
      const std::int64_t block = item.blocks[position / pages.page_tokens];
      const int slot = static_cast<int>(position % pages.page_tokens);
      double* to = sums;
      for (const bool value : {false, true}) {
        if (args.spec.part == (value ? GaugePart::kK : GaugePart::kV)) continue;
        for (int head = 0; head < pages.kv_heads; ++head, to += pages.head_dim) {
          const T* row =
              reinterpret_cast<const T*>(value ? pages.v(layer, block, head, slot) : pages.k(layer, block, head, slot));
          for (int j = 0; j < pages.head_dim; ++j) to[j] += static_cast<double>(to_float(row[j]));
        }
      }
    }
  }
}

/// Sums over layers, positions and perhaps heads, divided as the spec says.
void form_features(const KvPoolArgs& args, const PoolItem& item, const double* sums, float* features) {
  const int head_dim = args.pages.head_dim, heads = args.pages.kv_heads;
  const double layers =
      static_cast<double>(args.spec.layers.empty() ? args.pages.layers : std::ssize(args.spec.layers));
  const double share = 1 / ((args.spec.mean_over_layers ? layers : 1) *
                            (args.spec.mean_over_positions ? static_cast<double>(item.end - item.begin) : 1) *
                            (args.spec.mean_over_heads ? heads : 1));
  const int summed = args.spec.mean_over_heads ? heads : 1;
  const std::int64_t count = pool_features(args.spec, args.pages);
  for (std::int64_t c = 0; c < count; ++c) {
    double sum = 0;
    for (int head = 0; head < summed; ++head)
      sum += sums[c / head_dim * summed * head_dim + head * head_dim + c % head_dim];
    features[c] = static_cast<float>(sum * share);
  }
}

float apply_head(const PoolHead& head, std::int64_t features, float* x, float* hidden) {
  if (head.mean != nullptr)
    for (std::int64_t c = 0; c < features; ++c) x[c] = (x[c] - head.mean[c]) / head.deviation[c];
  double out = *head.b2;
  for (std::int64_t h = 0; h < head.hidden; ++h) {
    double sum = head.b1[h];
    for (std::int64_t c = 0; c < features; ++c)
      sum += static_cast<double>(head.w1[h * features + c]) * static_cast<double>(x[c]);
    hidden[h] = static_cast<float>(sum);
    if (hidden[h] < 0) hidden[h] = 0;  // written so that NaN stays
    out += static_cast<double>(head.w2[h]) * static_cast<double>(hidden[h]);
  }
  return static_cast<float>(out);
}

}  // namespace

void CpuBackend::kv_pool(const KvPoolArgs& args) {
  check_kv_pool(args);
  const std::int64_t values = pool_features({.part = args.spec.part, .layers = {}}, args.pages);
  const std::int64_t features = pool_features(args.spec, args.pages);
  const std::size_t bytes = scratch_bytes(values, features, args.head.hidden);
  reserve(pool_scratch_, static_cast<std::size_t>(threads_) * bytes);
  parallel(std::ssize(args.items), false, [&](std::int64_t i, int thread) {
    const PoolItem& item = args.items[static_cast<std::size_t>(i)];
    PoolScratch scratch;
    scratch.sums = reinterpret_cast<double*>(pool_scratch_.data() + static_cast<std::size_t>(thread) * bytes);
    scratch.features = reinterpret_cast<float*>(scratch.sums + values);
    scratch.hidden = scratch.features + features;
    std::fill_n(scratch.sums, values, 0.0);
    switch (args.pages.dtype) {
      case DType::kF32: sum_window<float>(args, item, scratch.sums); break;
      case DType::kF16: sum_window<half_t>(args, item, scratch.sums); break;
      case DType::kBF16: sum_window<bf16_t>(args, item, scratch.sums); break;
    }
    form_features(args, item, scratch.sums, scratch.features);
    if (args.features.data != nullptr)
      std::copy_n(scratch.features, features, static_cast<float*>(args.features.data) + i * args.features.stride);
    if (args.head.w1 != nullptr)
      args.out[static_cast<std::size_t>(i)] = apply_head(args.head, features, scratch.features, scratch.hidden);
  });
}

}  // namespace kvgauge::cpu
