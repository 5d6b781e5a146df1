#include "kvgauge/engine.h"

#include <algorithm>

#include "core/cat.h"
#include "engine/admission.h"
#include "engine/engine_impl.h"
#include "engine/open_backend.h"
#include "model/cache_layout.h"

namespace kvgauge {
namespace {

constexpr std::int64_t kLogitRows = 64;  // rows of the whole vocabulary that are sampled from at once

}  // namespace

Engine::Impl::Impl(const EngineOptions& options)
    : options_(options),
      files_(ModelFiles::open(options.model)),
      tokenizer_(files_.tokenizer(), options.model.string()),
      backend_(open_backend(options, files_.config())),
      weights_(load_weights(files_, *backend_)),
      memory_(plan_memory(options, files_.config(),
                          page_layout(files_.config(), backend_->compute_dtype()).block_bytes(),
                          backend_->default_kv_bytes())),
      layout_(page_layout(files_.config(), backend_->compute_dtype())),
      kv_memory_(backend_->allocate(static_cast<std::size_t>(memory_.blocks * layout_.block_bytes()))),
      pages_(layout_, static_cast<std::int32_t>(memory_.blocks), kv_memory_->data()),
      scheduler_({.blocks = static_cast<std::int32_t>(memory_.blocks),
                  .tokens_per_step = options.step_tokens,
                  .max_sequences = options.max_batch,
                  .chunk = options.chunk_tokens,
                  .prefix_cache = options.prefix_cache}),
      decoder_(files_.config(), weights_, *backend_, options.step_tokens,
               std::min(kLogitRows, std::max(options.max_batch, options.step_tokens))),
      embedder_(*backend_),
      windows_(*backend_, options.max_batch),
      frequencies_(rope_inverse_frequencies(files_.config())) {
  if (files_.chat_template()) chat_template_.emplace(*files_.chat_template(), files_.chat_template_where());
  backend_->warm_up(options.step_tokens, memory_.max_model_len);
  stats_.weight_bytes = backend_->packed_bytes() + weights_.memory->bytes();
  stats_.table_bytes = weights_.table->bytes();
  stats_.kv_bytes = kv_memory_->bytes();
  stats_.activation_bytes = decoder_.activation_bytes();
  stats_.blocks = memory_.blocks;

  const auto rows = static_cast<std::size_t>(options.step_tokens),
             sequences = static_cast<std::size_t>(options.max_batch);
  const auto tile = static_cast<std::size_t>(decoder_.max_tile_rows());
  ids_.reserve(rows);
  draws_.reserve(rows);
  for (auto* list : {&logit_rows_, &tile_rows_, &judged_rows_, &judged_tokens_, &judged_draws_}) list->reserve(tile);
  sampled_.reserve(rows);
  stat_values_.reserve(rows);
  sample_requests_.reserve(tile);
  slices_.reserve(sequences);
  gauge_items_.reserve(sequences);
  look_items_.reserve(sequences);
  thinkers_.reserve(sequences);
  difficulties_.reserve(sequences);
  for (auto* list : {&touched_, &ended_}) list->reserve(sequences);
  gauge_specs_.reserve(sequences);
}

std::int64_t Engine::Impl::submit(Request request) {
  const std::int64_t number = next_request_++;
  auto group = std::make_unique<RequestGroup>();
  group->finished.request = number;
  group->finished.prompt_tokens = static_cast<std::int64_t>(request.prompt.size());
  group->submitted_ms = now_ms();
  group->finished.error = reason_to_refuse(request, files_.config(), memory_.max_model_len, difficulty_.has_value());
  group->request = std::move(request);
  if (!group->finished.error.empty()) {
    finished_.push_back(std::move(group->finished));
    return number;
  }
  group->bare_prompt = group->prompt_tokens();
  start_sequences(*group);
  groups_.emplace(number, std::move(group));
  return number;
}

void Engine::Impl::start_sequences(RequestGroup& group) {
  const Request& request = group.request;
  const std::int64_t answers = group.answers();
  std::int64_t prompt = group.prompt_tokens();
  if (request.prompt_only) group.longest = prompt;
  if (group.generates()) group.longest = prompt + std::min(request.stop.max_tokens, memory_.max_model_len - prompt);
  if (request.thinking) {
    plan_thinking(group);
    prompt = group.prompt_tokens();
  }
  for (std::int64_t sample = 0; group.forced() && sample < answers; ++sample)  // the last token is never fed
    group.longest = std::max(group.longest, prompt + static_cast<std::int64_t>(group.response(sample).size()) - 1);
  group.sequences.reserve(static_cast<std::size_t>(answers));
  for (std::int64_t sample = 0; sample < answers; ++sample) group.sequences.push_back(new_sequence(group, sample));
  if (request.thinking && !group.awaits_difficulty) begin_thinking(group, kUndefined);
  group.unfinished = answers;
  if (request.embedding) embedder_.reserve(*request.embedding, pages_.view(), options_.max_batch);
  for (const auto& sequence : group.sequences) {
    scheduler_.add(*sequence);
    sequence->scheduled = true;
    if (!group.forced()) break;  // the others leave the first one when it has computed the prompt
  }
}

std::unique_ptr<RunningSequence> Engine::Impl::new_sequence(RequestGroup& group, std::int64_t sample) {
  const Request& request = group.request;
  auto sequence = std::make_unique<RunningSequence>();
  sequence->id = next_sequence_++;
  sequence->group = &group;
  sequence->sample = sample;
  sequence->tokens.reserve(static_cast<std::size_t>(group.longest));
  sequence->blocks.reserve(static_cast<std::size_t>(group.longest / kPageTokens + 2));
  sequence->tokens.assign(request.prompt.begin(), request.prompt.end());
  sequence->max_cached_prefix = group.prompt_tokens() - 1;
  if (group.forced()) {
    sequence->response = group.response(sample);
    sequence->tokens.insert(sequence->tokens.end(), sequence->response.begin(), sequence->response.end() - 1);
    const auto known = static_cast<std::int64_t>(sequence->tokens.size());
    if (!request.scores.prob) sequence->max_cached_prefix = request.scores.eigenscore ? known - 1 : known;
  } else if (request.prompt_only) {
    sequence->max_cached_prefix = group.prompt_tokens();
  } else {
    sequence->response.reserve(static_cast<std::size_t>(group.longest - group.prompt_tokens()));
    sequence->decoder.emplace(tokenizer_);
    sequence->matcher.emplace(request.stop.stop);
  }
  if (group.judges()) sequence->stats.reserve(static_cast<std::size_t>(group.longest - group.prompt_tokens() + 1));
  if (!group.awaits_difficulty) start_gauge(*sequence);  // else the prompt's end is not known yet
  if (request.scores.coe) {
    // The first answer sees the prompt for all; answers that leave it begin behind the prompt.
    const std::int64_t first = sample == 0 ? 0 : group.prompt_tokens();
    sequence->states_gauge.emplace(group.prompt_tokens(), files_.config().layers + 1, files_.config().hidden, first);
    sequence->max_cached_prefix = std::min(sequence->max_cached_prefix, first);
  }
  return sequence;
}

void Engine::Impl::start_gauge(RunningSequence& sequence) {
  const RequestGroup& group = *sequence.group;
  const ScoreSpec& scores = group.request.scores;
  if (!scores.kv_coe) return;
  const std::int64_t parts = scores.part == GaugePart::kKV ? 2 : 1;
  sequence.gauge.emplace(scores.span, group.prompt_tokens(), group.longest,
                         parts * layout_.kv_heads * layout_.head_dim);
}

Engine::Engine(const EngineOptions& options) : impl_(std::make_unique<Impl>(options)) {}
Engine::Engine(Engine&&) noexcept = default;
Engine::~Engine() = default;

void Engine::use_difficulty_head(const DifficultyHead& head) { impl_->use_head(head); }
std::int64_t Engine::submit(Request request) { return impl_->submit(std::move(request)); }
bool Engine::step() { return impl_->step(); }

std::optional<Finished> Engine::next_finished() {
  if (impl_->finished_.empty()) return std::nullopt;
  Finished finished = std::move(impl_->finished_.front());
  impl_->finished_.pop_front();
  return finished;
}

std::optional<AnswerProgress> Engine::progress(std::int64_t request) const {
  const auto at = impl_->groups_.find(request);
  if (at == impl_->groups_.end() || !at->second->generates()) return std::nullopt;
  const RunningSequence& first = *at->second->sequences.front();
  return AnswerProgress{.text = first.text,
                        .sampled = first.sampled,
                        .mode = first.controller ? std::optional(first.controller->mode()) : std::nullopt,
                        .difficulty = at->second->finished.difficulty,
                        .signal = first.newest_signal};
}

void Engine::cancel(std::int64_t request) { impl_->cancel(request); }
std::int64_t Engine::unfinished() const { return static_cast<std::int64_t>(impl_->groups_.size()); }
const ModelConfig& Engine::config() const { return impl_->files_.config(); }
const GenerationDefaults& Engine::generation() const { return impl_->files_.generation(); }
const Tokenizer& Engine::tokenizer() const { return impl_->tokenizer_; }
const ChatTemplate* Engine::chat_template() const { return impl_->chat_template_ ? &*impl_->chat_template_ : nullptr; }
const ModelFiles& Engine::files() const { return impl_->files_; }
std::int64_t Engine::max_model_len() const { return impl_->memory_.max_model_len; }

std::string Engine::describe() const {
  return cat(impl_->backend_->describe(), ", ", name(impl_->backend_->compute_dtype()),
             impl_->backend_->batch_invariant() ? ", batch-invariant" : "",
             "; KV cache: ", impl_->memory_.blocks * kPageTokens, " tokens in ", impl_->stats_.kv_bytes >> 20,
             " MiB, context ", impl_->memory_.max_model_len);
}

EngineStats Engine::stats() const {
  EngineStats stats = impl_->stats_;
  stats.free_blocks = impl_->scheduler_.pool().free_blocks();
  return stats;
}

}  // namespace kvgauge
