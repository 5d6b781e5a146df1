#include "engine/admission.h"

#include <algorithm>
#include <cmath>
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

std::string reason_in_embedding(const EmbeddingSpec& spec, std::int64_t model_layers) {
  for (std::size_t i = 0; i < spec.layers.size(); ++i)
    if (spec.layers[i] < 0 || spec.layers[i] >= model_layers || (i > 0 && spec.layers[i - 1] >= spec.layers[i]))
      return cat("embedding: layer ", spec.layers[i], " is in its list, ascending layers from 0 to ", model_layers - 1,
                 " were needed");
  return "";
}

constexpr std::int64_t kMostCompared = 1024;  // answers of one eigenscore: its matrix has the square of them

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

std::string reason_in_response(const std::vector<std::int32_t>& tokens, std::int64_t prompt, std::int64_t vocab,
                               std::int64_t max_model_len) {
  const auto response = static_cast<std::int64_t>(tokens.size());
  if (response == 0) return "response: is empty, at least one token was needed";
  if (auto reason = reason_in_tokens(tokens, "response", vocab); !reason.empty()) return reason;
  if (prompt + response - 1 > max_model_len)
    return cat("prompt of ", prompt, " and response of ", response, " tokens: the context holds ", max_model_len,
               "; raise --max-model-len or --kv-memory");
  return "";
}

}  // namespace

std::string reason_to_refuse(const Request& request, const ModelConfig& config, std::int64_t max_model_len) {
  const auto prompt = static_cast<std::int64_t>(request.prompt.size());
  if (prompt == 0) return "prompt: is empty, at least one token was needed";
  if (auto reason = reason_in_tokens(request.prompt, "prompt", config.vocab); !reason.empty()) return reason;
  if (auto reason = reason_in_scores(request, config.layers); !reason.empty()) return reason;
  if (request.embedding)
    if (auto reason = reason_in_embedding(*request.embedding, config.layers); !reason.empty()) return reason;
  if (request.prompt_only) {
    if (request.response || request.scores.prob || request.samples != 1)
      return "prompt only: found a response, scores of its probabilities or several samples, none of them was needed";
    if (prompt > max_model_len)
      return cat("text of ", prompt, " tokens: the context holds ", max_model_len,
                 "; raise --max-model-len or --kv-memory");
    return "";
  }
  if (request.response) {
    auto reason = reason_in_response(*request.response, prompt, config.vocab, max_model_len);
    for (auto next = request.further_responses.begin(); reason.empty() && next != request.further_responses.end();
         ++next)
      reason = reason_in_response(next->tokens, prompt, config.vocab, max_model_len);
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
