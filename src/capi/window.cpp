#include <algorithm>
#include <cmath>

#include "capi/handles.h"

using namespace kvgauge;
using namespace kvgauge::capi;

namespace {

/// A spec with its layers in memory of its own.
struct WindowSettings {
  std::vector<std::int32_t> layers;
  PoolSpec pool;
};
WindowSettings settings_of(const kvgauge_cache& cache, const kvgauge_window_spec& spec) {
  WindowSettings settings;
  settings.layers = layers_of(spec.layers, spec.layer_count);
  check_layers(settings.layers, cache);
  settings.pool.part = part_of(spec.part);
  settings.pool.mean_over_positions = spec.mean_over_positions != 0;
  settings.pool.mean_over_heads = spec.mean_over_heads != 0;
  return settings;
}

EmbeddingSpec embedding_of(const kvgauge_cache& cache, const kvgauge_embedding_spec& spec) {
  EmbeddingSpec embedding;
  embedding.part = part_of(spec.part);
  embedding.layers = layers_of(spec.layers, spec.layer_count);
  check_layers(embedding.layers, cache);
  switch (spec.positions) {
    case KVGAUGE_MEAN: embedding.positions = EmbeddingPositions::kMean; break;
    case KVGAUGE_SUM: embedding.positions = EmbeddingPositions::kSum; break;
    case KVGAUGE_FIRST: embedding.positions = EmbeddingPositions::kFirst; break;
    case KVGAUGE_LAST: embedding.positions = EmbeddingPositions::kLast; break;
    default:
      throw ArgumentError(
          cat("spec.positions is ", static_cast<int>(spec.positions), ", mean, sum, first or last was needed"));
  }
  switch (spec.heads) {
    case KVGAUGE_MEAN: embedding.heads = EmbeddingHeads::kMean; break;
    case KVGAUGE_FLATTEN: embedding.heads = EmbeddingHeads::kFlatten; break;
    default: throw ArgumentError(cat("spec.heads is ", static_cast<int>(spec.heads), ", mean or flatten was needed"));
  }
  switch (spec.over_layers) {
    case KVGAUGE_MEAN: embedding.aggregate = EmbeddingLayers::kMean; break;
    case KVGAUGE_SUM: embedding.aggregate = EmbeddingLayers::kSum; break;
    case KVGAUGE_LAST: embedding.aggregate = EmbeddingLayers::kLast; break;
    case KVGAUGE_FLATTEN: embedding.aggregate = EmbeddingLayers::kFlatten; break;
    default:
      throw ArgumentError(
          cat("spec.over_layers is ", static_cast<int>(spec.over_layers), ", mean, sum, last or flatten was needed"));
  }
  embedding.normalize = spec.normalize != 0;
  return embedding;
}

std::vector<PoolItem> items_of(const kvgauge_sequence* sequences, std::size_t first, std::size_t last) {
  std::vector<PoolItem> items;
  for (std::size_t i = first; i < last; ++i)
    items.push_back({.blocks = sequences[i].blocks, .begin = sequences[i].begin, .end = sequences[i].end});
  return items;
}

void check_head(const kvgauge_head_weights& w) {
  constexpr std::int64_t kMost = std::int64_t{1} << 24;
  require(w.features > 0 && w.features <= kMost && w.hidden > 0 && w.hidden <= kMost, "features is ", w.features,
          " and hidden ", w.hidden, ", 1 to ", kMost, " were needed");
  require(w.w1 != nullptr && w.b1 != nullptr && w.w2 != nullptr && w.b2 != nullptr, "one of w1, b1, w2, b2 is NULL");
  require((w.mean == nullptr) == (w.deviation == nullptr),
          "one of mean and deviation is NULL, both or neither was needed");
  for (std::int64_t c = 0; w.deviation != nullptr && c < w.features; ++c)
    require(w.deviation[c] != 0 && !std::isnan(w.deviation[c]), "deviation[", c, "] is ", w.deviation[c],
            ", another number was needed");
}

}  // namespace

kvgauge_status kvgauge_head_create(kvgauge_context* context, const kvgauge_head_weights* weights, kvgauge_head** head) {
  return guarded("kvgauge_head_create", [&] {
    require(head != nullptr, "head is NULL, a place for the handle was needed");
    *head = nullptr;
    require(context != nullptr && weights != nullptr, context == nullptr ? "context" : "weights", " is NULL");
    check_head(*weights);
    const std::int64_t features = weights->features, hidden = weights->hidden;
    auto made = std::make_unique<kvgauge_head>();
    made->context = context->context;
    made->features = features;
    const Turn turn(*made->context);
    turn.backend().wait();
    // Each list starts at a multiple of 16 floats: kernels read weights with wide loads.
    const auto rounded = [](std::int64_t count) { return (count + 15) / 16 * 16; };
    std::int64_t used = 0;
    const std::int64_t total = rounded(hidden * features) + 2 * rounded(hidden) + 16 + 2 * rounded(features);
    made->memory = turn.backend().allocate(static_cast<std::size_t>(total) * sizeof(float));
    const auto put = [&](const float* from, std::int64_t count) -> const float* {
      if (from == nullptr) return nullptr;
      float* const at = reinterpret_cast<float*>(made->memory->data()) + used;
      turn.backend().upload(reinterpret_cast<std::byte*>(at), from, static_cast<std::size_t>(count) * sizeof(float));
      used += rounded(count);
      return at;
    };
    made->view.w1 = put(weights->w1, hidden * features);
    made->view.b1 = put(weights->b1, hidden);
    made->view.w2 = put(weights->w2, hidden);
    made->view.b2 = put(weights->b2, 1);
    made->view.mean = put(weights->mean, features);
    made->view.deviation = put(weights->deviation, features);
    made->view.hidden = hidden;
    *head = made.release();
  });
}

