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
      next_(span_positions(span, prompt_tokens, 0).begin) {
  const PositionRange longest = span_positions(span, prompt_tokens, capacity);
  const auto points = static_cast<std::size_t>(longest.end - longest.begin);
  state_.first.assign(static_cast<std::size_t>(vector_values), 0.0f);
  state_.previous.assign(static_cast<std::size_t>(vector_values), 0.0f);
  state_.dr.reserve(points);
  state_.dtheta.reserve(points);
}

std::optional<TrajectoryItem> TrajectoryGauge::advance(std::int64_t computed, std::int64_t preemptions,
                                                       const std::int32_t* blocks) {
  if (preemptions != preemptions_) {
    preemptions_ = preemptions;
    next_ = span_positions(span_, prompt_tokens_, 0).begin;
    state_.points = 0;
    state_.dr.clear();
    state_.dtheta.clear();
  }
  const PositionRange range = span_positions(span_, prompt_tokens_, computed);
  if (range.end <= next_) return std::nullopt;
  const TrajectoryItem item{.blocks = blocks, .begin = next_, .end = range.end, .state = &state_};
  next_ = range.end;
  return item;
}

TrajectoryGauge TrajectoryGauge::fork() const {
  TrajectoryGauge child(span_, prompt_tokens_, capacity_, static_cast<std::int64_t>(state_.first.size()));
  child.next_ = next_;
  child.state_.points = state_.points;
  child.state_.first = state_.first;
  child.state_.previous = state_.previous;
  child.state_.dr.insert(child.state_.dr.end(), state_.dr.begin(), state_.dr.end());
  child.state_.dtheta.insert(child.state_.dtheta.end(), state_.dtheta.begin(), state_.dtheta.end());
  return child;
}

}  // namespace kvgauge
