// Difficulties and think tags: windows of the cache are looked at, controllers told, tokens injected.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "engine/engine_impl.h"
#include "kvgauge/error.h"
#include "score/scores.h"

namespace kvgauge {
namespace {

constexpr const char* kNotFinite = "difficulty: not finite, numbers were needed; try --dtype f32";

std::int64_t longest_tag(const ThinkTags& tags) { return std::max(std::ssize(tags.open), std::ssize(tags.close)); }

const std::vector<std::int32_t>* prefix_of(const ThinkingSpec& spec) {
  if (spec.start == ThinkingStart::kSlow) return &spec.tags.open;
  return spec.start == ThinkingStart::kFast ? &spec.tags.fast_prefix : nullptr;
}

}  // namespace

void Engine::Impl::use_head(const DifficultyHead& head) {
  if (const std::string reason = reason_to_refuse(head, files_.config(), files_.content_hash()); !reason.empty())
    throw InputError(reason);
  difficulty_.reset();
  difficulty_.emplace(*backend_, head);
}

// Before the group has sequences: how long they can become, and a prefix that needs no look at the prompt.
void Engine::Impl::plan_thinking(RequestGroup& group) {
  Request& request = group.request;
  const ThinkingSpec& spec = *request.thinking;
  group.awaits_difficulty = spec.start == ThinkingStart::kDifficulty;
  if (const auto* const prefix = prefix_of(spec))
    request.prompt.insert(request.prompt.end(), prefix->begin(), prefix->end());
  const std::int64_t open_prefix =
      group.awaits_difficulty ? std::max(std::ssize(spec.tags.open), std::ssize(spec.tags.fast_prefix)) : 0;
  const std::int64_t switches = spec.settings.max_switches + (spec.settings.thinking_budget > 0 ? 1 : 0);
  const std::int64_t room = memory_.max_model_len - group.prompt_tokens();
  group.longest = group.prompt_tokens() + std::min(room, open_prefix + switches * longest_tag(spec.tags) +
                                                             std::min(request.stop.max_tokens, room));
}

// The first mode is known: its tokens end the prompt of all answers.
void Engine::Impl::begin_thinking(RequestGroup& group, double d) {
  const bool waited = std::exchange(group.awaits_difficulty, false);
  for (const auto& sequence : group.sequences) {
    sequence->controller.emplace(*group.request.thinking);
    const auto& prefix = sequence->controller->begin(d);
    if (!waited) continue;  // plan_thinking() has put it into the prompt
    if (sequence->sample == 0) group.request.prompt.insert(group.request.prompt.end(), prefix.begin(), prefix.end());
    sequence->tokens.insert(sequence->tokens.end(), prefix.begin(), prefix.end());
    sequence->max_cached_prefix = group.prompt_tokens() - 1;
    start_gauge(*sequence);
  }
}

// In a step that brings a sequence's newest token into the cache.
void Engine::Impl::plan_look(RunningSequence& sequence) {
  const RequestGroup& group = *sequence.group;
  if (!group.awaits_difficulty && !sequence.newest_sampled) return;
  Thinker thinker{.sequence = &sequence, .looks = group.awaits_difficulty || sequence.controller->wants_look()};
  const bool by_window = group.awaits_difficulty || group.request.thinking->signal == ThinkingSignal::kDifficulty;
  if (thinker.looks && by_window) {
    thinker.look = std::ssize(look_items_);
    look_items_.push_back(window_item(difficulty_->window(), sequence.blocks.data(), std::ssize(sequence.tokens)));
  }
  thinkers_.push_back(thinker);
}

void Engine::Impl::look() {
  difficulties_.resize(look_items_.size());
  if (look_items_.empty()) return;
  ++stats_.difficulty_calls;
  difficulty_->look(pages_.view(), look_items_, difficulties_);
}

// What the step has shown is told to the controllers, before its draws are accepted.
void Engine::Impl::think() {
  for (const Thinker& thinker : thinkers_) {
    RunningSequence& sequence = *thinker.sequence;
    RequestGroup& group = *sequence.group;
    std::optional<double> d;
    if (thinker.looks) sequence.newest_signal = *(d = signal(thinker));
    if (thinker.look >= 0 && !std::isfinite(*d)) {
      group.finished.error = kNotFinite;
      for (const auto& other : group.sequences) {
        if (other.get() != &sequence && !group.awaits_difficulty) continue;
        other->finish_reason = FinishReason::kError;
        other->done = true;
      }
    } else if (group.awaits_difficulty) {
      group.finished.difficulty = *d;
      begin_thinking(group, *d);
    } else if (std::ssize(sequence.tokens) + longest_tag(group.request.thinking->tags) < memory_.max_model_len) {
      if (const auto* const tokens = sequence.controller->forwarded(d)) inject(sequence, *tokens);
    }
  }
}

double Engine::Impl::signal(const Thinker& thinker) {
  RunningSequence& sequence = *thinker.sequence;
  if (thinker.look >= 0) return static_cast<double>(difficulties_[static_cast<std::size_t>(thinker.look)]);
  if (sequence.group->request.thinking->signal == ThinkingSignal::kEntropy) {
    double sum = 0;
    const auto from = sequence.stats.begin() + sequence.looked_at;
    std::for_each(from, sequence.stats.end(), [&](const TokenLogitStats& stats) { sum += stats.entropy; });
    const auto tokens = static_cast<double>(sequence.stats.end() - from);
    sequence.looked_at = std::ssize(sequence.stats);
    return sum / tokens / std::numbers::ln2;
  }
  const ScoreSpec& scores = sequence.group->request.scores;
  if (sequence.gauge->points() < 2) return kUndefined;
  return -kv_coe_scores(sequence.gauge->read(*backend_), {.alpha = scores.alpha, .beta = scores.beta}).normalized_c;
}

void Engine::Impl::inject(RunningSequence& sequence, const std::vector<std::int32_t>& tokens) {
  for (const std::int32_t token : tokens) {
    sequence.tokens.push_back(token);
    sequence.response.push_back(token);
    sequence.text += sequence.matcher->push(sequence.decoder->push(token));
  }
  sequence.max_cached_prefix = std::ssize(sequence.tokens) - 1;  // the last one's logits are needed
  sequence.newest_sampled = false;
  sequence.injected_in_step = true;
  if (!sequence.matcher->matched()) return;
  sequence.finish_reason = FinishReason::kStop;
  sequence.done = true;
}

// Of prompts that no controller waited for: read when the first answer ends and still has its pages.
void Engine::Impl::read_difficulties() {
  look_items_.clear();
  thinkers_.clear();
  for (RunningSequence* const sequence : ended_) {
    const RequestGroup& group = *sequence->group;
    const auto of_group = [&](const Thinker& other) { return other.sequence->group == &group; };
    if (!group.request.difficulty || std::isfinite(group.finished.difficulty) || !group.finished.error.empty() ||
        std::any_of(thinkers_.begin(), thinkers_.end(), of_group))
      continue;
    thinkers_.push_back({.sequence = sequence, .look = std::ssize(look_items_)});
    look_items_.push_back(window_item(difficulty_->window(), group.owner(*sequence).blocks.data(), group.bare_prompt));
  }
  if (look_items_.empty()) return;
  look();
  backend_->wait();
  for (const Thinker& thinker : thinkers_) {
    Finished& finished = thinker.sequence->group->finished;
    finished.difficulty = signal(thinker);
    if (!std::isfinite(finished.difficulty)) finished.error = kNotFinite;
  }
}

// Sequences that end in this step still have their pages.
void Engine::Impl::pool_windows() {
  for (RunningSequence* const sequence : ended_) {
    const Request& request = sequence->group->request;
    if (!request.window || request.window_ends.empty()) continue;
    window_items_.clear();
    for (const std::int64_t end : request.window_ends)
      window_items_.push_back(window_item(*request.window, sequence->blocks.data(), end));
    sequence->windows = windows_.pool(pages_.view(), *request.window, window_items_);
    if (!std::all_of(sequence->windows.begin(), sequence->windows.end(), [](float x) { return std::isfinite(x); }))
      sequence->group->finished.error = "window: not finite, numbers were needed; try --dtype f32";
  }
}

}  // namespace kvgauge
