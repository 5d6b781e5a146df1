// Sequences that end in a step: what is read of them before their pages go, and the answers that they become.
#include "engine/engine_impl.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "score/eigenscore.h"
#include "score/scores.h"

namespace kvgauge {
namespace {

// What is left are the sampled tokens, as a run that injected the others judged them.
void drop_injected(std::vector<TokenLogitStats>& stats, const std::vector<InjectedTokens>& injected) {
  for (auto range = injected.rbegin(); range != injected.rend(); ++range) {
    const std::int64_t begin = std::min(range->at, std::ssize(stats));
    const std::int64_t end = std::min(range->at + range->count, std::ssize(stats));
    stats.erase(stats.begin() + begin, stats.begin() + end);
  }
}

}  // namespace

// Sequences that end in this step still have their pages. One call for all that are embedded alike.
void Engine::Impl::embed_ended() {
  for (std::size_t first = 0; first < ended_.size(); ++first) {
    const RequestGroup& group = *ended_[first]->group;
    const auto alike = [&](const RunningSequence* sequence) {
      return sequence->group->request.embedding == group.request.embedding;
    };
    if (!group.request.embedding ||
        std::any_of(ended_.begin(), ended_.begin() + static_cast<std::ptrdiff_t>(first), alike))
      continue;
    embedded_.clear();
    embedding_items_.clear();
    for (auto it = ended_.begin() + static_cast<std::ptrdiff_t>(first); it != ended_.end(); ++it) {
      RunningSequence& sequence = **it;
      const RunningSequence& owner = sequence.group->owner(sequence);
      const PositionRange range = span_positions(group.request.embedding->span, sequence.group->prompt_tokens(),
                                                 std::min(owner.computed, std::ssize(sequence.tokens)));
      if (!alike(&sequence) || range.begin == range.end) continue;
      embedded_.push_back(&sequence);
      embedding_items_.push_back({.blocks = owner.blocks.data(), .begin = range.begin, .end = range.end});
    }
    auto vectors = embedder_.pool(pages_.view(), *group.request.embedding, embedding_items_);
    for (std::size_t i = 0; i < vectors.size(); ++i) {
      std::string& error = embedded_[i]->group->finished.error;
      if (error.empty() && !std::all_of(vectors[i].begin(), vectors[i].end(), [](float x) { return std::isfinite(x); }))
        error = "embedding: not finite, numbers were needed; try --dtype f32";
      embedded_[i]->embedding = std::move(vectors[i]);
    }
  }
}

void Engine::Impl::cancel(std::int64_t request) {
  const auto at = groups_.find(request);
  if (at == groups_.end()) return;
  RequestGroup& group = *at->second;
  group.cancelled = true;
  ended_.clear();
  for (const auto& sequence : group.sequences) {
    if (sequence->done) continue;
    sequence->finish_reason = FinishReason::kCancelled;
    sequence->done = true;
    ended_.push_back(sequence.get());
    const bool saw_prompt = sequence->states_gauge && group.prompt_states.first && group.prompt_states.last &&
                            sequence->states_gauge->seen() >= group.prompt_tokens();
    if (!saw_prompt) sequence->states_gauge.reset();
  }
  for (RunningSequence* const sequence : ended_) finish(*sequence);  // the last one takes the group with it
}

void Engine::Impl::finish(RunningSequence& sequence) {
  RequestGroup& group = *sequence.group;
  const Request& request = group.request;
  if (request.scores.eigenscore && group.sequences.size() > 1 && !group.cancelled) keep_vectors(sequence);
  if (sequence.scheduled) scheduler_.finish(sequence);
  group.finished.preemptions += sequence.preemptions;
  if (group.prompt_states.last) read_states(sequence);
  if (sequence.gauge) {
    sequence.trajectory = sequence.gauge->read(*backend_);
    if (request.scores.keep_trajectory) sequence.steps = sequence.gauge->read_steps(*backend_);
    sequence.gauge.reset();  // its memory on the device is free for others while the group's other answers go on
  }
  if (--group.unfinished > 0) return;
  for (const auto& done : group.sequences) read_states(*done);

  for (const auto& done : group.sequences) {
    Answer answer;
    if (group.generates()) {
      answer.text = std::move(done->text);
      if (!done->matcher->matched()) {
        answer.text += done->matcher->push(done->decoder->finish());
        answer.text += done->matcher->finish();
      }
      answer.finish_reason = done->finish_reason;
      if (done->controller) answer.thinking = done->controller->record();
    } else {
      answer.finish_reason = done->finish_reason == FinishReason::kCancelled ? FinishReason::kCancelled
                             : group.response_finished(done->sample)         ? FinishReason::kStop
                                                                             : FinishReason::kLength;
    }
    answer.tokens = std::move(done->response);
    answer.embedding = std::move(done->embedding);
    answer.windows = std::move(done->windows);
    if (request.scores.kv_coe) {
      answer.kv_coe = kv_coe_scores(done->trajectory, {.alpha = request.scores.alpha, .beta = request.scores.beta});
      answer.dr = std::move(done->steps.dr);
      answer.dtheta = std::move(done->steps.dtheta);
    }
    if (request.scores.prob) {
      if (group.forced()) drop_injected(done->stats, group.injected(done->sample));
      answer.prob = prob_scores(done->stats, files_.config().vocab);
    }
    if (request.scores.coe) {
      const LayerTrajectories& layers = done->layer_trajectories;
      answer.coe = CoeScores{.official = coe_pair(layers.official),
                             .fixed = coe_pair(layers.fixed),
                             .response = coe_pair(layers.response)};
    }
    group.finished.answers.push_back(std::move(answer));
  }
  finish_group(group);
}

// Needs the prompt's states, which the first answer sees: a forced one that found the prompt in the prefix cache may
// have ended before, and is read when the group ends.
void Engine::Impl::read_states(RunningSequence& sequence) {
  if (!sequence.states_gauge) return;
  sequence.layer_trajectories = sequence.states_gauge->read(*backend_, sequence.group->prompt_states);
  sequence.states_gauge.reset();  // its memory on the device is free for others
}

// Before the sequence gives its pages back: what EigenScore compares of it.
void Engine::Impl::keep_vectors(RunningSequence& sequence) {
  const RequestGroup& group = *sequence.group;
  const std::int64_t hidden = files_.config().hidden, values = std::int64_t{layout_.kv_heads} * layout_.head_dim;
  KVGAUGE_CHECK(sequence.tapped_row >= 0, "sequence ", sequence.id, " ends without a state");
  sequence.last_state.resize(static_cast<std::size_t>(hidden));
  const auto row_bytes = static_cast<std::size_t>(hidden) * sizeof(float);
  const auto* const tapped = static_cast<const std::byte*>(decoder_.tapped().data);
  backend_->download(sequence.last_state.data(), tapped + static_cast<std::size_t>(sequence.tapped_row) * row_bytes,
                     row_bytes);
  backend_->wait();
  if (sequence.computed <= group.prompt_tokens()) return;  // one token: nothing of the response is in the pages
  sequence.pooled_values.resize(static_cast<std::size_t>(values));
  if (!pooled_) pooled_ = backend_->allocate(static_cast<std::size_t>(values) * sizeof(float));
  const PoolItem item{.blocks = sequence.blocks.data(), .begin = group.prompt_tokens(), .end = sequence.computed};
  backend_->kv_pool(
      {.pages = pages_.view(),
       .spec = {.part = GaugePart::kV, .layers = group.request.scores.layers, .mean_over_positions = true},
       .items = {&item, 1},
       .features = {.data = pooled_->data(), .rows = 1, .columns = values, .stride = values},
       .head = {},
       .out = {}});
  backend_->download(sequence.pooled_values.data(), pooled_->data(), static_cast<std::size_t>(values) * sizeof(float));
  backend_->wait();
}

void Engine::Impl::finish_group(RequestGroup& group) {
  if (group.request.scores.eigenscore && group.sequences.size() > 1 && group.finished.error.empty() &&
      !group.cancelled) {
    const auto score = [&](std::vector<float> RunningSequence::*vector) {
      std::vector<std::span<const float>> vectors;
      for (const auto& sequence : group.sequences) vectors.emplace_back(*sequence.*vector);
      return eigen_score(vectors);
    };
    group.finished.eigenscore =
        EigenScores{.hidden = score(&RunningSequence::last_state), .kv = score(&RunningSequence::pooled_values)};
  }
  const double now = now_ms();
  group.finished.prompt_suffix.assign(group.request.prompt.begin() + group.bare_prompt, group.request.prompt.end());
  group.finished.cached_tokens = std::min(group.finished.cached_tokens, group.bare_prompt);
  group.finished.queue_ms = (group.started_ms < 0 ? now : group.started_ms) - group.submitted_ms;
  group.finished.ttft_ms = group.first_token_ms < 0 ? 0 : group.first_token_ms - group.submitted_ms;
  group.finished.e2e_ms = now - group.submitted_ms;
  const std::int64_t number = group.finished.request;
  finished_.push_back(std::move(group.finished));
  groups_.erase(number);
}

}  // namespace kvgauge