void kvgauge_head_destroy(kvgauge_head* head) {
  if (head == nullptr) return;
  {
    const std::lock_guard lock(head->context->turn);
    head->memory.reset();
  }
  delete head;
}

int64_t kvgauge_window_features(const kvgauge_cache* cache, const kvgauge_window_spec* spec) {
  std::int64_t features = 0;
  guarded("kvgauge_window_features", [&] {
    require(cache != nullptr && spec != nullptr, cache == nullptr ? "cache" : "spec", " is NULL");
    features = pool_features(settings_of(*cache, *spec).pool, cache->view);
  });
  return features;
}

kvgauge_status kvgauge_windows(kvgauge_context* context, const kvgauge_cache* cache, const kvgauge_window_spec* spec,
                               const kvgauge_head* head, const kvgauge_sequence* sequences, size_t count,
                               float* features, float* difficulties, void* stream) {
  return guarded("kvgauge_windows", [&] {
    require(context != nullptr && cache != nullptr && spec != nullptr,
            context == nullptr ? "context"
            : cache == nullptr ? "cache"
                               : "spec",
            " is NULL");
    Context& shared = *context->context;
    WindowSettings settings = settings_of(*cache, *spec);
    settings.pool.layers = settings.layers;
    const std::int64_t values = pool_features(settings.pool, cache->view);
    require((head == nullptr) == (difficulties == nullptr), "head is ", head == nullptr ? "NULL" : "given",
            ", difficulties is ", difficulties == nullptr ? "NULL" : "given", "; both or neither was needed");
    require(head == nullptr || head->context == context->context, "head was made by another context");
    require(head == nullptr || head->features == values, "head takes ", head == nullptr ? 0 : head->features,
            " features, the windows have ", values);
    const Turn turn(shared);
    check_sequences(*cache, sequences, count, 1);
    check_place(shared, *cache, stream);
    if (count == 0) return;
    Backend& backend = turn.backend();
    backend.wait();
    backend.start_after(stream);
    constexpr std::size_t kMostItems = 256;  // of a call: bounds the memory that features take on the device
    for (std::size_t first = 0; first < count;) {
      const std::size_t last = std::min(end_of_call(shared, *cache, sequences, first, count), first + kMostItems);
      const std::vector<PoolItem> items = items_of(sequences, first, last);
      const std::size_t bytes = items.size() * static_cast<std::size_t>(values) * sizeof(float);
      if (features != nullptr && (!shared.features || shared.features->bytes() < bytes)) {
        shared.features.reset();
        shared.features = backend.allocate(bytes);
      }
      backend.kv_pool({.pages = cache->view,
                       .spec = settings.pool,
                       .items = items,
                       .features = {.data = features == nullptr ? nullptr : shared.features->data(),
                                    .dtype = DType::kF32,
                                    .rows = static_cast<std::int64_t>(items.size()),
                                    .columns = values,
                                    .stride = values},
                       .head = head == nullptr ? PoolHead{} : head->view,
                       .out = {difficulties == nullptr ? nullptr : difficulties + first,
                               difficulties == nullptr ? 0 : items.size()}});
      if (features != nullptr)
        backend.download(features + first * static_cast<std::size_t>(values), shared.features->data(), bytes);
      backend.wait();
      first = last;
    }
    backend.finish_before(stream);
  });
}

int64_t kvgauge_embedding_values(const kvgauge_cache* cache, const kvgauge_embedding_spec* spec) {
  std::int64_t values = 0;
  guarded("kvgauge_embedding_values", [&] {
    require(cache != nullptr && spec != nullptr, cache == nullptr ? "cache" : "spec", " is NULL");
    values =
        embedding_values(embedding_of(*cache, *spec), cache->view.layers, cache->view.kv_heads, cache->view.head_dim);
  });
  return values;
}

kvgauge_status kvgauge_embed(kvgauge_context* context, const kvgauge_cache* cache, const kvgauge_embedding_spec* spec,
                             const kvgauge_sequence* sequences, size_t count, float* values, void* stream) {
  return guarded("kvgauge_embed", [&] {
    require(context != nullptr && cache != nullptr && spec != nullptr,
            context == nullptr ? "context"
            : cache == nullptr ? "cache"
                               : "spec",
            " is NULL");
    require(values != nullptr || count == 0, "values is NULL");
    Context& shared = *context->context;
    const EmbeddingSpec embedding = embedding_of(*cache, *spec);
    const Turn turn(shared);
    check_sequences(*cache, sequences, count, 1);
    check_place(shared, *cache, stream);
    if (count == 0) return;
    Backend& backend = turn.backend();
    backend.wait();
    backend.start_after(stream);
    constexpr std::size_t kMostItems = 256;
    for (std::size_t first = 0; first < count;) {
      const std::size_t last = std::min(end_of_call(shared, *cache, sequences, first, count), first + kMostItems);
      for (const std::vector<float>& vector :
           shared.pooler->pool(cache->view, embedding, items_of(sequences, first, last)))
        values = std::copy(vector.begin(), vector.end(), values);
      first = last;
    }
    backend.finish_before(stream);
  });
}
