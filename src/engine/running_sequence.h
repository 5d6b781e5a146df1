#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/controller.h"
#include "engine/sequence.h"
#include "gauge/layer_states_gauge.h"
#include "gauge/trajectory_gauge.h"
#include "kvgauge/request.h"
#include "text/stream_decoder.h"

namespace kvgauge {

struct RequestGroup;

/// One answer in the making: what the scheduler sees (the base), and what the engine adds to it.
struct RunningSequence : Sequence {
  RequestGroup* group = nullptr;
  std::int64_t sample = 0;               ///< index among the request's answers
  std::vector<std::int32_t> response;    ///< sampled and injected so far, or all teacher-forced tokens
  std::int64_t sampled = 0;              ///< tokens of them that were sampled
  std::vector<TokenLogitStats> stats;    ///< one per response token whose logits have been seen; empty unless asked for
  std::optional<TrajectoryGauge> gauge;  ///< until the sequence is done
  TrajectorySums trajectory;             ///< from then on
  TrajectorySteps steps;                 ///< if they were asked for
  std::vector<float> embedding, windows;  ///< likewise, once the sequence is done
  std::optional<ThinkingController> controller;
  double newest_signal = kUndefined;  ///< of the controller's looks
  std::int64_t looked_at = 0;         ///< entries of `stats` that the signal has seen
  bool newest_sampled = false;        ///< the last token was sampled, not injected or part of the prompt
  bool injected_in_step = false;      ///< tokens were put behind the last one in this step: what it drew is void
  std::optional<LayerStatesGauge> states_gauge;  ///< until the sequence is done
  LayerTrajectories layer_trajectories;          ///< from then on
  std::int64_t tapped_row = -1;                  ///< of Decoder::tapped(), in the step that ends the sequence
  std::vector<float> last_state, pooled_values;  ///< what EigenScore compares; from the end on, if it was asked for
  std::optional<StreamDecoder> decoder;
  std::optional<StopMatcher> matcher;
  std::string text;
  FinishReason finish_reason = FinishReason::kStop;
  bool scheduled = false;  ///< the scheduler knows it
  bool done = false;
};

/// A request and its answers.
struct RequestGroup {
  Request request;
  Finished finished;
  std::int64_t longest = 0;  ///< positions a sequence of this request can reach
  std::vector<std::unique_ptr<RunningSequence>>
      sequences;  ///< the first one prefills the prompt; the others fork from it
  std::int64_t unfinished = 0;
  bool forked = false;             ///< the other answers have left the first one
  bool cancelled = false;          ///< by the caller: what is read at the end is left out
  bool awaits_difficulty = false;  ///< the first mode is not known: the prompt ends before the think tags
  std::int64_t bare_prompt = 0;    ///< tokens of the prompt without think tags that we put behind it
  PromptStates prompt_states;      ///< of hidden-state CoE, if it was asked for
  double submitted_ms = 0, started_ms = -1, first_token_ms = -1;

  bool forced() const { return request.response.has_value(); }
  /// Whether the logits of its tokens are judged: for scores, or for a signal of the controller's.
  bool judges() const {
    return request.scores.prob || (request.thinking && request.thinking->signal == ThinkingSignal::kEntropy);
  }
  bool generates() const { return !forced() && !request.prompt_only; }
  std::int64_t answers() const {
    return forced() ? 1 + static_cast<std::int64_t>(request.further_responses.size()) : request.samples;
  }
  /// Teacher-forced: the tokens of an answer, and whether they ended the text.
  const std::vector<std::int32_t>& response(std::int64_t sample) const {
    return sample == 0 ? *request.response : request.further_responses[static_cast<std::size_t>(sample - 1)].tokens;
  }
  const std::vector<InjectedTokens>& injected(std::int64_t sample) const {
    return sample == 0 ? request.injected : request.further_responses[static_cast<std::size_t>(sample - 1)].injected;
  }
  bool response_finished(std::int64_t sample) const {
    return sample == 0 ? request.response_finished
                       : request.further_responses[static_cast<std::size_t>(sample - 1)].finished;
  }
  /// Who holds the pages that an answer was computed in. One that ended with its first token never left the sequence
  /// that computed its prompt.
  const RunningSequence& owner(const RunningSequence& sequence) const {
    return sequence.scheduled ? sequence : *sequences[0];
  }
  std::int64_t prompt_tokens() const { return static_cast<std::int64_t>(request.prompt.size()); }
};

}  // namespace kvgauge
