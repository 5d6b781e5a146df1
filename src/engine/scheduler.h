#pragma once
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "engine/sequence.h"
#include "kv/page_pool.h"
#include "kv/prefix_cache.h"

namespace kvgauge {

struct SchedulerLimits {
  std::int32_t blocks = 0;             ///< pages in the pool
  std::int64_t tokens_per_step = 512;  ///< new tokens of one step, all sequences together
  std::int64_t max_sequences = 32;     ///< sequences of one step
  std::int64_t chunk = 512;            ///< new tokens of one sequence in one step
  bool prefix_cache = true;
};

/// What one step computes. Copies come first, one after another; then the new tokens of every item.
struct StepPlan {
  struct Item {
    Sequence* sequence = nullptr;  ///< null if it was finished after planning
    std::int64_t first_position = 0;
    std::int64_t rows = 0;   ///< 0 if every known token is computed already (a prefix hit of the whole prompt)
    bool completes = false;  ///< afterwards every known token is computed: the last row's logits give the next token
  };
  std::vector<Item> items;  ///< oldest first
  /// block -> block, in this order: a block freed by a preemption may be the target of a copy after having been the
  /// source of one
  std::vector<std::pair<std::int32_t, std::int32_t>> copies;
  std::int64_t rows = 0;
  void clear();
};

/// Continuous batching over a page pool: oldest first, chunked prefill, admission by free pages, preemption by
/// recompute. Decisions depend on the order of calls only, never on time. Sequences are owned by the caller and must
/// outlive their stay. Invariants: a sequence is planned only if it owns pages for all positions of the step and is the
/// only writer of the pages it writes (copy-on-write); the oldest unfinished sequence is in every plan, so every
/// sequence ends; free + owned pages = pool. After warm-up plan_step() and complete_step() do not allocate unless a
/// sequence is admitted.
class Scheduler {
 public:
  explicit Scheduler(const SchedulerLimits& limits);

  /// Queues a sequence (ids strictly ascending). The pool alone must be able to hold it: callers refuse longer ones
  /// before.
  void add(Sequence& sequence);
  /// The next step; empty if nothing is queued. Preempted sequences have resident == false and computed == 0
  /// afterwards. The plan stays readable until the next call.
  const StepPlan& plan_step();
  /// Tells that the last plan was executed: advances `computed`, offers full blocks to the prefix cache.
  void complete_step();
  /// After complete_step(): `child` (a new id greater than the parent's, same tokens) shares all pages of `parent`, the
  /// partial one by copy-on-write. It takes its place by id. The child of a parent without pages starts without pages.
  void fork(const Sequence& parent, Sequence& child);
  /// Ends a sequence in any state and returns its pages. Between plan_step() and complete_step() its item loses its
  /// sequence.
  void finish(Sequence& sequence);

  bool idle() const { return active_.empty(); }
  std::int64_t sequences() const { return static_cast<std::int64_t>(active_.size()); }
  const PagePool& pool() const { return pool_; }
  const PrefixCache& prefix_cache() const { return cache_; }
  std::int64_t preemptions() const { return preemptions_; }

 private:
  void enqueue(Sequence& sequence);
  bool admit(Sequence& sequence);
  bool fits(const Sequence& sequence) const;
  bool grow(Sequence& sequence, std::int64_t rows);
  bool own_first_page(Sequence& sequence);
  bool take_block(const Sequence& for_whom, std::int32_t& block);
  bool reclaim(const Sequence& for_whom);
  bool preempt_youngest(const Sequence& for_whom);
  void release_pages(Sequence& sequence);

  SchedulerLimits limits_;
  PagePool pool_;
  PrefixCache cache_;
  std::vector<Sequence*> active_;  ///< unfinished, oldest first
  StepPlan plan_;
  std::int64_t residents_ = 0;  ///< sequences of active_ with resident == true
  std::int64_t preemptions_ = 0;
  std::int64_t last_added_ = -1;
  bool planned_ = false;  ///< a plan waits for complete_step()
  bool preempted_in_plan_ = false;
};

}  // namespace kvgauge
