#pragma once
#include <CLI/App.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/json.h"
#include "kvgauge/thinking.h"

namespace kvgauge::cli {

/// Flags of `switch-eval` about two-step. Those that are texts are lists: every combination is a setting.
struct TwoStepOptions {
  bool off = false;
  std::string start = "difficulty", signal = "difficulty";
  std::string tau = "one-step", tau_fast = "30", tau_slow = "70", interval = "16", patience = "2", min_tokens = "32";
  std::int64_t cooldown = -1, max_switches = 4;  ///< cooldown below 0: the head's window
  double ema = 0;
  bool allow_reopen = false;
  std::int64_t fast_budget = 2048, slow_budget = 8192, total_budget = 0, thinking_budget = 0;
  std::vector<std::pair<std::string, const CLI::Option*>> flags;  ///< those that need two-step
};

/// One combination.
struct TwoStepSetting {
  std::string tau_from;  ///< how tau was given: a number, "one-step" or "keep:X"
  double tau = 0, tau_fast = 0, tau_slow = 0;
  std::int64_t interval = 1, patience = 1, min_tokens = 0;
};

void add_two_step_options(CLI::App& app, TwoStepOptions& options);
/// @param choosing whether there are validation questions. @throws UsageError
void check_two_step(const TwoStepOptions& options, bool choosing, const std::string& one_step_tau);
/// Every combination of the lists. @param tau_for the threshold that keeps a share of always-slow's accuracy
std::vector<TwoStepSetting> two_step_grid(const TwoStepOptions& options, double one_step_tau,
                                          const std::function<double(double)>& tau_for);
/// Why the engine would not run a setting; empty if it would.
std::string reason_to_refuse(const TwoStepOptions& options, const TwoStepSetting& setting);
/// @param window of the head, in positions
ThinkingSpec thinking_spec(const TwoStepOptions& options, const TwoStepSetting& setting, const ThinkTags& tags,
                           std::int64_t window);
/// Everything that decides what a two-step run gives, by flag name.
OrderedJson setting_json(const TwoStepOptions& options, const TwoStepSetting& setting, const std::string& head,
                         std::int64_t window);

}  // namespace kvgauge::cli
