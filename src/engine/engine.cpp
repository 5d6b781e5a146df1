#include "kvgauge/engine.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>
#include <map>

#include "core/cat.h"
#include "core/check.h"
#include "core/rng.h"
#include "engine/admission.h"
#include "engine/memory_plan.h"
#include "engine/open_backend.h"
#include "engine/running_sequence.h"
#include "engine/scheduler.h"
#include "gauge/embedding.h"
#include "kv/page_layout.h"
#include "kvgauge/error.h"
#include "model/decoder.h"
#include "score/eigenscore.h"
#include "score/scores.h"
#include "text/chat_template.h"

namespace kvgauge {
namespace {

constexpr std::int64_t kLogitRows = 64;  // rows of the whole vocabulary that are sampled from at once

double now_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

PageLayout page_layout(const ModelConfig& config, DType dtype) {
  return {.dtype = dtype,
          .layers = static_cast<int>(config.layers),
          .kv_heads = static_cast<int>(config.kv_heads),
          .head_dim = static_cast<int>(config.head_dim)};
}

// Whether one call of kv_trajectory serves both.
bool same_gauge(const ScoreSpec& a, const ScoreSpec& b) {
  return a.part == b.part && a.unrotated_keys == b.unrotated_keys && a.layers == b.layers;
}

// One token of one answer that this step decides (or, teacher-forced, judges). Several draws may share a row (n > 1).
struct Draw {
  std::int32_t row = 0;  // of the step
  RunningSequence* sequence = nullptr;
  std::int32_t token = -1;  // the teacher's, if it is given
  bool given = false;
};

}  // namespace

struct Engine::Impl {
  explicit Impl(const EngineOptions& options);

  std::int64_t submit(Request request);
  bool step();

  void start_sequences(RequestGroup& group);
  std::unique_ptr<RunningSequence> new_sequence(RequestGroup& group, std::int64_t sample);
  void compute(const StepPlan& plan);
  void plan_draws(const StepPlan::Item& item, std::int64_t first_row);
  void plan_states(const StepPlan::Item& item, std::int64_t first_row);
  void decide(std::span<const Draw> draws);
  void judge_given(std::span<const Draw> draws);
  void sample(const MatrixView& logits, std::span<const Draw> draws);
  void judge(const MatrixView& logits, std::span<const Draw> draws);
  void accept_draws();
  void accept(RunningSequence& sequence, std::int32_t token, const TokenLogitStats* stats);
  void gauge(const StepPlan& plan);
  void fork_answers(RequestGroup& group);
  void embed_ended();
  void finish(RunningSequence& sequence);
  void read_states(RunningSequence& sequence);
  void keep_vectors(RunningSequence& sequence);
  void finish_group(RequestGroup& group);
  bool ends_text(std::int32_t token) const;

  EngineOptions options_;
  ModelFiles files_;
  Tokenizer tokenizer_;
  std::optional<ChatTemplate> chat_template_;
  std::unique_ptr<Backend> backend_;
  Weights weights_;
  MemoryPlan memory_;
  PageLayout layout_;
  std::unique_ptr<DeviceMemory> kv_memory_;
  PageStorage pages_;
  Scheduler scheduler_;
  Decoder decoder_;
  EmbeddingPooler embedder_;
  const std::vector<double> frequencies_;  // of RoPE: what the gauge turns keys back by
  EngineStats stats_;

  std::map<std::int64_t, std::unique_ptr<RequestGroup>> groups_;  // unfinished requests by number
  std::deque<Finished> finished_;
  std::int64_t next_request_ = 0, next_sequence_ = 0;

