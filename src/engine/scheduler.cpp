#include "engine/scheduler.h"

#include <algorithm>

#include "core/ceil_div.h"
#include "core/check.h"
#include "kv/paged_view.h"

namespace kvgauge {
namespace {

std::int64_t pages_of(std::int64_t tokens) { return ceil_div(tokens, kPageTokens); }
std::int64_t owned(const Sequence& sequence) { return static_cast<std::int64_t>(sequence.blocks.size()); }
std::int64_t known(const Sequence& sequence) { return static_cast<std::int64_t>(sequence.tokens.size()); }

}  // namespace

void StepPlan::clear() {
  items.clear();
  copies.clear();
  rows = 0;
}

Scheduler::Scheduler(const SchedulerLimits& limits)
    : limits_(limits), pool_(limits.blocks), cache_(pool_, limits.prefix_cache) {
  KVGAUGE_CHECK(limits.tokens_per_step > 0 && limits.max_sequences > 0 && limits.chunk > 0, "scheduler: limits ",
                limits.tokens_per_step, " tokens, ", limits.max_sequences, " sequences, ", limits.chunk,
                " a chunk, all must be at least 1");
  const std::int64_t most_items = std::min({limits.max_sequences, limits.tokens_per_step, std::int64_t{4096}});
  plan_.items.reserve(static_cast<std::size_t>(most_items));
  plan_.copies.reserve(static_cast<std::size_t>(most_items));
}

// -- arrival and departure
// -----------------------------------------------------------------------------------------------------

void Scheduler::enqueue(Sequence& sequence) {
  const auto place = std::lower_bound(active_.begin(), active_.end(), sequence.id,
                                      [](const Sequence* s, std::int64_t id) { return s->id < id; });
  KVGAUGE_CHECK(place == active_.end() || (*place)->id != sequence.id, "scheduler: id ", sequence.id, " is in use");
  KVGAUGE_CHECK(!sequence.finished && !sequence.resident && sequence.computed == 0 && sequence.blocks.empty(),
                "scheduler: sequence ", sequence.id, " is not new: ", sequence.computed, " tokens computed, ",
                sequence.blocks.size(), " blocks");
  active_.insert(place, &sequence);
}

void Scheduler::add(Sequence& sequence) {
  KVGAUGE_CHECK(sequence.id > last_added_, "scheduler: id ", sequence.id, " added after ", last_added_,
                ", ids must ascend");
  last_added_ = sequence.id;
  enqueue(sequence);
}

void Scheduler::fork(const Sequence& parent, Sequence& child) {
  KVGAUGE_CHECK(!planned_ && child.id > parent.id, "scheduler: fork of ", parent.id, " into ", child.id,
                planned_ ? " while a plan is open" : ", a child must be younger");
  KVGAUGE_CHECK(known(child) >= parent.computed &&
                    std::equal(parent.tokens.begin(), parent.tokens.begin() + parent.computed, child.tokens.begin()),
                "scheduler: fork of ", parent.id, " into ", child.id, " whose first tokens differ");
  enqueue(child);
  if (!parent.resident) return;
  child.blocks.assign(parent.blocks.begin(), parent.blocks.begin() + pages_of(parent.computed));
  for (const std::int32_t block : child.blocks) pool_.retain(block);
  child.computed = parent.computed;
  child.cached_tokens = parent.cached_tokens;
  child.registered_blocks = parent.registered_blocks;
  child.started = child.resident = true;
  ++residents_;
}

void Scheduler::finish(Sequence& sequence) {
  const auto place = std::find(active_.begin(), active_.end(), &sequence);
  KVGAUGE_CHECK(place != active_.end(), "scheduler: sequence ", sequence.id, " is not queued");
  if (sequence.resident) release_pages(sequence);
  sequence.finished = true;
  active_.erase(place);
  if (!planned_) return;
  for (StepPlan::Item& item : plan_.items)
    if (item.sequence == &sequence) item.sequence = nullptr;
}

void Scheduler::release_pages(Sequence& sequence) {
  cache_.touch(sequence.blocks);
  for (const std::int32_t block : sequence.blocks) pool_.release(block);
  sequence.blocks.clear();
  sequence.registered_blocks = 0;
  sequence.resident = false;
  --residents_;
}

// -- one step
// ------------------------------------------------------------------------------------------------------------------

const StepPlan& Scheduler::plan_step() {
  KVGAUGE_CHECK(!planned_, "scheduler: the last plan was not completed");
  plan_.clear();
  preempted_in_plan_ = false;
  for (Sequence* const sequence : active_) {
    const std::int64_t budget = limits_.tokens_per_step - plan_.rows;
    if (budget == 0 || static_cast<std::int64_t>(plan_.items.size()) == limits_.max_sequences) break;
    if (!sequence->resident && !admit(*sequence)) break;  // no room: younger sequences must not overtake this one
    const std::int64_t rows = std::min({sequence->pending(), limits_.chunk, budget});
    if (!grow(*sequence, rows)) break;  // likewise
    plan_.items.push_back({sequence, sequence->computed, rows, rows == sequence->pending()});
    plan_.rows += rows;
  }
  planned_ = !plan_.items.empty();
  KVGAUGE_CHECK(planned_ || active_.empty(), "scheduler: ", pool_.blocks(), " pages cannot hold sequence ",
                active_.front()->id, " of ", known(*active_.front()), " tokens alone");
  return plan_;
}

void Scheduler::complete_step() {
  KVGAUGE_CHECK(planned_, "scheduler: no plan to complete");
  planned_ = false;
  for (const StepPlan::Item& item : plan_.items) {
    if (!item.sequence) continue;
    Sequence& sequence = *item.sequence;
    sequence.computed += item.rows;
    const std::int64_t full = sequence.computed / kPageTokens;
    cache_.insert(sequence.tokens, sequence.blocks, sequence.registered_blocks, full);
    sequence.registered_blocks = full;
  }
}

// -- admission
// -----------------------------------------------------------------------------------------------------------------

// Pages for all its known tokens must be at hand beside what residents still lack of theirs, plus one page for each
// resident to go on decoding into: otherwise a newcomer's prefill would be thrown away by the next preemption.
bool Scheduler::fits(const Sequence& sequence) const {
  if (residents_ == 0) return true;
  std::int64_t need = pages_of(known(sequence)) - owned(sequence);
  std::int64_t left = residents_;
  for (auto it = active_.begin(); left > 0; ++it) {
    if (!(*it)->resident) continue;
    need += std::max<std::int64_t>(pages_of(known(**it)) - owned(**it), 0) + 1;
    --left;
  }
  return need <= pool_.free_blocks() + cache_.evictable();
}

bool Scheduler::admit(Sequence& sequence) {
  if (preempted_in_plan_) return false;  // whoever lost its pages in this plan does not come back in the same one
  cache_.match(sequence.tokens, std::min(sequence.max_cached_prefix, known(sequence)) / kPageTokens, sequence.blocks);
  while (!fits(sequence)) {
    if (preempt_youngest(sequence)) continue;
    for (const std::int32_t block : sequence.blocks) pool_.release(block);
    sequence.blocks.clear();
    return false;
  }
  sequence.computed = owned(sequence) * kPageTokens;
  sequence.registered_blocks = owned(sequence);
  if (!sequence.started) sequence.cached_tokens = sequence.computed;
  sequence.started = sequence.resident = true;
  ++residents_;
  return true;
}

// -- pages
// ---------------------------------------------------------------------------------------------------------------------

/// Makes `sequence` the owner of pages for `rows` more positions and the only owner of the first page it writes. If
/// that fails it gives back what it took.
bool Scheduler::grow(Sequence& sequence, std::int64_t rows) {
  if (rows == 0) return true;
  const std::int64_t before = owned(sequence);
  const std::int64_t need = pages_of(sequence.computed + rows);
  std::int32_t block = 0;
  bool enough = true;
  while (enough && owned(sequence) < need)
    if ((enough = take_block(sequence, block))) sequence.blocks.push_back(block);
  if (enough && own_first_page(sequence)) return true;
  while (owned(sequence) > before) {
    pool_.release(sequence.blocks.back());
    sequence.blocks.pop_back();
  }
  return false;
}

// Copy-on-write. Only the page that holds position `computed` can be shared and written: later ones are new, earlier
// ones are full.
bool Scheduler::own_first_page(Sequence& sequence) {
  std::int32_t& page = sequence.blocks[static_cast<std::size_t>(sequence.computed / kPageTokens)];
  KVGAUGE_CHECK(!pool_.cached(page), "scheduler: sequence ", sequence.id, " would write page ", page,
                " that the prefix cache lists");
  while (pool_.references(page) > 1) {  // a preemption may take the other holder away: then no copy is needed
    if (const auto fresh = pool_.try_take()) {
      plan_.copies.emplace_back(page, *fresh);
      pool_.release(page);
      page = *fresh;
    } else if (!reclaim(sequence)) {
      return false;
    }
  }
  return true;
}

bool Scheduler::take_block(const Sequence& for_whom, std::int32_t& block) {
  for (;;) {
    if (const auto taken = pool_.try_take()) {
      block = *taken;
      return true;
    }
    if (!reclaim(for_whom)) return false;
  }
}

/// One attempt to free pages; true if it is worth looking again.
bool Scheduler::reclaim(const Sequence& for_whom) { return cache_.evict_one() || preempt_youngest(for_whom); }

bool Scheduler::preempt_youngest(const Sequence& for_whom) {
  Sequence* youngest = nullptr;
  std::int64_t left = residents_;
  for (auto it = active_.begin(); left > 0; ++it) {
    if (!(*it)->resident) continue;
    youngest = *it;
    --left;
  }
  if (!youngest || youngest->id <= for_whom.id) return false;
  KVGAUGE_CHECK(plan_.items.empty() || plan_.items.back().sequence->id < youngest->id, "scheduler: sequence ",
                youngest->id, " is planned, it cannot be preempted");
  release_pages(*youngest);
  youngest->computed = 0;
  ++youngest->preemptions;
  ++preemptions_;
  preempted_in_plan_ = true;
  return true;
}

}  // namespace kvgauge
