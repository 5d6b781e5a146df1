#include "control/controller.h"

#include <algorithm>

#include "core/check.h"

namespace kvgauge {

const char* name(ThinkingMode mode) {
  switch (mode) {
    case ThinkingMode::kFast: return "fast";
    case ThinkingMode::kSlow: return "slow";
    case ThinkingMode::kAnswer: return "answer";
  }
  return "";
}

const char* name(ThinkingSignal signal) {
  switch (signal) {
    case ThinkingSignal::kDifficulty: return "difficulty";
    case ThinkingSignal::kEntropy: return "entropy";
    case ThinkingSignal::kKvCoe: return "kv-coe";
  }
  return "";
}

ThinkingController::ThinkingController(const ThinkingSpec& spec) : spec_(&spec) {
  const ControllerSettings& s = spec.settings;
  KVGAUGE_CHECK(s.interval > 0 && s.patience > 0 && s.max_switches >= 0, "controller: interval ", s.interval,
                ", patience ", s.patience, ", max_switches ", s.max_switches);
}

const std::vector<std::int32_t>& ThinkingController::begin(double d) {
  static const std::vector<std::int32_t> nothing;
  if (spec_->start == ThinkingStart::kDifficulty) {
    mode_ = d > spec_->settings.tau ? ThinkingMode::kSlow : ThinkingMode::kFast;
    ++record_.probes;
    if (spec_->record || spec_->dry_run) record_.looks.push_back({.at = 0, .d = d});
  } else {
    mode_ = spec_->start == ThinkingStart::kSlow ? ThinkingMode::kSlow : ThinkingMode::kFast;
  }
  record_.first = record_.last = mode_;
  const auto& tokens = spec_->start == ThinkingStart::kPrompt ? nothing
                       : mode_ == ThinkingMode::kSlow         ? spec_->tags.open
                                                              : spec_->tags.fast_prefix;
  record_.injected = record_.prefix = std::ssize(tokens);
  return tokens;
}

bool ThinkingController::accept(std::int32_t token, bool ends) {
  const ControllerSettings& s = spec_->settings;
  ++record_.sampled;
  ++record_.last_segment;
  ++since_;
  just_closed_ = false;
  if (ends) return false;
  if (record_.last_segment >= (mode_ == ThinkingMode::kFast ? s.fast_budget : s.slow_budget)) return true;
  if (s.total_budget > 0 && record_.sampled >= s.total_budget) return true;
  if (mode_ != ThinkingMode::kSlow) return false;
  ++thought_;
  const auto& tag = spec_->tags.end;
  newest_.push_back(token);
  if (newest_.size() > tag.size()) newest_.erase(newest_.begin());
  if (!tag.empty() && newest_ == tag) {
    just_closed_ = true;
    streak_ = 0;
    newest_.clear();
    record_.switches.push_back({.at = record_.sampled, .from = mode_, .to = ThinkingMode::kAnswer});
    record_.last = mode_ = ThinkingMode::kAnswer;
  }
  return false;
}

bool ThinkingController::wants_look() const {
  const ControllerSettings& s = spec_->settings;
  if (just_closed_ || since_ == 0 || since_ % s.interval != 0 || record_.sampled < s.min_tokens) return false;
  if (spec_->dry_run) return true;
  if (controlled_ >= s.max_switches) return false;
  if (controlled_ > 0 && record_.sampled - last_switch_at_ < s.cooldown) return false;
  return mode_ != ThinkingMode::kAnswer || s.allow_reopen;
}

const std::vector<std::int32_t>* ThinkingController::forwarded(std::optional<double> d) {
  const ControllerSettings& s = spec_->settings;
  const bool thought_out = s.thinking_budget > 0 && thought_ >= s.thinking_budget;
  if (d) {
    ++record_.probes;
    if (spec_->record || spec_->dry_run) record_.looks.push_back({.at = record_.sampled, .d = *d});
  }
  if (spec_->dry_run) return nullptr;
  if (thought_out && mode_ == ThinkingMode::kSlow) return switch_to(ThinkingMode::kFast, kUndefined);
  if (!d) return nullptr;
  // NaN compares false everywhere: a signal that is not there yet switches nothing, and leaves no trace in the mean.
  if (*d == *d) smoothed_ = smoothed_ == smoothed_ ? s.ema * smoothed_ + (1 - s.ema) * *d : *d;
  const bool wants = mode_ == ThinkingMode::kSlow ? smoothed_ < s.tau_fast : smoothed_ > s.tau_slow && !thought_out;
  streak_ = wants ? streak_ + 1 : 0;
  if (streak_ < s.patience) return nullptr;
  ++controlled_;
  last_switch_at_ = record_.sampled;
  return switch_to(mode_ == ThinkingMode::kSlow ? ThinkingMode::kFast : ThinkingMode::kSlow, smoothed_);
}

const std::vector<std::int32_t>* ThinkingController::switch_to(ThinkingMode mode, double d) {
  const auto& tokens = mode == ThinkingMode::kSlow ? spec_->tags.open : spec_->tags.close;
  record_.switches.push_back(
      {.at = record_.sampled, .from = mode_, .to = mode, .d = d, .injected = std::ssize(tokens)});
  record_.last = mode_ = mode;
  record_.injected += std::ssize(tokens);
  record_.last_segment = since_ = streak_ = 0;
  smoothed_ = kUndefined;
  newest_.clear();
  return &tokens;
}

}  // namespace kvgauge
