// Difficulties and think tags: windows of the cache are looked at, controllers told, tokens injected.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "core/cat.h"
#include "core/check.h"
#include "engine/engine_impl.h"
#include "kvgauge/error.h"
#include "score/scores.h"

namespace kvgauge {
namespace {

constexpr std::int64_t kMostSwitches = 1 << 20;
constexpr const char* kNotFinite = "difficulty: not finite, numbers were needed; try --dtype f32";

std::int64_t longest_tag(const ThinkTags& tags) { return std::max(std::ssize(tags.open), std::ssize(tags.close)); }

const std::vector<std::int32_t>* prefix_of(const ThinkingSpec& spec) {
  if (spec.start == ThinkingStart::kSlow) return &spec.tags.open;
  return spec.start == ThinkingStart::kFast ? &spec.tags.fast_prefix : nullptr;
}

bool reads_head(const ThinkingSpec& spec) {
  return spec.start == ThinkingStart::kDifficulty ||
         (spec.signal == ThinkingSignal::kDifficulty && (spec.dry_run || spec.settings.max_switches > 0));
}

std::string reason_in_injected(const std::vector<InjectedTokens>& ranges) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  std::int64_t end = 0;
  for (const InjectedTokens& range : ranges) {
    if (range.at < end || range.at > kMost || range.count < 0 || range.count > kMost)
      return cat("response: ", range.count, " injected tokens at ", range.at, ", ascending ranges from ", end,
                 " on were needed");
    end = range.at + range.count;
  }
  return "";
}

std::string reason_in_settings(const ThinkingSpec& spec) {
  const ControllerSettings& s = spec.settings;
  const auto least = [](const char* name, std::int64_t value, std::int64_t least) {
    return value < least ? cat("thinking: ", name, " is ", value, ", at least ", least, " was needed") : std::string();
  };
  for (auto reason :
       {least("interval", s.interval, 1), least("patience", s.patience, 1), least("max_switches", s.max_switches, 0),
        least("min_tokens", s.min_tokens, 0), least("cooldown", s.cooldown, 0), least("fast_budget", s.fast_budget, 1),
        least("slow_budget", s.slow_budget, 1), least("total_budget", s.total_budget, 0),
        least("thinking_budget", s.thinking_budget, 0)})
    if (!reason.empty()) return reason;
  if (s.max_switches > kMostSwitches)
    return cat("thinking: max_switches is ", s.max_switches, ", at most ", kMostSwitches, " were needed");
  if (!(s.ema >= 0 && s.ema < 1)) return cat("thinking: ema is ", s.ema, ", 0 to less than 1 was needed");
  if (!(s.tau_fast < s.tau_slow))
    return cat("thinking: tau_fast is ", s.tau_fast, ", less than tau_slow ", s.tau_slow, " was needed");
  if (spec.start == ThinkingStart::kDifficulty && spec.signal == ThinkingSignal::kDifficulty &&
      !(s.tau_fast < s.tau && s.tau < s.tau_slow))
    return cat("thinking: tau is ", s.tau, ", between tau_fast ", s.tau_fast, " and tau_slow ", s.tau_slow,
               " was needed");
  return "";
}

}  // namespace

void Engine::Impl::use_head(const DifficultyHead& head) {
  if (const std::string reason = reason_to_refuse(head, files_.config(), files_.content_hash()); !reason.empty())
    throw InputError(reason);
  difficulty_.reset();
  difficulty_.emplace(*backend_, head);
}

std::string Engine::Impl::reason_to_refuse_thinking(const Request& request) const {
  for (std::size_t i = 0; i < 1 + request.further_responses.size(); ++i)
    if (auto reason = reason_in_injected(i == 0 ? request.injected : request.further_responses[i - 1].injected);
        !reason.empty())
      return reason;
  if (request.difficulty && !difficulty_)
    return "difficulty: the engine has no head, one was needed; give --difficulty";
  const bool generates = !request.response && !request.prompt_only;
  if (request.window) {
    if (generates) return "window: of a response that is yet to be generated, a given one was needed";
    const WindowSpec& window = *request.window;
    for (std::size_t i = 0; i < window.layers.size(); ++i)
      if (window.layers[i] < 0 || window.layers[i] >= files_.config().layers ||
          (i > 0 && window.layers[i - 1] >= window.layers[i]))
        return cat("window: layer ", window.layers[i], " is in its list, ascending layers from 0 to ",
                   files_.config().layers - 1, " were needed");
    const std::int64_t known =
        std::ssize(request.prompt) + (request.response ? std::ssize(*request.response) - 1 : std::int64_t{0});
    for (const std::int64_t end : request.window_ends)
      if (end < 1 || end > known)
        return cat("window: ends at ", end, ", 1 to ", known, " cached positions were needed");
  }
  if (!request.thinking) return "";
  const ThinkingSpec& spec = *request.thinking;
  if (!generates) return "thinking: of a response that is given, one to generate was needed";
  if (auto reason = reason_in_settings(spec); !reason.empty()) return reason;
  const bool injects = spec.start != ThinkingStart::kPrompt;
  if (injects && (spec.tags.open.empty() || spec.tags.close.empty() || spec.tags.fast_prefix.empty()))
    return "thinking: a think tag is empty, at least one token was needed";
  for (const auto* const tag : {&spec.tags.open, &spec.tags.close, &spec.tags.fast_prefix, &spec.tags.end})
    for (const std::int32_t token : *tag)
      if (token < 0 || token >= files_.config().vocab)
        return cat("thinking: token ", token, " of a tag lies outside the vocabulary of ", files_.config().vocab);
  if (reads_head(spec) && !difficulty_)
    return "thinking: it goes by difficulties and the engine has no head; give --difficulty";
  if (spec.signal == ThinkingSignal::kKvCoe && !request.scores.kv_coe)
    return "thinking: the signal kv-coe is read off the KV trajectory, which is off; add kv-coe to --scores";
  if (spec.start == ThinkingStart::kDifficulty && request.scores.coe)
    return "thinking: hidden-state CoE needs to know where the prompt ends before it is computed; drop coe from "
           "--scores, or give --think on or off";
  if (!injects && !spec.dry_run)
    return "thinking: the prompt says how it starts, which serves dry runs only; give a start";
  const std::int64_t prefix =
      injects ? std::max(std::ssize(spec.tags.open), std::ssize(spec.tags.fast_prefix)) : std::int64_t{0};
  if (std::ssize(request.prompt) + prefix >= memory_.max_model_len)
    return cat("prompt of ", request.prompt.size(), " and think tags of ", prefix, " tokens: the context holds ",
               memory_.max_model_len, " with at least one for the answer; raise --max-model-len or --kv-memory");
  return "";
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
    // An answer that ended with its first token never left the sequence that computed its prompt.
    const RunningSequence& owner = sequence->scheduled ? *sequence : *group.sequences[0];
    thinkers_.push_back({.sequence = sequence, .look = std::ssize(look_items_)});
    look_items_.push_back(window_item(difficulty_->window(), owner.blocks.data(), group.bare_prompt));
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
