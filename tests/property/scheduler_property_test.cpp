// Random schedules on a simulated device. Its pages hold one stamp per position, a chained hash of (stamp of the
// position before, read through the block table; token), as real keys and values depend on every token before. A wrong
// share, a missing copy, a page taken away too early or a stale page therefore changes the stamps of everything behind
// it.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <random>
#include <set>

#include "core/rng.h"
#include "engine/scheduler.h"
#include "kv/paged_view.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

constexpr std::uint64_t kPoison = 0xdeadull;

std::uint64_t stamp_after(std::uint64_t previous, std::int32_t token, std::int64_t position) {
  return mix64(previous * 3 + static_cast<std::uint64_t>(token) * 0x9e3779b97f4a7c15ull +
               static_cast<std::uint64_t>(position));
}

struct Row : Sequence {
  std::int64_t longest = 0;  // tokens at which it ends
  bool scoring = false;      // nothing is sampled: ends as soon as everything is computed
  bool seen = false;         // has been planned before
  std::int64_t first_cached = 0;
  std::uint64_t salt = 0;
  std::vector<std::uint64_t> expected;  // stamps of `tokens`, computed without pages
};

struct Totals {
  std::int64_t schedules = 0, steps = 0, preemptions = 0, copies = 0, hits = 0, evictions = 0, empty_items = 0,
               forks = 0, readmissions = 0;
};

class Simulation {
 public:
  Simulation(std::uint64_t seed, Totals& totals) : random_(seed), totals_(totals) {
    limits_.blocks = static_cast<std::int32_t>(pick(1, 24));
    limits_.tokens_per_step = pick(1, 3) == 1 ? pick(1, 8) : pick(1, 300);
    limits_.max_sequences = pick(1, 8);
    limits_.chunk = pick(1, 3) == 1 ? pick(1, 8) : pick(1, 200);
    limits_.prefix_cache = pick(0, 3) != 0;
    alphabet_ = static_cast<std::int32_t>(pick(2, 50));
    far_children_ = pick(0, 3) == 0;
    scheduler_ = std::make_unique<Scheduler>(limits_);
    pages_.assign(static_cast<std::size_t>(limits_.blocks) * kPageTokens, kPoison);
    was_cached_.assign(static_cast<std::size_t>(limits_.blocks), false);
    for (auto& family : families_) {
      family.resize(static_cast<std::size_t>(limits_.blocks) * kPageTokens);
      // Half of the time pages of three kinds in random order: the same page then stands behind different beginnings.
      const std::uint64_t kinds = pick(0, 1) == 0 ? 3 : std::uint64_t{1} << 60;
      for (auto page = family.begin(); page != family.end(); page += kPageTokens) {
        std::uint64_t word = random_() % kinds;
        std::generate(page, page + kPageTokens, [&] { return token_of(word += 1000); });
      }
    }
  }

  /// Runs to the end; returns a hash of every decision.
  std::uint64_t run() {
    const std::int64_t requests = pick(1, 14);
    std::int64_t arrived = 0;
    while ((arrived < requests || !scheduler_->idle()) && !::testing::Test::HasFatalFailure()) {
      while (arrived < requests && (scheduler_->idle() || pick(0, 3) == 0)) arrive(arrived++);
      step();
      ++steps_;
      EXPECT_LE(steps_, step_bound_) << "no progress";
      if (steps_ > step_bound_) break;
    }
    EXPECT_EQ(scheduler_->pool().free_blocks() + scheduler_->prefix_cache().evictable(), limits_.blocks)
        << "a page leaked";
    totals_.preemptions += scheduler_->preemptions();
    totals_.steps += steps_;
    ++totals_.schedules;
    return trace_;
  }

