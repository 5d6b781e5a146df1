#include "decode_loop.h"

#include <algorithm>
#include <numeric>

#include "bench_workload.h"
#include "core/ceil_div.h"
#include "engine/open_backend.h"
#include "kv/paged_view.h"
#include "model/cache_layout.h"

namespace kvgauge::cli {

using Kind = OverheadMode::Kind;

DecodeLoop::DecodeLoop(const EngineOptions& options, std::int64_t sequences, std::int64_t positions)
    : files_(ModelFiles::open(options.model)),
      backend_(open_backend(options, files_.config())),
      weights_(load_weights(files_, *backend_)),
      decoder_(files_.config(), weights_, *backend_, sequences, sequences),
      layout_(page_layout(files_.config(), backend_->compute_dtype())),
      blocks_each_(ceil_div(positions, kPageTokens)),
      memory_(backend_->allocate(static_cast<std::size_t>(sequences * blocks_each_ * layout_.block_bytes()))),
      pages_(layout_, static_cast<std::int32_t>(sequences * blocks_each_), memory_->data()),
      ids_(static_cast<std::size_t>(sequences)) {
  backend_->warm_up(sequences, positions);
  for (std::int64_t s = 0; s < sequences; ++s) {
    tables_.emplace_back();
    for (std::int64_t b = 0; b < blocks_each_; ++b)
      tables_.back().push_back(static_cast<std::int32_t>(b * sequences + s));  // pages of sequences mixed
  }
  host_.resize(static_cast<std::size_t>(sequences * positions * layout_.bytes_per_token()));
}

double DecodeLoop::run(std::int64_t batch, std::int64_t depth, std::int64_t steps, Kind kind) {
  for (std::int64_t s = 0; s < batch; ++s) ids_[static_cast<std::size_t>(s)] = static_cast<std::int32_t>(1 + s);
  if (kind == Kind::kStoreHidden) reserve_states(batch, steps);
  const double start = seconds_now();
  for (std::int64_t i = 0; i < steps; ++i) {
    step(batch, depth + i, i, kind);
    if (kind == Kind::kCopyKv) copy_to_host(batch, 0, depth + i + 1);
    if (kind == Kind::kCopyNewKv) copy_to_host(batch, depth + i, depth + i + 1);
  }
  return seconds_now() - start;
}

void DecodeLoop::reserve_states(std::int64_t batch, std::int64_t steps) {
  const ModelConfig& config = files_.config();
  const auto bytes = static_cast<std::size_t>(steps * batch * (config.layers + 1) * config.hidden) * sizeof(double);
  if (!states_ || states_->bytes() < bytes) states_ = backend_->allocate(bytes);
}

void DecodeLoop::step(std::int64_t batch, std::int64_t position, std::int64_t states_at, Kind kind) {
  const ModelConfig& config = files_.config();
  const std::int64_t states = (config.layers + 1) * config.hidden;
  slices_.clear();
  items_.clear();
  requests_.clear();
  rows_.resize(static_cast<std::size_t>(batch));
  std::iota(rows_.begin(), rows_.end(), 0);
  for (std::int64_t s = 0; s < batch; ++s) {
    slices_.push_back(
        {.first_row = s, .rows = 1, .first_position = position, .blocks = tables_[static_cast<std::size_t>(s)].data()});
    requests_.push_back({.row = static_cast<std::int32_t>(s)});
    if (kind == Kind::kStoreHidden)
      items_.push_back({.first_row = s,
                        .rows = 1,
                        .sums = reinterpret_cast<double*>(states_->data()) + (states_at * batch + s) * states});
  }
  const std::span<const std::int32_t> ids(ids_.data(), static_cast<std::size_t>(batch));
  decoder_.forward({.ids = ids, .sequences = slices_, .pages = pages_.view(), .states = items_});
  const MatrixView logits = decoder_.logits(rows_);
  backend_->sample(
      {.logits = logits, .requests = requests_, .out = std::span(ids_.data(), static_cast<std::size_t>(batch))});
  backend_->wait();
  for (std::int64_t s = 0; s < batch; ++s)
    ids_[static_cast<std::size_t>(s)] = std::max(0, ids_[static_cast<std::size_t>(s)]);
}

// Positions [first, end) of every sequence, all layers, K and V: runs of positions within a page and a head.
void DecodeLoop::copy_to_host(std::int64_t batch, std::int64_t first, std::int64_t end) {
  const PagedKvView view = pages_.view();
  const auto row = static_cast<std::size_t>(view.head_dim) * size_of(view.dtype);
  std::byte* to = host_.data();
  for (std::int64_t s = 0; s < batch; ++s)
    for (int layer = 0; layer < view.layers; ++layer)
      for (std::int64_t at = first; at < end;) {
        const std::int64_t slot = at % kPageTokens, count = std::min(kPageTokens - slot, end - at);
        const std::int32_t block = tables_[static_cast<std::size_t>(s)][static_cast<std::size_t>(at / kPageTokens)];
        const std::size_t bytes = static_cast<std::size_t>(count) * row;
        const auto page = 2 * static_cast<std::size_t>(view.kv_heads) * bytes;
        if (count == kPageTokens) {  // K and V of all heads of a whole page lie side by side
          backend_->download(to, view.k(layer, block, 0, 0), page);
        } else {
          for (int head = 0; head < view.kv_heads; ++head) {
            backend_->download(to + static_cast<std::size_t>(2 * head) * bytes,
                               view.k(layer, block, head, static_cast<int>(slot)), bytes);
            backend_->download(to + static_cast<std::size_t>(2 * head + 1) * bytes,
                               view.v(layer, block, head, static_cast<int>(slot)), bytes);
          }
        }
        to += page;
        at += count;
      }
  backend_->wait();
}

}  // namespace kvgauge::cli
