#include "gauge/trajectory_gauge.h"

#include <algorithm>

namespace kvgauge {

PositionRange span_positions(GaugeSpan span, std::int64_t prompt_tokens, std::int64_t computed) {
  PositionRange range;
  switch (span) {
    case GaugeSpan::kResponse: range = {prompt_tokens, computed}; break;
    case GaugeSpan::kBoundary: range = {prompt_tokens - 1, computed}; break;
    case GaugeSpan::kAll: range = {0, computed}; break;
    case GaugeSpan::kPrompt: range = {0, std::min(prompt_tokens, computed)}; break;
  }
  range.end = std::max(range.begin, range.end);
  return range;
}

TrajectoryGauge::TrajectoryGauge(GaugeSpan span, std::int64_t prompt_tokens, std::int64_t capacity,
                                 std::int64_t vector_values)
    : span_(span),
      prompt_tokens_(prompt_tokens),
      capacity_(capacity),
      values_(vector_values),
      next_(span_positions(span, prompt_tokens, 0).begin) {}

std::optional<TrajectoryItem> TrajectoryGauge::advance(Backend& backend, std::int64_t computed,
                                                       std::int64_t preemptions, const std::int32_t* blocks) {
  if (preemptions != preemptions_) {
    preemptions_ = preemptions;
    next_ = span_positions(span_, prompt_tokens_, 0).begin;
    if (state_) state_->restart();
  }
  const PositionRange range = span_positions(span_, prompt_tokens_, computed);
  if (range.end <= next_) return std::nullopt;
  if (!state_) {
    const PositionRange longest = span_positions(span_, prompt_tokens_, capacity_);
    state_ = backend.make_trajectory(values_, longest.end - longest.begin);
  }
  const TrajectoryItem item{.blocks = blocks, .begin = next_, .end = range.end, .state = state_.get()};
  next_ = range.end;
  return item;
}

TrajectorySums TrajectoryGauge::read(Backend& backend) const {
  if (!state_) return {.sum_m_cos_a = kUndefined, .sum_m_sin_a = kUndefined};
  return backend.read_trajectory(*state_);
}

TrajectorySteps TrajectoryGauge::read_steps(Backend& backend) const {
  return state_ ? backend.read_steps(*state_) : TrajectorySteps{};
}

TrajectoryGauge TrajectoryGauge::fork(Backend& backend) const {
  TrajectoryGauge child(span_, prompt_tokens_, capacity_, values_);
  child.next_ = next_;
  if (state_) {
    const PositionRange longest = span_positions(span_, prompt_tokens_, capacity_);
    child.state_ = backend.make_trajectory(values_, longest.end - longest.begin);
    backend.copy_trajectory(*state_, *child.state_);
  }
  return child;
}

}  // namespace kvgauge
