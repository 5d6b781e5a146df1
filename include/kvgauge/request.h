#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kvgauge/difficulty.h"
#include "kvgauge/embedding.h"
#include "kvgauge/scores.h"
#include "kvgauge/thinking.h"

namespace kvgauge {

/// How tokens are drawn; temperature 0 is greedy and ignores the rest. Order of filters: temperature, top-k, top-p,
/// min-p.
struct SamplingParams {
  double temperature = 0;
  double top_p = 1, min_p = 0;  ///< 1 and 0 switch them off
  std::int64_t top_k = 0;       ///< 0 switches it off
  std::uint64_t seed = 0;
};

/// When a response ends: an end-of-text token (unless ignore_eos), a stop string, max_tokens, or the end of the
/// context.
struct StopRules {
  std::int64_t max_tokens = 512;  ///< sampled tokens, end-of-text included; at least 1
  std::vector<std::string> stop;  ///< not part of the text; may straddle tokens
  bool ignore_eos = false;
};

/// What to measure while a request runs. Nothing asked for costs nothing.
struct ScoreSpec {
  bool kv_coe = false;
  bool prob = false;
  GaugePart part = GaugePart::kV;
  GaugeSpan span = GaugeSpan::kResponse;
  bool keep_trajectory = false;           ///< hand out dr and dtheta with the result; needs kv_coe
  std::vector<std::int32_t> layers = {};  ///< of the KV trajectory and of eigenscore's KV twin; ascending, empty = all
  bool unrotated_keys = false;            ///< the KV trajectory reads keys as they were before RoPE
  double alpha = 1, beta = 1;             ///< of the KV trajectory's `paper` R (METHOD.md A.3)
  bool coe = false;                       ///< hidden-state CoE; its rows take nothing from the prefix cache
  bool coe_final_norm = true;  ///< the last state is taken after the final norm, as transformers hands it out
  bool eigenscore = false;     ///< over the answers of the request, where it has several
};

/// Tokens of a response that were injected, not sampled: probabilities are not judged by them.
struct InjectedTokens {
  std::int64_t at = 0, count = 0;  ///< response tokens before them; how many
};

/// A further teacher-forced answer.
struct ForcedResponse {
  std::vector<std::int32_t> tokens;  ///< at least one
  bool finished = true;              ///< the last token ended the text
  std::vector<InjectedTokens> injected = {};
};

/// One question (or one finished pair to score).
struct Request {
  std::vector<std::int32_t> prompt;                   ///< at least one token
  std::optional<std::vector<std::int32_t>> response;  ///< teacher-forced: score exactly these tokens, generate nothing
  bool prompt_only = false;  ///< neither generates nor judges: the prompt is computed for what is read off its cache
  bool response_finished = true;              ///< teacher-forced: the last token ended the text (finish_reason "stop")
  std::vector<InjectedTokens> injected = {};  ///< teacher-forced: of `response`
  std::vector<ForcedResponse> further_responses = {};  ///< teacher-forced: more answers to the same prompt
  SamplingParams sampling;
  StopRules stop;
  ScoreSpec scores;
  std::optional<EmbeddingSpec> embedding;      ///< of every answer
  bool difficulty = false;                     ///< read the engine's difficulty head at the end of the prompt
  std::optional<ThinkingSpec> thinking;        ///< generates only; the prompt then ends before the think tags
  std::optional<WindowSpec> window;            ///< of every answer: the features of windows that end at `window_ends`
  std::vector<std::int64_t> window_ends = {};  ///< cached positions, at least 1, prompt included; teacher-forced only
  std::int64_t samples = 1;                    ///< answers over one shared prompt
  std::uint64_t stream = 0;                    ///< names the row to the random generator (its index in the job)
};

enum class FinishReason : std::uint8_t { kStop, kLength, kCancelled, kError };
/// As rows have it.
constexpr const char* name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop: return "stop";
    case FinishReason::kLength: return "length";
    case FinishReason::kCancelled: return "cancelled";
    case FinishReason::kError: break;
  }
  return "error";
}

/// One answer with its scores.
struct Answer {
  std::string text;  ///< special tokens dropped, stop string cut off
  std::vector<std::int32_t>
      tokens;  ///< sampled, injected (behind the first sampled) or teacher-forced tokens, end-of-text included
  FinishReason finish_reason = FinishReason::kStop;
  std::optional<KvCoeScores> kv_coe;
  std::optional<ProbScores> prob;
  std::optional<CoeScores> coe;
  std::vector<float> dr, dtheta;  ///< only with keep_trajectory
  std::optional<ThinkingRecord> thinking;
  std::vector<float> windows;    ///< [window_ends, window_features()], row-major
  std::vector<float> embedding;  ///< empty where the request's embedding covers no position (a response of one token)
};

/// The first answer of a request while it runs.
struct AnswerProgress {
  std::string_view text;  ///< so far, until the engine's next step; half a character and what may become a stop string
                          ///< are held back
  std::int64_t sampled = 0;          ///< tokens
  std::optional<ThinkingMode> mode;  ///< of requests with `thinking`, once it is known
  double difficulty = kUndefined;    ///< d of the prompt, once it has been read
  double signal = kUndefined;        ///< what the controller saw last, the prompt included
};

/// What became of a request.
struct Finished {
  std::int64_t request = 0;                           ///< what submit() returned
  std::string error;                                  ///< not empty: the request failed, `answers` may be empty
  std::vector<Answer> answers;                        ///< `samples` of them
  std::optional<EigenScores> eigenscore;              ///< if it was asked for and there are several answers
  double difficulty = kUndefined;                     ///< d of the prompt, if it was asked for
  std::vector<std::int32_t> prompt_suffix;            ///< think tags that were put behind the prompt
  std::int64_t prompt_tokens = 0, cached_tokens = 0;  ///< prompt_suffix not counted
  std::int64_t preemptions = 0;
  double queue_ms = 0, ttft_ms = 0,
         e2e_ms = 0;  ///< wait until the first step, until the first token (0 if none), until the end
};

}  // namespace kvgauge
