// One step of the batch: what the scheduler planned is computed, tokens are drawn or judged, gauges read.
#include "engine/engine_impl.h"

#include <algorithm>

#include "core/cat.h"
#include "core/check.h"
#include "core/rng.h"

namespace kvgauge {
namespace {

// Whether one call of kv_trajectory serves both.
bool same_gauge(const ScoreSpec& a, const ScoreSpec& b) {
  return a.part == b.part && a.unrotated_keys == b.unrotated_keys && a.layers == b.layers;
}

}  // namespace

bool Engine::Impl::step() {
  const StepPlan& plan = scheduler_.plan_step();
  if (plan.items.empty()) {
    KVGAUGE_CHECK(scheduler_.idle(), "the scheduler planned nothing for ", scheduler_.sequences(), " sequences");
    return false;
  }
  ++stats_.steps;
  compute(plan);
  gauge(plan);
  look();
  backend_->wait();  // the step's only wait: tokens, statistics and difficulties reach the host together
  think();
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
    } else if (group.sequences.size() > 1 && !group.forked &&
               (group.sequences[0]->sampled > 0 || group.sequences[0]->done)) {
      fork_answers(group);
    }
  }
  for (RunningSequence* sequence : touched_)
    if (sequence->done) ended_.push_back(sequence);
  embed_ended();
  read_difficulties();
  pool_windows();
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
  look_items_.clear();
  thinkers_.clear();
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
    if (sequence.controller || group.awaits_difficulty) plan_look(sequence);
    if (group.awaits_difficulty) return;
    const auto row = static_cast<std::int32_t>(first_row + item.rows - 1);
    const bool all_answers_begin = sequence.sample == 0 && sequence.sampled == 0;
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
         .draw = static_cast<std::uint64_t>(sequence.sampled)});
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
    if (!draws[i].sequence->group->judges()) continue;
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
    const TokenLogitStats* const stats = sequence.group->judges() ? &*judged++ : nullptr;
    if (!draw.given) {
      const std::int32_t drawn = *token++;
      if (!sequence.injected_in_step && !sequence.done) accept(sequence, drawn, stats);
      sequence.injected_in_step = false;
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
  ++sequence.sampled;
  sequence.newest_sampled = true;
  if (stats) sequence.stats.push_back(*stats);
  const bool ends = ends_text(token) && !rules.ignore_eos;
  if (!ends) sequence.text += sequence.matcher->push(sequence.decoder->push(token));
  const bool stops = ends || sequence.matcher->matched();
  const bool used_up = sequence.controller && sequence.controller->accept(token, stops);
  if (stops) {
    sequence.finish_reason = FinishReason::kStop;
    sequence.done = true;
  } else if (used_up || sequence.sampled >= rules.max_tokens ||
             std::ssize(sequence.tokens) + 1 >= memory_.max_model_len) {
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
      if (const auto next = sequence.gauge->advance(*backend_, item.first_position + item.rows, sequence.preemptions,
                                                    sequence.blocks.data()))
        gauge_items_.push_back(*next);
    }
    if (gauge_items_.empty()) continue;
    ++stats_.gauge_calls;
    backend_->kv_trajectory(
        {.pages = pages_.view(),
         .spec = {.part = spec->part,
                  .layers = spec->layers,
                  .inverse_frequencies =
                      spec->unrotated_keys ? std::span<const double>(frequencies_) : std::span<const double>()},
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

}  // namespace kvgauge
