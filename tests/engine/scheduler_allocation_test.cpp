// A scheduler that has warmed up allocates nothing: thousands of decode steps, with pages that fill, are offered to the
// prefix cache, evict older ones, and with preemptions on top, without a call of operator new.
#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <new>

#include "engine/scheduler.h"
#include "kv/paged_view.h"

namespace {
std::int64_t allocations = 0;
}

void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* const memory = std::malloc(bytes ? bytes : 1)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace kvgauge {
namespace {

void reserve(Sequence& sequence, std::int64_t longest) {
  sequence.tokens.reserve(static_cast<std::size_t>(longest));
  sequence.blocks.reserve(static_cast<std::size_t>(longest / kPageTokens + 1));
}

TEST(SchedulerAllocation, DecodeStepsAllocateNothing) {
  constexpr std::int64_t kSteps = 3000, kSequences = 8;
  for (const bool prefix_cache : {true, false}) {
    Scheduler scheduler({.blocks = 900, .prefix_cache = prefix_cache});
    std::deque<Sequence> sequences(kSequences);
    for (std::int64_t i = 0; i < kSequences; ++i) {
      Sequence& sequence = sequences[static_cast<std::size_t>(i)];
      sequence.id = i;
      reserve(sequence, kSteps + 100);
      sequence.tokens.assign(40, static_cast<std::int32_t>(i));
      scheduler.add(sequence);
    }
    scheduler.plan_step();
    scheduler.complete_step();
    const std::int64_t before = allocations;
    for (std::int64_t step = 0; step < kSteps; ++step) {
      for (Sequence& sequence : sequences) sequence.tokens.push_back(static_cast<std::int32_t>(step % 7));
      ASSERT_EQ(scheduler.plan_step().rows, kSequences);
      scheduler.complete_step();
    }
    EXPECT_EQ(allocations, before);
    EXPECT_EQ(scheduler.preemptions(), 0);
    EXPECT_EQ(scheduler.prefix_cache().size(), prefix_cache ? kSequences * ((kSteps + 40) / kPageTokens) : 0);
  }
}

TEST(SchedulerAllocation, EvictionPreemptionAndReadmissionAllocateNothingEither) {
  constexpr std::int64_t kSteps = 2000, kSequences = 4, kBlocks = 64;
  Scheduler scheduler({.blocks = kBlocks});
  std::deque<Sequence> sequences(kSequences);
  for (std::int64_t i = 0; i < kSequences; ++i) {
    Sequence& sequence = sequences[static_cast<std::size_t>(i)];
    sequence.id = i;
    sequence.max_cached_prefix = 39;
    reserve(sequence, kBlocks * kPageTokens);
    sequence.tokens.assign(40, static_cast<std::int32_t>(i));
    scheduler.add(sequence);
  }
  const std::int64_t before = allocations;
  for (std::int64_t step = 0; step < kSteps; ++step) {
    for (const StepPlan::Item& item : scheduler.plan_step().items)
      if (item.completes) item.sequence->tokens.push_back(static_cast<std::int32_t>(step % 7));
    scheduler.complete_step();
  }
  EXPECT_EQ(allocations, before);
  EXPECT_GT(scheduler.preemptions(), 2);
}

}  // namespace
}  // namespace kvgauge
