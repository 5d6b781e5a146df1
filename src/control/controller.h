#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "kvgauge/thinking.h"

namespace kvgauge {

/// When to think and when to stop, as a state machine that knows neither a device nor a model (METHOD.md G.3). The
/// caller forwards tokens and computes signals; the controller says what to look at and what to inject.
///
///   prompt computed:   inject(begin(d0))
///   loop:              token sampled -> accept(token, ends): stop?
///                      token forwarded -> if (wants_look()) action = look(d); if (action) inject(*action)
class ThinkingController {
 public:
  /// @param spec must outlive the controller
  explicit ThinkingController(const ThinkingSpec& spec);

  /// What is put behind the prompt (may be empty). @param d of the prompt; not read unless spec.start is kDifficulty
  const std::vector<std::int32_t>& begin(double d);
  /// A token was sampled. @param ends the response ends with it (end-of-text, stop string)
  /// @return whether the response ends because a budget is used up; never if `ends`
  bool accept(std::int32_t token, bool ends);
  /// The newest sampled token is in the cache: whether the signal is to be computed now.
  bool wants_look() const;
  /// The newest sampled token is in the cache: what a look decides, or the thinking budget without one.
  /// @param d the signal (NaN: not there yet, nothing is decided); nullopt if wants_look() was false
  /// @return what to inject now; nullptr: nothing
  const std::vector<std::int32_t>* forwarded(std::optional<double> d);

  ThinkingMode mode() const { return mode_; }
  const ThinkingRecord& record() const { return record_; }

 private:
  const std::vector<std::int32_t>* switch_to(ThinkingMode mode, double d);

  const ThinkingSpec* spec_;
  ThinkingMode mode_ = ThinkingMode::kFast;
  ThinkingRecord record_;
  std::vector<std::int32_t> newest_;  ///< the last sampled tokens of a slow segment, as many as the end tag has
  std::int64_t since_ = 0, streak_ = 0, thought_ = 0, controlled_ = 0, last_switch_at_ = 0;
  double smoothed_ = kUndefined;
  bool just_closed_ = false;
};

}  // namespace kvgauge
