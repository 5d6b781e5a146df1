#include "gauge/embedding.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace kvgauge {
namespace {

/// The position or positions of a span that are pooled.
PoolItem window_of(const PoolItem& item, EmbeddingPositions positions) {
  PoolItem window = item;
  if (positions == EmbeddingPositions::kFirst) window.end = item.begin + 1;
  if (positions == EmbeddingPositions::kLast) window.begin = item.end - 1;
  return window;
}

/// kv_pool has all heads of K before all heads of V; an embedding has K and V of each head together.
void append_heads(const float* from, std::int64_t heads, std::int64_t head_dim, std::int64_t parts,
                  std::vector<float>& to) {
  for (std::int64_t head = 0; head < heads; ++head) {
    for (std::int64_t part = 0; part < parts; ++part) {
      const float* const values = from + (part * heads + head) * head_dim;
      to.insert(to.end(), values, values + head_dim);
    }
  }
}

void normalize(std::vector<float>& vector) {
  double squares = 0;
  for (const float x : vector) squares += static_cast<double>(x) * static_cast<double>(x);
  const double length = std::sqrt(squares);
  if (length == 0) return;
  for (float& x : vector) x = static_cast<float>(static_cast<double>(x) / length);
}

}  // namespace

const char* name(EmbeddingPositions positions) {
  switch (positions) {
    case EmbeddingPositions::kMean: return "mean";
    case EmbeddingPositions::kLast: return "last";
    case EmbeddingPositions::kFirst: return "first";
    case EmbeddingPositions::kSum: return "sum";
  }
  return "?";
}

const char* name(EmbeddingHeads heads) { return heads == EmbeddingHeads::kMean ? "mean" : "flatten"; }

const char* name(EmbeddingLayers layers) {
  switch (layers) {
    case EmbeddingLayers::kMean: return "mean";
    case EmbeddingLayers::kSum: return "sum";
    case EmbeddingLayers::kLast: return "last";
    case EmbeddingLayers::kFlatten: return "flatten";
  }
  return "?";
}

std::int64_t embedding_values(const EmbeddingSpec& spec, std::int64_t model_layers, std::int64_t kv_heads,
                              std::int64_t head_dim) {
  const std::int64_t layers = spec.layers.empty() ? model_layers : std::ssize(spec.layers);
  return (spec.aggregate == EmbeddingLayers::kFlatten ? layers : 1) *
         (spec.heads == EmbeddingHeads::kFlatten ? kv_heads : 1) * (spec.part == GaugePart::kKV ? 2 : 1) * head_dim;
}

std::vector<std::int32_t> last_layers(std::int64_t count, std::int64_t model_layers) {
  std::vector<std::int32_t> layers(static_cast<std::size_t>(std::min(count, model_layers)));
  std::iota(layers.begin(), layers.end(), static_cast<std::int32_t>(model_layers - std::ssize(layers)));
  return layers;
}

void EmbeddingPooler::reserve(const EmbeddingSpec& spec, const PagedKvView& pages, std::int64_t vectors) {
  const std::int64_t values = embedding_values(spec, 1, pages.kv_heads, pages.head_dim);
  const std::size_t bytes = static_cast<std::size_t>(vectors * values) * sizeof(float);
  if (memory_ && memory_->bytes() >= bytes) return;
  memory_.reset();  // a device that holds the old one beside the new one would need both
  memory_ = backend_.allocate(bytes);
}

std::vector<std::vector<float>> EmbeddingPooler::pool(const PagedKvView& pages, const EmbeddingSpec& spec,
                                                      std::span<const PoolItem> items) {
  std::vector<std::vector<float>> vectors(items.size());
  if (items.empty()) return vectors;
  reserve(spec, pages, std::ssize(items));
  windows_.clear();
  for (const PoolItem& item : items) windows_.push_back(window_of(item, spec.positions));

  std::vector<std::int32_t> layers = spec.layers;
  if (layers.empty()) layers = last_layers(pages.layers, pages.layers);
  if (spec.aggregate == EmbeddingLayers::kLast) layers.erase(layers.begin(), layers.end() - 1);
  const bool one_by_one = spec.aggregate == EmbeddingLayers::kFlatten;
  const std::size_t call_layers = one_by_one ? 1 : layers.size();
  for (std::size_t first = 0; first < layers.size(); first += call_layers)
    append(pages, spec, std::span<const std::int32_t>(layers).subspan(first, call_layers), vectors);
  if (spec.normalize)
    for (std::vector<float>& vector : vectors) normalize(vector);
  return vectors;
}

void EmbeddingPooler::append(const PagedKvView& pages, const EmbeddingSpec& spec, std::span<const std::int32_t> layers,
                             std::vector<std::vector<float>>& vectors) {
  const PoolSpec pool{.part = spec.part,
                      .layers = layers,
                      .mean_over_positions = spec.positions == EmbeddingPositions::kMean,
                      .mean_over_heads = spec.heads == EmbeddingHeads::kMean,
                      .mean_over_layers = spec.aggregate != EmbeddingLayers::kSum};
  const std::int64_t values = pool_features(pool, pages), count = std::ssize(windows_);
  backend_.kv_pool(
      {.pages = pages,
       .spec = pool,
       .items = windows_,
       .features = {.data = memory_->data(), .dtype = DType::kF32, .rows = count, .columns = values, .stride = values},
       .head = {},
       .out = {}});
  values_.resize(static_cast<std::size_t>(count * values));
  backend_.download(values_.data(), memory_->data(), values_.size() * sizeof(float));
  backend_.wait();  // a call's lists take what a step's lists take: several calls would not fit
  const std::int64_t parts = spec.part == GaugePart::kKV ? 2 : 1, heads = values / parts / pages.head_dim;
  for (std::int64_t item = 0; item < count; ++item)
    append_heads(values_.data() + item * values, heads, pages.head_dim, parts, vectors[static_cast<std::size_t>(item)]);
}

}  // namespace kvgauge
