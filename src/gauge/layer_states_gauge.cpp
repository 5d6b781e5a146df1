#include "gauge/layer_states_gauge.h"

#include <algorithm>

#include "core/check.h"

namespace kvgauge {
namespace {

constexpr TrajectorySums kNoStates{.sum_m_cos_a = kUndefined, .sum_m_sin_a = kUndefined};

}  // namespace

StateSums::StateSums(Backend& backend, std::int64_t states, std::int64_t columns)
    : states_(states),
      columns_(columns),
      memory_(backend.allocate(static_cast<std::size_t>(states * columns) * sizeof(double))) {}

LayerSums StateSums::over(std::int64_t positions, const StateSums* more) const {
  return {.sums = data(),
          .more = more ? more->data() : nullptr,
          .states = states_,
          .columns = columns_,
          .positions = positions};
}

LayerStatesGauge::LayerStatesGauge(std::int64_t prompt_tokens, std::int64_t states, std::int64_t columns,
                                   std::int64_t first_position)
    : prompt_tokens_(prompt_tokens), states_(states), columns_(columns), seen_(first_position) {}

void LayerStatesGauge::advance(Backend& backend, PromptStates& prompt, std::int64_t begin, std::int64_t rows,
                               std::int64_t first_row, std::vector<LayerStatesItem>& items) {
  KVGAUGE_CHECK(begin <= seen_, "position ", begin, " follows ", seen_, " that have been seen");
  const std::int64_t end = begin + rows;
  const auto add = [&](std::unique_ptr<StateSums>& sums, std::int64_t from, std::int64_t to) {
    from = std::max(from, seen_);
    to = std::min(to, end);
    if (from >= to) return;
    if (!sums) sums = std::make_unique<StateSums>(backend, states_, columns_);
    items.push_back({.first_row = first_row + from - begin, .rows = to - from, .sums = sums->data()});
  };
  add(prompt.first, 0, 1);
  add(prompt.last, prompt_tokens_ - 1, prompt_tokens_);
  add(response_, prompt_tokens_, end);
  seen_ = std::max(seen_, end);
}

LayerTrajectories LayerStatesGauge::read(Backend& backend, const PromptStates& prompt) const {
  KVGAUGE_CHECK(prompt.first && prompt.last && seen_ >= prompt_tokens_, "the prompt's states were not seen");
  const std::int64_t response = seen_ - prompt_tokens_;
  return {.official = backend.read_layer_states(prompt.first->over(1 + response, response_.get())),
          .fixed = backend.read_layer_states(prompt.last->over(1 + response, response_.get())),
          .response = response_ ? backend.read_layer_states(response_->over(response)) : kNoStates};
}

}  // namespace kvgauge
