#include "gauge/window_pooler.h"

#include <algorithm>

namespace kvgauge {

PoolSpec pool_spec(const WindowSpec& window) {
  return {.part = window.part,
          .layers = window.layers,
          .mean_over_positions = window.mean_over_positions,
          .mean_over_heads = window.mean_over_heads,
          .mean_over_layers = window.mean_over_layers};
}

PoolItem window_item(const WindowSpec& window, const std::int32_t* blocks, std::int64_t end) {
  return {.blocks = blocks, .begin = window_begin(window, end), .end = end};
}

std::vector<float> WindowPooler::pool(const PagedKvView& pages, const WindowSpec& window,
                                      std::span<const PoolItem> items) {
  const PoolSpec spec = pool_spec(window);
  const std::int64_t features = pool_features(spec, pages);
  const auto row_bytes = static_cast<std::size_t>(features) * sizeof(float);
  if (const auto bytes = static_cast<std::size_t>(most_) * row_bytes; !memory_ || memory_->bytes() < bytes) {
    memory_.reset();  // a device that holds the old one beside the new one would need both
    memory_ = backend_.allocate(bytes);
  }
  std::vector<float> rows(items.size() * static_cast<std::size_t>(features));
  for (std::size_t first = 0; first < items.size(); first += static_cast<std::size_t>(most_)) {
    const auto some = items.subspan(first, std::min(items.size() - first, static_cast<std::size_t>(most_)));
    backend_.kv_pool({.pages = pages,
                      .spec = spec,
                      .items = some,
                      .features = {.data = memory_->data(),
                                   .dtype = DType::kF32,
                                   .rows = std::ssize(some),
                                   .columns = features,
                                   .stride = features},
                      .head = {},
                      .out = {}});
    backend_.download(rows.data() + first * static_cast<std::size_t>(features), memory_->data(),
                      some.size() * row_bytes);
    backend_.wait();  // a call's lists take what a step's lists take: several calls would not fit
  }
  return rows;
}

}  // namespace kvgauge