  // Lists of one step, kept for their capacity.
  std::vector<std::int32_t> ids_, logit_rows_, tile_rows_, sampled_, judged_rows_, judged_tokens_, judged_draws_;
  std::vector<SequenceSlice> slices_;
  std::vector<Draw> draws_;
  std::vector<SampleRequest> sample_requests_;
  std::vector<TokenLogitStats> stat_values_;
  std::vector<TrajectoryItem> gauge_items_;
  std::vector<RunningSequence*> touched_, ended_, embedded_;
  std::vector<PoolItem> embedding_items_;
  std::vector<const ScoreSpec*> gauge_specs_;  // of the step's sequences, each kind once
  std::vector<LayerStatesItem> states_, raw_states_;
  std::vector<std::int32_t> tapped_rows_;
  std::unique_ptr<DeviceMemory> pooled_;  // V of one answer, averaged; made when first asked for
};

Engine::Impl::Impl(const EngineOptions& options)
    : options_(options),
      files_(ModelFiles::open(options.model)),
      tokenizer_(files_.tokenizer(), options.model.string()),
      backend_(open_backend(options, files_.config())),
      weights_(load_weights(files_, *backend_)),
      memory_(
          plan_memory(options, files_.config(), page_layout(files_.config(), backend_->compute_dtype()).block_bytes(),
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
  for (auto* list : {&touched_, &ended_}) list->reserve(sequences);
  gauge_specs_.reserve(sequences);
}

std::int64_t Engine::Impl::submit(Request request) {
  const std::int64_t number = next_request_++;
  auto group = std::make_unique<RequestGroup>();
  group->finished.request = number;
  group->finished.prompt_tokens = static_cast<std::int64_t>(request.prompt.size());
  group->submitted_ms = now_ms();
  group->finished.error = reason_to_refuse(request, files_.config(), memory_.max_model_len);
  group->request = std::move(request);
  if (!group->finished.error.empty()) {
    finished_.push_back(std::move(group->finished));
    return number;
  }
  start_sequences(*group);
  groups_.emplace(number, std::move(group));
  return number;
}

void Engine::Impl::start_sequences(RequestGroup& group) {
  const Request& request = group.request;
  const std::int64_t prompt = group.prompt_tokens();
  const std::int64_t answers = group.answers();
  if (request.prompt_only) group.longest = prompt;
  if (group.generates()) group.longest = prompt + std::min(request.stop.max_tokens, memory_.max_model_len - prompt);
  for (std::int64_t sample = 0; group.forced() && sample < answers; ++sample)  // the last token is never fed
    group.longest = std::max(group.longest, prompt + static_cast<std::int64_t>(group.response(sample).size()) - 1);
  group.sequences.reserve(static_cast<std::size_t>(answers));
  for (std::int64_t sample = 0; sample < answers; ++sample) {
    group.sequences.push_back(new_sequence(group, sample));
  }
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
  if (request.scores.prob) sequence->stats.reserve(static_cast<std::size_t>(group.longest - group.prompt_tokens() + 1));
  if (request.scores.kv_coe) {
    const std::int64_t parts = request.scores.part == GaugePart::kKV ? 2 : 1;
    sequence->gauge.emplace(request.scores.span, group.prompt_tokens(), group.longest,
                            parts * layout_.kv_heads * layout_.head_dim);
  }
  if (request.scores.coe) {
    // The first answer sees the prompt for all; answers that leave it begin behind the prompt.
    const std::int64_t first = sample == 0 ? 0 : group.prompt_tokens();
    sequence->states_gauge.emplace(group.prompt_tokens(), files_.config().layers + 1, files_.config().hidden, first);
    sequence->max_cached_prefix = std::min(sequence->max_cached_prefix, first);
  }
  return sequence;
}

bool Engine::Impl::step() {
  const StepPlan& plan = scheduler_.plan_step();
  if (plan.items.empty()) {
    KVGAUGE_CHECK(scheduler_.idle(), "the scheduler planned nothing for ", scheduler_.sequences(), " sequences");
    return false;
  }
  ++stats_.steps;
  compute(plan);
  gauge(plan);
  backend_->wait();  // the step's only wait: tokens and statistics reach the host together
  accept_draws();
  touched_.clear();
  for (const StepPlan::Item& item : plan.items) touched_.push_back(static_cast<RunningSequence*>(item.sequence));
  scheduler_.complete_step();  // the plan is void from here
  stats_.preemptions = scheduler_.preemptions();
  ended_.clear();
  for (RunningSequence* sequence : touched_) {
    RequestGroup& group = *sequence->group;
    if (!group.generates()) {
      sequence->done = sequence->done || sequence->pending() == 0;
    } else if (group.sequences.size() > 1 && !group.forked && !group.sequences[0]->response.empty()) {
      fork_answers(group);
    }
  }
  for (RunningSequence* sequence : touched_)
    if (sequence->done) ended_.push_back(sequence);
  embed_ended();
  for (RunningSequence* sequence : ended_) finish(*sequence);
  return true;
}

void Engine::Impl::compute(const StepPlan& plan) {
  for (const auto& [source, target] : plan.copies)  // one by one: a later copy may read what an earlier one wrote
    backend_->copy_pages({.pages = pages_.view(), .source = {&source, 1}, .target = {&target, 1}});
  ids_.clear();
  slices_.clear();
  draws_.clear();
  sampled_.clear();
  stat_values_.clear();
  states_.clear();
  raw_states_.clear();
  tapped_rows_.clear();
  const double now = now_ms();
  for (const StepPlan::Item& item : plan.items) {
    auto& sequence = *static_cast<RunningSequence*>(item.sequence);
    RequestGroup& group = *sequence.group;
    if (group.started_ms < 0) {
      group.started_ms = now;
      group.finished.cached_tokens = sequence.cached_tokens;
      stats_.cached_tokens += sequence.cached_tokens;
    }
    if (item.rows == 0) continue;  // everything came from the prefix cache
    const auto first_row = static_cast<std::int64_t>(ids_.size());
    const auto from = sequence.tokens.begin() + item.first_position;
    ids_.insert(ids_.end(), from, from + item.rows);
    slices_.push_back({.first_row = first_row,
                       .rows = item.rows,
                       .first_position = item.first_position,
                       .blocks = sequence.blocks.data()});
    (item.rows == 1 && item.completes && group.generates() ? stats_.decode_tokens : stats_.prefill_tokens) += item.rows;
    plan_draws(item, first_row);
    plan_states(item, first_row);
  }
  if (ids_.empty()) return;
  const auto normed = static_cast<std::int64_t>(states_.size());
  states_.insert(states_.end(), raw_states_.begin(), raw_states_.end());
  decoder_.forward({.ids = ids_,
                    .sequences = slices_,
                    .pages = pages_.view(),
                    .states = states_,
                    .states_normed = normed,
                    .tapped = tapped_rows_});
  const std::span<const Draw> draws = draws_;
  for (std::size_t first = 0; first < draws.size();) {
    const bool given = draws[first].given;
    const auto most = static_cast<std::size_t>(given ? decoder_.max_tile_rows() : decoder_.max_logit_rows());
    std::size_t count = 1;
    while (count < most && first + count < draws.size() && draws[first + count].given == given) ++count;
    (this->*(given ? &Impl::judge_given : &Impl::decide))(draws.subspan(first, count));
    first += count;
  }
}

void Engine::Impl::plan_draws(const StepPlan::Item& item, std::int64_t first_row) {
  auto& sequence = *static_cast<RunningSequence*>(item.sequence);
  const RequestGroup& group = *sequence.group;
  if (group.generates()) {
    if (!item.completes) return;
    const auto row = static_cast<std::int32_t>(first_row + item.rows - 1);
    const bool all_answers_begin = sequence.sample == 0 && sequence.response.empty();
    draws_.push_back({.row = row, .sequence = &sequence});
    for (std::size_t i = 1; all_answers_begin && i < group.sequences.size(); ++i)
      draws_.push_back({.row = row, .sequence = group.sequences[i].get()});
    return;
  }
  if (!group.request.scores.prob) return;
  // The logits at position P - 1 + i judge response token i; those seen before a preemption are not judged again.
  const std::int64_t boundary = group.prompt_tokens() - 1;
  const std::int64_t seen = boundary + static_cast<std::int64_t>(sequence.stats.size());
  for (std::int64_t position = std::max(item.first_position, seen); position < item.first_position + item.rows;
       ++position)
    draws_.push_back({.row = static_cast<std::int32_t>(first_row + position - item.first_position),
                      .sequence = &sequence,
                      .token = sequence.response[static_cast<std::size_t>(position - boundary)],
                      .given = true});
}

// What the step leaves of its hidden states: sums for CoE, and for EigenScore the state of the newest token, which is
// the last one that is fed if this step ends the answer.
void Engine::Impl::plan_states(const StepPlan::Item& item, std::int64_t first_row) {
  auto& sequence = *static_cast<RunningSequence*>(item.sequence);
  RequestGroup& group = *sequence.group;
  const ScoreSpec& scores = group.request.scores;
  if (sequence.states_gauge)
    sequence.states_gauge->advance(*backend_, group.prompt_states, item.first_position, item.rows, first_row,
                                   scores.coe_final_norm ? states_ : raw_states_);
  if (!scores.eigenscore || !item.completes || group.sequences.size() < 2) return;
  sequence.tapped_row = static_cast<std::int64_t>(tapped_rows_.size());
  tapped_rows_.push_back(static_cast<std::int32_t>(first_row + item.rows - 1));
  if (group.forced() || group.forked) return;
  for (const auto& other : group.sequences) other->tapped_row = sequence.tapped_row;  // all draw from the same state
}

// Puts the tokens and statistics of draws that are to be sampled under way; they are on the host after Backend::wait().
void Engine::Impl::decide(std::span<const Draw> draws) {
  logit_rows_.clear();  // each row of the step once: draws of one row are neighbours
  tile_rows_.clear();   // draw -> row of the tile
  for (const Draw& draw : draws) {
    if (logit_rows_.empty() || logit_rows_.back() != draw.row) logit_rows_.push_back(draw.row);
    tile_rows_.push_back(static_cast<std::int32_t>(logit_rows_.size()) - 1);
  }
  const MatrixView logits = decoder_.logits(logit_rows_);
  sample(logits, draws);
  judge(logits, draws);
}

// Teacher-forced tokens only: nobody samples from these logits, so they come in tiles of the vocabulary.
void Engine::Impl::judge_given(std::span<const Draw> draws) {
  logit_rows_.clear();
  judged_rows_.clear();
  judged_tokens_.clear();
  for (const Draw& draw : draws) {
    judged_rows_.push_back(static_cast<std::int32_t>(logit_rows_.size()));
    judged_tokens_.push_back(draw.token);
    logit_rows_.push_back(draw.row);
  }
  ++stats_.stats_calls;
  const std::size_t first_stat = stat_values_.size();
  stat_values_.resize(first_stat + draws.size());
  decoder_.begin_tiles(logit_rows_);
  const std::int64_t vocab = files_.config().vocab;
  for (std::int64_t first = 0; first < vocab; first += kVocabTile)
    backend_->logits_stats({.logits = decoder_.logit_tile(first),
                            .first_token = first,
                            .vocab = vocab,
                            .rows = judged_rows_,
                            .chosen = judged_tokens_,
                            .out = std::span(stat_values_).subspan(first_stat)});
}

void Engine::Impl::sample(const MatrixView& logits, std::span<const Draw> draws) {
  sample_requests_.clear();
  for (std::size_t i = 0; i < draws.size(); ++i) {
    const RunningSequence& sequence = *draws[i].sequence;
    const SamplingParams& sampling = sequence.group->request.sampling;
    sample_requests_.push_back(
        {.row = tile_rows_[i],
         .temperature = static_cast<float>(sampling.temperature),
         .top_p = static_cast<float>(sampling.top_p),
         .min_p = static_cast<float>(sampling.min_p),
         .top_k = static_cast<std::int32_t>(std::min(sampling.top_k, files_.config().vocab)),
         .seed = sampling.seed,
         .stream = mix64(sequence.group->request.stream) + static_cast<std::uint64_t>(sequence.sample),
         .draw = sequence.response.size()});
  }
  const std::size_t first = sampled_.size();
  sampled_.resize(first + sample_requests_.size());
  backend_->sample({.logits = logits, .requests = sample_requests_, .out = std::span(sampled_).subspan(first)});
}

void Engine::Impl::judge(const MatrixView& logits, std::span<const Draw> draws) {
  judged_rows_.clear();
  judged_tokens_.clear();
  judged_draws_.clear();
  for (std::size_t i = 0; i < draws.size(); ++i) {
    if (!draws[i].sequence->group->request.scores.prob) continue;
    judged_rows_.push_back(tile_rows_[i]);
    judged_tokens_.push_back(0);
    judged_draws_.push_back(static_cast<std::int32_t>(i));
  }
  if (judged_rows_.empty()) return;
  ++stats_.stats_calls;
  const std::size_t first = stat_values_.size();
  stat_values_.resize(first + judged_rows_.size());
  backend_->logits_stats({.logits = logits,
                          .rows = judged_rows_,
                          .chosen = judged_tokens_,
                          .draws = judged_draws_,
                          .out = std::span(stat_values_).subspan(first)});
}

// Hands every draw of the step to its sequence, in the order of the plan.
void Engine::Impl::accept_draws() {
  auto token = sampled_.cbegin();
  auto judged = stat_values_.cbegin();
  for (const Draw& draw : draws_) {
    RunningSequence& sequence = *draw.sequence;
    const TokenLogitStats* const stats = sequence.group->request.scores.prob ? &*judged++ : nullptr;
    if (!draw.given) {
      accept(sequence, *token++, stats);
      continue;
    }
    sequence.stats.push_back(*stats);
    sequence.max_cached_prefix = sequence.group->prompt_tokens() - 1 + static_cast<std::int64_t>(sequence.stats.size());
  }
}

bool Engine::Impl::ends_text(std::int32_t token) const {
  const auto& eos = files_.generation().eos;
  return std::find(eos.begin(), eos.end(), token) != eos.end();
}

void Engine::Impl::accept(RunningSequence& sequence, std::int32_t token, const TokenLogitStats* stats) {
  RequestGroup& group = *sequence.group;
  const StopRules& rules = group.request.stop;
  if (group.first_token_ms < 0) group.first_token_ms = now_ms();
  if (token < 0) {
    group.finished.error =
        cat("logits: not finite after ", sequence.tokens.size(), " tokens, numbers were needed; try --dtype f32");
    sequence.finish_reason = FinishReason::kError;
    sequence.done = true;
    return;
  }
  sequence.response.push_back(token);
  if (stats) sequence.stats.push_back(*stats);
  const auto sampled = static_cast<std::int64_t>(sequence.response.size());
  if (ends_text(token) && !rules.ignore_eos) {
    sequence.finish_reason = FinishReason::kStop;
    sequence.done = true;
    return;
  }
  sequence.text += sequence.matcher->push(sequence.decoder->push(token));
  if (sequence.matcher->matched()) {
    sequence.finish_reason = FinishReason::kStop;
    sequence.done = true;
  } else if (sampled >= rules.max_tokens || group.prompt_tokens() + sampled >= memory_.max_model_len) {
    sequence.finish_reason = FinishReason::kLength;
    sequence.done = true;
  } else {
    sequence.max_cached_prefix = static_cast<std::int64_t>(sequence.tokens.size());
    sequence.tokens.push_back(token);
  }
}

void Engine::Impl::gauge(const StepPlan& plan) {
  gauge_specs_.clear();
  for (const StepPlan::Item& item : plan.items) {
    const auto& sequence = *static_cast<RunningSequence*>(item.sequence);
    const ScoreSpec& spec = sequence.group->request.scores;
    if (sequence.gauge && std::none_of(gauge_specs_.begin(), gauge_specs_.end(),
                                       [&](const ScoreSpec* known) { return same_gauge(*known, spec); }))
      gauge_specs_.push_back(&spec);
  }
  // One call for each: the items of a call share what they read of the pages.
  for (const ScoreSpec* const spec : gauge_specs_) {
    gauge_items_.clear();
    for (const StepPlan::Item& item : plan.items) {
      auto& sequence = *static_cast<RunningSequence*>(item.sequence);
      if (!sequence.gauge || !same_gauge(*spec, sequence.group->request.scores)) continue;
      if (const auto next =
              sequence.gauge->advance(*backend_, item.first_position + item.rows, sequence.preemptions,
                                     sequence.blocks.data()))
        gauge_items_.push_back(*next);
    }
    if (gauge_items_.empty()) continue;
    ++stats_.gauge_calls;
    backend_->kv_trajectory({.pages = pages_.view(),
                             .spec = {.part = spec->part,
                                      .layers = spec->layers,
                                      .inverse_frequencies = spec->unrotated_keys ? std::span<const double>(frequencies_)
                                                                                  : std::span<const double>()},
                             .items = gauge_items_});
  }
}

void Engine::Impl::fork_answers(RequestGroup& group) {
  group.forked = true;
  RunningSequence& parent = *group.sequences[0];
  for (std::size_t i = 1; i < group.sequences.size(); ++i) {
    RunningSequence& child = *group.sequences[i];
    if (parent.gauge) child.gauge = parent.gauge->fork(*backend_);
    if (child.done) {
      ended_.push_back(&child);
      continue;
    }
    scheduler_.fork(parent, child);
    child.scheduled = true;
  }
}

// Sequences that end in this step still have their pages. One call for all that are embedded alike.
void Engine::Impl::embed_ended() {
  for (std::size_t first = 0; first < ended_.size(); ++first) {
    const RequestGroup& group = *ended_[first]->group;
    const auto alike = [&](const RunningSequence* sequence) {
      return sequence->group->request.embedding == group.request.embedding;
    };
    if (!group.request.embedding || std::any_of(ended_.begin(), ended_.begin() + static_cast<std::ptrdiff_t>(first), alike))
      continue;
    embedded_.clear();
    embedding_items_.clear();
    for (auto it = ended_.begin() + static_cast<std::ptrdiff_t>(first); it != ended_.end(); ++it) {
      RunningSequence& sequence = **it;
      // An answer that ended with its first token never left the sequence that computed its prompt.
      const RunningSequence& owner = sequence.scheduled ? sequence : *sequence.group->sequences[0];
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

void Engine::Impl::finish(RunningSequence& sequence) {
  RequestGroup& group = *sequence.group;
  const Request& request = group.request;
  if (request.scores.eigenscore && group.sequences.size() > 1) keep_vectors(sequence);
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
    } else {
      answer.finish_reason = group.response_finished(done->sample) ? FinishReason::kStop : FinishReason::kLength;
    }
    answer.tokens = std::move(done->response);
    answer.embedding = std::move(done->embedding);
    if (request.scores.kv_coe) {
      answer.kv_coe = kv_coe_scores(done->trajectory, {.alpha = request.scores.alpha, .beta = request.scores.beta});
      answer.dr = std::move(done->steps.dr);
      answer.dtheta = std::move(done->steps.dtheta);
    }
    if (request.scores.prob) answer.prob = prob_scores(done->stats, files_.config().vocab);
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

// Needs the prompt's states, which the first answer sees: a forced one that found the prompt in the prefix cache may have
// ended before, and is read when the group ends.
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
  backend_->kv_pool({.pages = pages_.view(),
                     .spec = {.part = GaugePart::kV, .layers = group.request.scores.layers, .mean_over_positions = true},
                     .items = {&item, 1},
                     .features = {.data = pooled_->data(), .rows = 1, .columns = values, .stride = values},
                     .head = {},
                     .out = {}});
  backend_->download(sequence.pooled_values.data(), pooled_->data(), static_cast<std::size_t>(values) * sizeof(float));
  backend_->wait();
}

void Engine::Impl::finish_group(RequestGroup& group) {
  if (group.request.scores.eigenscore && group.sequences.size() > 1 && group.finished.error.empty()) {
    const auto score = [&](std::vector<float> RunningSequence::*vector) {
      std::vector<std::span<const float>> vectors;
      for (const auto& sequence : group.sequences) vectors.emplace_back(*sequence.*vector);
      return eigen_score(vectors);
    };
    group.finished.eigenscore =
        EigenScores{.hidden = score(&RunningSequence::last_state), .kv = score(&RunningSequence::pooled_values)};
  }
  const double now = now_ms();
  group.finished.queue_ms = group.started_ms - group.submitted_ms;
  group.finished.ttft_ms = group.first_token_ms < 0 ? 0 : group.first_token_ms - group.submitted_ms;
  group.finished.e2e_ms = now - group.submitted_ms;
  const std::int64_t number = group.finished.request;
  finished_.push_back(std::move(group.finished));
  groups_.erase(number);
}

Engine::Engine(const EngineOptions& options) : impl_(std::make_unique<Impl>(options)) {}
Engine::Engine(Engine&&) noexcept = default;
Engine::~Engine() = default;

std::int64_t Engine::submit(Request request) { return impl_->submit(std::move(request)); }
bool Engine::step() { return impl_->step(); }

std::optional<Finished> Engine::next_finished() {
  if (impl_->finished_.empty()) return std::nullopt;
  Finished finished = std::move(impl_->finished_.front());
  impl_->finished_.pop_front();
  return finished;
}

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