 private:
  std::int64_t pick(std::int64_t low, std::int64_t high) {  // both ends included; the same on every standard library
    return low + static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(high - low + 1));
  }
  std::int32_t token_of(std::uint64_t word) const {
    return static_cast<std::int32_t>(mix64(word) % static_cast<std::uint64_t>(alphabet_));
  }
  std::int64_t capacity() const { return std::int64_t{limits_.blocks} * kPageTokens; }
  void note(std::uint64_t word) { trace_ = mix64(trace_ ^ word); }

  std::uint64_t& page(std::int32_t block, std::int64_t slot) {
    return pages_[static_cast<std::size_t>(block * kPageTokens + slot)];
  }
  std::uint64_t& at(const Row& row, std::int64_t position) {
    return page(row.blocks.at(static_cast<std::size_t>(position / kPageTokens)), position % kPageTokens);
  }

  Row& new_row(std::int64_t id) {
    auto row = std::make_unique<Row>();
    row->id = id;
    row->salt = random_();
    Row& result = *row;
    rows_[id] = std::move(row);
    return result;
  }

  void arrive(std::int64_t number) {
    Row& row = new_row(next_id_);
    next_id_ += 8;
    const std::int64_t prompt = number % 5 == 4 ? capacity() : pick(1, capacity());
    const auto& family = families_[static_cast<std::size_t>(pick(0, 2))];
    const std::int64_t shared = std::min(prompt, pick(0, 2) == 0 ? prompt : pick(0, capacity()));
    row.tokens.assign(family.begin(), family.begin() + shared);
    while (static_cast<std::int64_t>(row.tokens.size()) < prompt) row.tokens.push_back(token_of(random_()));
    row.scoring = pick(0, 3) == 0;
    row.longest = row.scoring ? prompt : std::min(capacity(), prompt + pick(1, 120));
    row.max_cached_prefix = row.scoring ? prompt : pick(0, 3) == 0 ? 0 : prompt - 1;
    step_bound_ += row.longest + 2;
    scheduler_->add(row);
  }

  void fork(Row& parent) {
    if (forks_left_-- <= 0) return;
    std::int64_t id = parent.id + 1;
    if (far_children_) id += pick(0, 40);
    while (rows_.count(id) || id % 8 == 0) ++id;
    Row& child = new_row(id);
    child.tokens = parent.tokens;
    if (parent.resident &&
        pick(0, 1) == 0) {  // it goes its own way from the first token that its parent has not computed
      child.tokens.resize(static_cast<std::size_t>(std::max<std::int64_t>(parent.computed, 1)));
      if (child.tokens.size() < parent.tokens.size()) child.tokens.push_back(token_of(random_()));
    }
    child.scoring = parent.scoring;
    child.longest = child.scoring
                        ? static_cast<std::int64_t>(child.tokens.size())
                        : std::max<std::int64_t>(parent.longest, static_cast<std::int64_t>(child.tokens.size()));
    child.max_cached_prefix =
        std::min<std::int64_t>(parent.max_cached_prefix, static_cast<std::int64_t>(child.tokens.size()) - 1);
    step_bound_ += child.longest + 2;
    scheduler_->fork(parent, child);
    ASSERT_EQ(child.resident, parent.resident);
    ASSERT_EQ(child.computed, parent.computed);
    if (child.resident) {
      child.seen = true;
      child.first_cached = child.cached_tokens;
    }
    ++totals_.forks;
  }

  void end(Row& row) {
    scheduler_->finish(row);
    EXPECT_TRUE(row.finished && !row.resident && row.blocks.empty());
    note(static_cast<std::uint64_t>(row.id) << 32 | row.tokens.size());
    rows_.erase(row.id);
  }

  void step() {
    if (scheduler_->idle()) return;
    std::map<std::int64_t, bool> resident;
    for (const auto& [id, row] : rows_) resident[id] = row->resident;
    const std::int64_t preemptions = scheduler_->preemptions();
    const StepPlan& plan = scheduler_->plan_step();
    ASSERT_NO_FATAL_FAILURE(check_plan(plan, resident, scheduler_->preemptions() - preemptions));
    ASSERT_NO_FATAL_FAILURE(check_pool());
    if (pick(0, 60) == 0)
      end(static_cast<Row&>(
          *plan.items[static_cast<std::size_t>(pick(0, static_cast<std::int64_t>(plan.items.size()) - 1))].sequence));
    execute(plan);
    poison_free_pages();
    const std::vector<StepPlan::Item> items = plan.items;
    scheduler_->complete_step();
    ASSERT_NO_FATAL_FAILURE(check_contents(items));
    ASSERT_NO_FATAL_FAILURE(check_pool());
    for (const StepPlan::Item& item : items) {
      if (!item.sequence) continue;
      Row& row = static_cast<Row&>(*item.sequence);
      if (pick(0, 12) == 0) {
        ASSERT_NO_FATAL_FAILURE(fork(row));
      }
      if (!item.completes) continue;
      if (row.scoring || static_cast<std::int64_t>(row.tokens.size()) >= row.longest || pick(0, 200) == 0) {
        end(row);
      } else {
        row.tokens.push_back(token_of(at(row, row.computed - 1) ^ row.salt));
      }
    }
    if (pick(0, 15) == 0 && !rows_.empty()) {
      Row& victim = *std::next(rows_.begin(), pick(0, static_cast<std::int64_t>(rows_.size()) - 1))->second;
      if (pick(0, 1) == 0) {
        end(victim);
      } else {
        ASSERT_NO_FATAL_FAILURE(fork(victim));
      }
    }
    ASSERT_NO_FATAL_FAILURE(check_pool());
  }

  void check_plan(const StepPlan& plan, std::map<std::int64_t, bool>& resident, std::int64_t preempted) {
    ASSERT_FALSE(plan.items.empty());
    std::int64_t budget = limits_.tokens_per_step, lost = 0;
    auto oldest = rows_.begin();
    for (const StepPlan::Item& item : plan.items) {
      Row& row = static_cast<Row&>(*item.sequence);
      ASSERT_EQ(&row, oldest->second.get()) << "sequence " << row.id << " overtakes " << oldest->first;
      ++oldest;
      ASSERT_TRUE(row.resident && row.started);
      ASSERT_EQ(item.first_position, row.computed);
      ASSERT_EQ(item.rows, std::min({row.pending(), limits_.chunk, budget}));
      ASSERT_EQ(item.completes, item.rows == row.pending());
      budget -= item.rows;
      totals_.empty_items += item.rows == 0;
      ASSERT_GE(static_cast<std::int64_t>(row.blocks.size()) * kPageTokens, item.first_position + item.rows);
      for (std::int64_t position = item.first_position; position < item.first_position + item.rows; ++position) {
        const std::int32_t block = row.blocks[static_cast<std::size_t>(position / kPageTokens)];
        ASSERT_EQ(scheduler_->pool().references(block), 1) << "sequence " << row.id << " writes a shared page";
        ASSERT_FALSE(scheduler_->pool().cached(block));
      }
      if (!resident[row.id]) {
        ASSERT_EQ(row.computed % kPageTokens, 0);
        ASSERT_LE(row.computed, row.max_cached_prefix);
        totals_.hits += row.computed > 0;
        totals_.readmissions += row.seen;
        if (!row.seen) row.first_cached = row.computed;
        row.seen = true;
      }
      ASSERT_EQ(row.cached_tokens, row.first_cached);
      note(static_cast<std::uint64_t>(row.id) * 7919 + static_cast<std::uint64_t>(item.rows));
    }
    ASSERT_GE(budget, 0);
    ASSERT_EQ(plan.rows, limits_.tokens_per_step - budget);
    ASSERT_LE(static_cast<std::int64_t>(plan.items.size()), limits_.max_sequences);
    std::int64_t youngest_resident = -1;
    for (const auto& [id, row] : rows_)
      if (row->resident) youngest_resident = id;
    for (const auto& [id, row] : rows_) {
      if (row->resident || !resident[id]) continue;
      ++lost;
      ASSERT_GT(id, youngest_resident) << "a younger sequence should have lost its pages first";
      ASSERT_GT(id, plan.items.back().sequence->id) << "an older sequence lost its pages";
      ASSERT_TRUE(row->blocks.empty() && row->computed == 0 && row->preemptions > 0);
    }
    ASSERT_EQ(lost, preempted);
    const bool limited = budget == 0 || static_cast<std::int64_t>(plan.items.size()) == limits_.max_sequences;
    if (oldest != rows_.end() && !limited && preempted == 0) check_room_is_used(*oldest->second);
    totals_.copies += static_cast<std::int64_t>(plan.copies.size());
  }

  // The first sequence that was left out must not have had room for its tokens, everybody's tokens and a page each.
  void check_room_is_used(const Row& left_out) {
    std::int64_t need = left_out.resident ? 1 : 0;  // a page to copy into
    for (const auto& [id, row] : rows_)
      if (row->resident || id == left_out.id)
        need += std::max<std::int64_t>((static_cast<std::int64_t>(row->tokens.size()) + kPageTokens - 1) / kPageTokens -
                                           static_cast<std::int64_t>(row->blocks.size()),
                                       0) +
                1;
    ASSERT_GT(need, scheduler_->pool().free_blocks() + scheduler_->prefix_cache().evictable())
        << "sequence " << left_out.id << " waits with room at hand";
  }

  void check_pool() {
    const PagePool& pool = scheduler_->pool();
    std::vector<std::int32_t> holders(static_cast<std::size_t>(limits_.blocks));
    for (const auto& [id, row] : rows_) {
      ASSERT_EQ(row->blocks.empty(), !row->resident || row->blocks.empty());
      for (const std::int32_t block : row->blocks) ++holders[static_cast<std::size_t>(block)];
      ASSERT_EQ(std::set<std::int32_t>(row->blocks.begin(), row->blocks.end()).size(), row->blocks.size())
          << "a page twice in one table";
    }
    std::int64_t free = 0, cached = 0, alone = 0;
    for (std::int32_t block = 0; block < limits_.blocks; ++block) {
      const auto b = static_cast<std::size_t>(block);
      const bool is_cached = pool.references(block) > 0 && pool.cached(block);
      ASSERT_EQ(pool.references(block), holders[b] + is_cached) << "block " << block;
      totals_.evictions += was_cached_[b] && !is_cached;
      was_cached_[b] = is_cached;
      cached += is_cached;
      alone += is_cached && holders[b] == 0;
      free += pool.references(block) == 0;
    }
    ASSERT_EQ(pool.free_blocks(), free);
    ASSERT_EQ(scheduler_->prefix_cache().size(), cached);
    ASSERT_EQ(scheduler_->prefix_cache().evictable(), alone);
    ASSERT_TRUE(limits_.prefix_cache || cached == 0);
  }

  // After the copies: a page that a preemption freed in this plan may still be the source of one.
  void poison_free_pages() {
    for (std::int32_t block = 0; block < limits_.blocks; ++block)
      for (std::int64_t slot = 0; scheduler_->pool().references(block) == 0 && slot < kPageTokens; ++slot)
        page(block, slot) = kPoison;
  }

  void execute(const StepPlan& plan) {
    for (const auto& [source, target] : plan.copies)
      for (std::int64_t slot = 0; slot < kPageTokens; ++slot) page(target, slot) = page(source, slot);
    for (const StepPlan::Item& item : plan.items) {
      if (!item.sequence) continue;
      Row& row = static_cast<Row&>(*item.sequence);
      for (std::int64_t position = item.first_position; position < item.first_position + item.rows; ++position)
        at(row, position) =
            stamp_after(position ? at(row, position - 1) : 0, row.tokens[static_cast<std::size_t>(position)], position);
    }
  }

  void check_contents(const std::vector<StepPlan::Item>& items) {
    for (const StepPlan::Item& item : items)
      ASSERT_TRUE(!item.sequence || item.sequence->computed == item.first_position + item.rows);
    for (auto& [id, row] : rows_) {
      for (auto position = static_cast<std::int64_t>(row->expected.size()); position < row->computed; ++position)
        row->expected.push_back(stamp_after(position ? row->expected.back() : 0,
                                            row->tokens[static_cast<std::size_t>(position)], position));
      for (std::int64_t position = 0; position < row->computed; ++position)
        ASSERT_EQ(at(*row, position), row->expected[static_cast<std::size_t>(position)])
            << "sequence " << id << " position " << position;
    }
  }

  std::mt19937_64 random_;
  Totals& totals_;
  SchedulerLimits limits_;
  std::int32_t alphabet_ = 2;
  std::int64_t forks_left_ = 8;
  bool far_children_ = false;  // children that are younger than requests queued after their parent
  std::array<std::vector<std::int32_t>, 3> families_;
  std::unique_ptr<Scheduler> scheduler_;
  std::map<std::int64_t, std::unique_ptr<Row>> rows_;  // unfinished, oldest first
  std::vector<std::uint64_t> pages_;
  std::vector<bool> was_cached_;
  std::int64_t next_id_ = 0, steps_ = 0, step_bound_ = 0;
  std::uint64_t trace_ = 0;
};

