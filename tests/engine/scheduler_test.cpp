#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <deque>

#include "kv/paged_view.h"

namespace kvgauge {
namespace {

// Sequences whose tokens are all `token`; prompts of different tokens share nothing.
struct Bench {
  explicit Bench(const SchedulerLimits& limits) : scheduler(limits) {}

  Sequence& add(std::int64_t prompt, std::int32_t token, std::int64_t max_cached_prefix = -1) {
    Sequence& sequence = sequences.emplace_back();
    sequence.id = next_id;
    next_id += 10;
    sequence.tokens.assign(static_cast<std::size_t>(prompt), token);
    sequence.max_cached_prefix = max_cached_prefix < 0 ? prompt - 1 : max_cached_prefix;
    scheduler.add(sequence);
    return sequence;
  }
  Sequence& fork(const Sequence& parent) {
    Sequence& child = sequences.emplace_back();
    child.id = parent.id + 1;
    child.tokens = parent.tokens;
    child.max_cached_prefix = parent.max_cached_prefix;
    scheduler.fork(parent, child);
    return child;
  }
  // (id, rows) of every item of the next step
  std::vector<std::pair<std::int64_t, std::int64_t>> plan() {
    std::vector<std::pair<std::int64_t, std::int64_t>> result;
    const StepPlan& plan = scheduler.plan_step();
    for (const StepPlan::Item& item : plan.items) result.emplace_back(item.sequence->id, item.rows);
    copies = plan.copies;
    return result;
  }
  std::vector<std::pair<std::int64_t, std::int64_t>> step() {
    const auto result = plan();
    scheduler.complete_step();
    return result;
  }
  std::int64_t at_hand() const { return scheduler.pool().free_blocks() + scheduler.prefix_cache().evictable(); }

