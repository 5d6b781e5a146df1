#include "engine/admission.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "core/cat.h"

namespace kvgauge {
namespace {

std::string reason_in_tokens(std::span<const std::int32_t> tokens, const char* what, std::int64_t vocab) {
  const auto bad = std::find_if(tokens.begin(), tokens.end(), [&](std::int32_t t) { return t < 0 || t >= vocab; });
  return bad == tokens.end() ? "" : cat(what, ": token ", *bad, " lies outside the vocabulary of ", vocab);
}

std::string reason_in_sampling(const SamplingParams& s) {
  const auto outside = [](const char* name, double value, const char* range) {
    return cat(name, " is ", value, ", ", range, " was needed");
  };
  if (!(s.temperature >= 0) || !std::isfinite(s.temperature)) return outside("temperature", s.temperature, "0 or more");
  if (!(s.top_p > 0 && s.top_p <= 1)) return outside("top_p", s.top_p, "more than 0, at most 1");
  if (!(s.min_p >= 0 && s.min_p <= 1)) return outside("min_p", s.min_p, "0 to 1");
  if (s.top_k < 0) return outside("top_k", static_cast<double>(s.top_k), "0 or more");
  return "";
}

std::string reason_in_layers(const char* what, const std::vector<std::int32_t>& layers, std::int64_t model_layers) {
  for (std::size_t i = 0; i < layers.size(); ++i)
    if (layers[i] < 0 || layers[i] >= model_layers || (i > 0 && layers[i - 1] >= layers[i]))
      return cat(what, ": layer ", layers[i], " is in its list, ascending layers from 0 to ", model_layers - 1,
                 " were needed");
  return "";
}

constexpr std::int64_t kMostCompared = 1024;  // answers of one eigenscore: its matrix has the square of them

constexpr std::int64_t kMostSwitches = 1 << 20;

std::string reason_in_scores(const Request& request, std::int64_t layers) {
  const ScoreSpec& scores = request.scores;
  for (std::size_t i = 0; i < scores.layers.size(); ++i)
    if (scores.layers[i] < 0 || scores.layers[i] >= layers || (i > 0 && scores.layers[i] <= scores.layers[i - 1]))
      return cat("layers: found ", scores.layers[i], " at place ", i, ", ascending numbers below ", layers,
                 " were needed");
  const auto answers = static_cast<std::int64_t>(request.further_responses.size()) + 1;
  if (scores.eigenscore && std::max(answers, request.samples) > kMostCompared)
    return cat("eigenscore: ", std::max(answers, request.samples), " answers, at most ", kMostCompared,
               " can be compared");
  return "";
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

std::string reason_in_response(const std::vector<std::int32_t>& tokens, const std::vector<InjectedTokens>& injected,
                               std::int64_t prompt, std::int64_t vocab, std::int64_t max_model_len) {
  const auto response = static_cast<std::int64_t>(tokens.size());
  if (response == 0) return "response: is empty, at least one token was needed";
  if (auto reason = reason_in_tokens(tokens, "response", vocab); !reason.empty()) return reason;
  if (prompt + response - 1 > max_model_len)
    return cat("prompt of ", prompt, " and response of ", response, " tokens: the context holds ", max_model_len,
               "; raise --max-model-len or --kv-memory");
  return reason_in_injected(injected);
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

std::string reason_in_window(const Request& request, const ModelConfig& config) {
  if (!request.response && !request.prompt_only)
    return "window: of a response that is yet to be generated, a given one was needed";
  if (auto reason = reason_in_layers("window", request.window->layers, config.layers); !reason.empty()) return reason;
  const std::int64_t known =
      std::ssize(request.prompt) + (request.response ? std::ssize(*request.response) - 1 : std::int64_t{0});
  for (const std::int64_t end : request.window_ends)
    if (end < 1 || end > known) return cat("window: ends at ", end, ", 1 to ", known, " cached positions were needed");
  return "";
}

bool reads_head(const ThinkingSpec& spec) {
  return spec.start == ThinkingStart::kDifficulty ||
         (spec.signal == ThinkingSignal::kDifficulty && (spec.dry_run || spec.settings.max_switches > 0));
}

std::string reason_in_thinking(const Request& request, const ModelConfig& config, std::int64_t max_model_len,
                               bool has_head) {
  const ThinkingSpec& spec = *request.thinking;
  if (request.response || request.prompt_only)
    return "thinking: of a response that is given, one to generate was needed";
  if (auto reason = reason_in_settings(spec); !reason.empty()) return reason;
  const bool injects = spec.start != ThinkingStart::kPrompt;
  if (injects && (spec.tags.open.empty() || spec.tags.close.empty() || spec.tags.fast_prefix.empty()))
    return "thinking: a think tag is empty, at least one token was needed";
  for (const auto* const tag : {&spec.tags.open, &spec.tags.close, &spec.tags.fast_prefix, &spec.tags.end})
    for (const std::int32_t token : *tag)
      if (token < 0 || token >= config.vocab)
        return cat("thinking: token ", token, " of a tag lies outside the vocabulary of ", config.vocab);
  if (reads_head(spec) && !has_head)
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
  if (std::ssize(request.prompt) + prefix >= max_model_len)
    return cat("prompt of ", request.prompt.size(), " and think tags of ", prefix, " tokens: the context holds ",
               max_model_len, " with at least one for the answer; raise --max-model-len or --kv-memory");
  return "";
}

}  // namespace

std::string reason_to_refuse(const Request& request, const ModelConfig& config, std::int64_t max_model_len,
                             bool has_head) {
  const auto prompt = static_cast<std::int64_t>(request.prompt.size());
  if (prompt == 0) return "prompt: is empty, at least one token was needed";
  if (auto reason = reason_in_tokens(request.prompt, "prompt", config.vocab); !reason.empty()) return reason;
  if (auto reason = reason_in_scores(request, config.layers); !reason.empty()) return reason;
  if (request.embedding)
    if (auto reason = reason_in_layers("embedding", request.embedding->layers, config.layers); !reason.empty())
      return reason;
  if (request.difficulty && !has_head) return "difficulty: the engine has no head, one was needed; give --difficulty";
  if (request.window)
    if (auto reason = reason_in_window(request, config); !reason.empty()) return reason;
  if (request.thinking)
    if (auto reason = reason_in_thinking(request, config, max_model_len, has_head); !reason.empty()) return reason;
  if (request.prompt_only) {
    if (request.response || request.scores.prob || request.samples != 1)
      return "prompt only: found a response, scores of its probabilities or several samples, none of them was needed";
    if (prompt > max_model_len)
      return cat("text of ", prompt, " tokens: the context holds ", max_model_len,
                 "; raise --max-model-len or --kv-memory");
    return "";
  }
  if (request.response) {
    auto reason = reason_in_response(*request.response, request.injected, prompt, config.vocab, max_model_len);
    for (auto next = request.further_responses.begin(); reason.empty() && next != request.further_responses.end();
         ++next)
      reason = reason_in_response(next->tokens, next->injected, prompt, config.vocab, max_model_len);
    return reason;
  }
  if (prompt >= max_model_len)
    return cat("prompt of ", prompt, " tokens: the context holds ", max_model_len,
               " with at least one for the answer; raise --max-model-len or --kv-memory");
  if (request.stop.max_tokens < 1) return cat("max_tokens is ", request.stop.max_tokens, ", at least 1 was needed");
  if (request.samples < 1) return cat("n is ", request.samples, ", at least 1 was needed");
  return reason_in_sampling(request.sampling);
}

}  // namespace kvgauge