TEST(SchedulerProperty, EverySequenceFindsItsOwnTokensInItsPagesAndEnds) {
  const std::uint64_t seed = testing::test_seed(20240601);
  Totals totals;
  for (std::uint64_t schedule = 0; schedule < 2000; ++schedule) {
    SCOPED_TRACE(::testing::Message() << "schedule " << schedule);
    Simulation(mix64(seed + schedule), totals).run();
    if (HasFailure()) return;
  }
  RecordProperty("steps", static_cast<int>(totals.steps));
  std::printf(
      "%lld schedules, %lld steps, %lld preemptions, %lld readmissions, %lld forks, %lld copies, %lld prefix hits, "
      "%lld evictions, %lld items without rows\n",
      static_cast<long long>(totals.schedules), static_cast<long long>(totals.steps),
      static_cast<long long>(totals.preemptions), static_cast<long long>(totals.readmissions),
      static_cast<long long>(totals.forks), static_cast<long long>(totals.copies), static_cast<long long>(totals.hits),
      static_cast<long long>(totals.evictions), static_cast<long long>(totals.empty_items));
  // The schedules must reach what they are meant to test.
  for (const std::int64_t count : {totals.preemptions, totals.readmissions, totals.forks, totals.copies, totals.hits,
                                   totals.evictions, totals.empty_items})
    EXPECT_GT(count, 100);
}

TEST(SchedulerProperty, TheSameCallsGiveTheSameDecisions) {
  const std::uint64_t seed = testing::test_seed(20240602);
  Totals totals;
  for (std::uint64_t schedule = 0; schedule < 100; ++schedule) {
    SCOPED_TRACE(::testing::Message() << "schedule " << schedule);
    const std::uint64_t once = Simulation(mix64(seed + schedule), totals).run();
    EXPECT_EQ(Simulation(mix64(seed + schedule), totals).run(), once);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace kvgauge
