#pragma once
#include <cstdint>
#include <optional>

#include "kvgauge/scores.h"
#include "ops/backend.h"

namespace kvgauge {

/// Half-open range of cache positions.
struct PositionRange {
  std::int64_t begin = 0, end = 0;
};

/// Positions of a span once `computed` leading positions are in the cache; METHOD.md A.2. The last sampled token is
/// never fed back, so the cache ends at prompt + sampled - 1 by itself.
///   response: [P, computed)   boundary: [P-1, computed)   all: [0, computed)   prompt: [0, min(P, computed))
PositionRange span_positions(GaugeSpan span, std::int64_t prompt_tokens, std::int64_t computed);

/// Follows one sequence's trajectory through the steps that compute it, whatever the chunks, prefix hits or preemptions
/// are.
class TrajectoryGauge {
 public:
  /// @param capacity positions the sequence can reach: the arrays never grow beyond
  TrajectoryGauge(GaugeSpan span, std::int64_t prompt_tokens, std::int64_t capacity, std::int64_t vector_values);

  /// The cache below `preemptions` restarts is not the one we read: a sequence that was preempted is gauged again from
  /// its span's begin, so that its scores are those of the bytes its pages hold at the end.
  /// @return the positions to read now that `computed` positions are in the pages, or nothing
  std::optional<TrajectoryItem> advance(Backend& backend, std::int64_t computed, std::int64_t preemptions,
                                        const std::int32_t* blocks);

  std::int64_t points() const { return state_ ? state_->points() : 0; }
  TrajectorySums read(Backend& backend) const;
  TrajectorySteps read_steps(Backend& backend) const;
  /// For a forked sequence: the parent's points so far, with room for the child's own.
  TrajectoryGauge fork(Backend& backend) const;

 private:
  GaugeSpan span_;
  std::int64_t prompt_tokens_, capacity_, values_, next_, preemptions_ = 0;
  std::unique_ptr<TrajectoryState> state_;  ///< made when the span is first reached: queued sequences hold no memory
};

}  // namespace kvgauge