  Scheduler scheduler;
  std::deque<Sequence> sequences;
  std::vector<std::pair<std::int32_t, std::int32_t>> copies;
  std::int64_t next_id = 0;
};

using Plan = std::vector<std::pair<std::int64_t, std::int64_t>>;

TEST(Scheduler, SharesTheBudgetOldestFirstInChunks) {
  Bench bench({.blocks = 100, .tokens_per_step = 50, .max_sequences = 8, .chunk = 20});
  Sequence& a = bench.add(45, 1);
  bench.add(5, 2);
  bench.add(100, 3);
  bench.add(100, 4);
  EXPECT_EQ(bench.step(), (Plan{{0, 20}, {10, 5}, {20, 20}, {30, 5}}));
  EXPECT_EQ(a.computed, 20);
  EXPECT_EQ(bench.step(), (Plan{{0, 20}, {10, 0}, {20, 20}, {30, 10}}))
      << "10 has nothing pending; its caller did not go on";
  const StepPlan& plan = bench.scheduler.plan_step();
  EXPECT_EQ(plan.rows, 45);
  EXPECT_EQ(plan.items[0].first_position, 40);
  EXPECT_EQ(plan.items[0].rows, 5);
  EXPECT_TRUE(plan.items[0].completes);
  EXPECT_FALSE(plan.items[2].completes);
}

TEST(Scheduler, PlansAtMostMaxSequences) {
  Bench bench({.blocks = 100, .max_sequences = 2});
  for (int i = 0; i < 4; ++i) bench.add(3, i);
  EXPECT_EQ(bench.step(), (Plan{{0, 3}, {10, 3}}));
  bench.scheduler.finish(bench.sequences[0]);
  EXPECT_EQ(bench.step(), (Plan{{10, 0}, {20, 3}}));
}

TEST(Scheduler, AdmitsIfPagesForAllTokensAndOneForEachResidentAreAtHand) {
  for (const std::int64_t pages : {2, 3}) {
    Bench bench({.blocks = 4});
    bench.add(32, 1);  // one page owned, one set aside
    bench.add(pages * kPageTokens, 2);
    EXPECT_EQ(bench.step().size(), pages == 2 ? 2u : 1u) << pages;
  }
}

TEST(Scheduler, SetsPagesAsideForTokensThatResidentsStillHaveToCompute) {
  for (const std::int64_t pages : {1, 2}) {
    Bench bench({.blocks = 5, .chunk = 32});
    bench.add(3 * kPageTokens, 1);  // one page owned after the first chunk, two to come, one set aside
    bench.add(pages * kPageTokens, 2);
    EXPECT_EQ(bench.step().size(), pages == 1 ? 2u : 1u) << pages;
    bench.step();
    bench.step();
    EXPECT_EQ(bench.scheduler.preemptions(), 0);
  }
}

TEST(Scheduler, TheOldestMayFillThePoolAndNobodyOvertakesTheNext) {
  Bench bench({.blocks = 4});
  Sequence& a = bench.add(2 * kPageTokens, 1);
  Sequence& b = bench.add(4 * kPageTokens, 2);
  Sequence& c = bench.add(1, 3);
  EXPECT_EQ(bench.step(), (Plan{{0, 64}})) << "c would fit, but b waits before it";
  EXPECT_FALSE(c.started);
  bench.scheduler.finish(a);
  EXPECT_EQ(bench.step(), (Plan{{10, 128}})) << "the whole pool";
  bench.scheduler.finish(b);
  EXPECT_EQ(bench.step(), (Plan{{20, 1}}));
}

TEST(Scheduler, TakesAPromptFromThePrefixCache) {
  Bench bench({.blocks = 20});
  Sequence& a = bench.add(100, 7);
  bench.step();
  Sequence& b = bench.add(100, 7);
  Sequence& exact = bench.add(96, 7);
  Sequence& none = bench.add(100, 7, 0);
  EXPECT_EQ(bench.step(), (Plan{{0, 0}, {10, 4}, {20, 32}, {30, 100}}))
      << "the last token of a prompt is computed for its logits";
  EXPECT_EQ(b.cached_tokens, 96);
  EXPECT_EQ(exact.cached_tokens, 64);
  EXPECT_EQ(none.cached_tokens, 0);
  EXPECT_EQ(b.blocks[2], a.blocks[2]);
  EXPECT_NE(b.blocks[3], a.blocks[3]);
}

TEST(Scheduler, AWholePromptFromTheCacheIsAnItemWithoutRows) {
  Bench bench({.blocks = 20});
  bench.add(96, 7);
  bench.step();
  Sequence& score = bench.add(96, 7, 96);
  const StepPlan& plan = bench.scheduler.plan_step();
  ASSERT_EQ(plan.items.size(), 2u);
  EXPECT_EQ(plan.items[1].sequence, &score);
  EXPECT_EQ(plan.items[1].first_position, 96);
  EXPECT_EQ(plan.items[1].rows, 0);
  EXPECT_TRUE(plan.items[1].completes);
  EXPECT_EQ(score.blocks, bench.sequences[0].blocks);
  bench.scheduler.complete_step();
  bench.scheduler.finish(score);
  EXPECT_EQ(bench.scheduler.pool().references(bench.sequences[0].blocks[0]), 2);
}

// a grows page by page until b, the youngest, loses its pages, waits, and comes back with what the cache kept of it.
TEST(Scheduler, PreemptsTheYoungestAndReadmitsIt) {
  Bench bench({.blocks = 6});
  Sequence& a = bench.add(64, 1);
  Sequence& b = bench.add(80, 2);
  EXPECT_EQ(bench.step().size(), 2u);
  const auto grow = [&](std::int64_t tokens) {
    a.tokens.resize(a.tokens.size() + static_cast<std::size_t>(tokens), 1);
  };
  grow(32);
  EXPECT_EQ(bench.step(), (Plan{{0, 32}, {10, 0}}));
  EXPECT_EQ(bench.scheduler.pool().free_blocks(), 0);
  grow(1);
  EXPECT_EQ(bench.step(), (Plan{{0, 1}}));
  EXPECT_FALSE(b.resident);
  EXPECT_TRUE(b.started);
  EXPECT_EQ(b.computed, 0);
  EXPECT_EQ(b.preemptions, 1);
  EXPECT_EQ(bench.scheduler.preemptions(), 1);
  EXPECT_TRUE(b.blocks.empty());
  EXPECT_EQ(bench.step(), (Plan{{0, 0}})) << "no room for three pages and one for a";
  bench.scheduler.finish(a);
  EXPECT_EQ(bench.step(), (Plan{{10, 16}}));
  EXPECT_EQ(b.cached_tokens, 0) << "counts the first admission only";
}

TEST(Scheduler, WithoutACacheAPreemptedSequenceStartsAgain) {
  Bench bench({.blocks = 3, .prefix_cache = false});
  Sequence& a = bench.add(31, 1);
  Sequence& b = bench.add(32, 2);
  EXPECT_EQ(bench.step().size(), 2u);
  a.tokens.resize(65, 1);
  EXPECT_EQ(bench.step(), (Plan{{0, 34}}));
  EXPECT_FALSE(b.resident);
  bench.scheduler.finish(a);
  EXPECT_EQ(bench.step(), (Plan{{10, 32}}));
  EXPECT_EQ(bench.scheduler.prefix_cache().size(), 0);
}

TEST(Scheduler, EvictsCachedPagesBeforeItPreempts) {
  Bench bench({.blocks = 4});
  Sequence& past = bench.add(64, 9);
  bench.step();
  bench.scheduler.finish(past);
  EXPECT_EQ(bench.scheduler.prefix_cache().evictable(), 2);
  Sequence& a = bench.add(32, 1);
  bench.add(32, 2);
  EXPECT_EQ(bench.step().size(), 2u);
  a.tokens.resize(96, 1);
  EXPECT_EQ(bench.step(), (Plan{{10, 64}, {20, 0}}));
  EXPECT_EQ(bench.scheduler.preemptions(), 0);
  EXPECT_EQ(bench.scheduler.prefix_cache().evictable(), 0);
}

TEST(SchedulerFork, CopiesThePartialPageForTheFirstWriterOnly) {
  Bench bench({.blocks = 10});
  Sequence& parent = bench.add(40, 1);
  bench.step();
  Sequence& child = bench.fork(parent);
  EXPECT_EQ(child.blocks, parent.blocks);
  EXPECT_EQ(child.computed, 40);
  parent.tokens.push_back(5);
  child.tokens.push_back(6);
  const std::int32_t shared = parent.blocks[1];
  EXPECT_EQ(bench.step(), (Plan{{0, 1}, {1, 1}}));
  EXPECT_EQ(bench.copies, (std::vector<std::pair<std::int32_t, std::int32_t>>{{shared, parent.blocks[1]}}));
  EXPECT_NE(parent.blocks[1], shared);
  EXPECT_EQ(child.blocks[1], shared) << "the last holder writes in place";
  EXPECT_EQ(child.blocks[0], parent.blocks[0]);
}

TEST(SchedulerFork, CopiesNothingAtAPageBoundary) {
  Bench bench({.blocks = 10});
  Sequence& parent = bench.add(64, 1);
  bench.step();
  Sequence& child = bench.fork(parent);
  parent.tokens.push_back(5);
  child.tokens.push_back(6);
  bench.step();
  EXPECT_TRUE(bench.copies.empty());
  EXPECT_NE(child.blocks[2], parent.blocks[2]);
}

TEST(SchedulerFork, TheOldestNeedsNoCopyIfTheOtherHolderHadToGo) {
  Bench bench({.blocks = 2});
  Sequence& parent = bench.add(40, 1);
  bench.step();
  Sequence& child = bench.fork(parent);
  parent.tokens.push_back(5);
  EXPECT_EQ(bench.step(), (Plan{{0, 1}})) << "no page to copy into: the child goes, and its page is the parent's alone";
  EXPECT_TRUE(bench.copies.empty());
  EXPECT_FALSE(child.resident);
  bench.scheduler.finish(parent);
  EXPECT_EQ(bench.step(), (Plan{{1, 8}})) << "the first page comes from the cache";
}

TEST(SchedulerFork, AChildYoungerThanAWaitingRequestGivesWay) {
  Bench bench({.blocks = 4});
  Sequence& parent = bench.add(60, 1);
  Sequence& waiting = bench.add(96, 2);
  EXPECT_EQ(bench.step(), (Plan{{0, 60}}));
  Sequence child;
  child.id = 15;  // younger than `waiting`
  child.tokens = parent.tokens;
  bench.scheduler.fork(parent, child);
  bench.scheduler.finish(parent);
  EXPECT_EQ(bench.step(), (Plan{{10, 96}}));
  EXPECT_TRUE(waiting.resident);
  EXPECT_FALSE(child.resident);
  bench.scheduler.finish(waiting);
  EXPECT_EQ(bench.step(), (Plan{{15, 60}}));
  bench.scheduler.finish(child);
}

TEST(SchedulerFork, AChildOfASequenceWithoutPagesStartsWithoutPages) {
  Bench bench({.blocks = 4});
  Sequence& parent = bench.add(40, 1);
  Sequence& child = bench.fork(parent);
  EXPECT_FALSE(child.resident);
  EXPECT_EQ(bench.step(), (Plan{{0, 40}})) << "2 pages + 1 set aside are not at hand";
  EXPECT_EQ(bench.step(), (Plan{{0, 0}, {1, 8}})) << "now its first page is cached";
}

TEST(SchedulerFinish, ReturnsPagesInEveryState) {
  Bench bench({.blocks = 6});
  Sequence& running = bench.add(40, 1);
  Sequence& planned = bench.add(40, 2);
  Sequence& queued = bench.add(96, 3);
  bench.scheduler.finish(queued);
  EXPECT_TRUE(queued.finished);
  const StepPlan& plan = bench.scheduler.plan_step();
  bench.scheduler.finish(planned);
  EXPECT_EQ(plan.items[1].sequence, nullptr);
  EXPECT_TRUE(planned.blocks.empty());
  bench.scheduler.complete_step();
  EXPECT_EQ(planned.computed, 0);
  bench.scheduler.finish(running);
  EXPECT_TRUE(bench.scheduler.idle());
  EXPECT_EQ(bench.at_hand(), 6);
  EXPECT_TRUE(bench.scheduler.plan_step().items.empty());
}

TEST(SchedulerDeathTest, StopsOnBrokenCalls) {
  Bench bench({.blocks = 2});
  Sequence& a = bench.add(65, 1);
  EXPECT_DEATH(bench.scheduler.plan_step(), "cannot hold sequence 0 of 65 tokens alone");
  Sequence again;
  EXPECT_DEATH(bench.scheduler.add(again), "ids must ascend");
  EXPECT_DEATH(bench.scheduler.fork(a, again), "a child must be younger");
  EXPECT_DEATH(bench.scheduler.finish(again), "is not queued");
  EXPECT_DEATH(bench.scheduler.complete_step(), "no plan to complete");
  EXPECT_DEATH(Scheduler(SchedulerLimits{.blocks = 1, .chunk = 0}), "must be at least 1");
  a.tokens.resize(64);
  bench.scheduler.plan_step();
  EXPECT_DEATH(bench.scheduler.plan_step(), "was not completed");
}

}  // namespace
}  // namespace kvgauge
