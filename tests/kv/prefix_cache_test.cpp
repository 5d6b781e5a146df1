#include "kv/prefix_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>

#include "kv/paged_view.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

using Tokens = std::vector<std::int32_t>;
using Blocks = std::vector<std::int32_t>;

Tokens block_of(std::int32_t token) { return Tokens(kPageTokens, token); }
Tokens operator+(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// A sequence that computes all its tokens, offers its full blocks and, if asked, ends.
struct Fixture : ::testing::Test {
  PagePool pool{8};
  PrefixCache cache{pool, true};

  Blocks compute(const Tokens& tokens, std::int64_t matched_at_most = 0) {
    Blocks blocks;
    cache.match(tokens, matched_at_most, blocks);
    const auto first = static_cast<std::int64_t>(blocks.size());
    const auto count = static_cast<std::int64_t>(tokens.size()) / kPageTokens;
    while (static_cast<std::int64_t>(blocks.size()) < count) blocks.push_back(pool.try_take().value());
    cache.insert(tokens, blocks, first, count);
    return blocks;
  }
  void end(const Blocks& blocks) {
    cache.touch(blocks);
    for (const std::int32_t block : blocks) pool.release(block);
  }
  Blocks match(const Tokens& tokens, std::int64_t max_blocks = 99) {
    Blocks blocks;
    cache.match(tokens, max_blocks, blocks);
    return blocks;
  }
  std::size_t hits(const Tokens& tokens) {  // without leaving a trace but the use
    const Blocks blocks = match(tokens);
    for (const std::int32_t block : blocks) pool.release(block);
    return blocks.size();
  }
};
using PrefixCacheTest = Fixture;

TEST_F(PrefixCacheTest, FindsTheLongestRunOfFullBlocks) {
  const Tokens tokens = block_of(1) + block_of(2) + block_of(3);
  const Blocks blocks = compute(tokens);
  EXPECT_EQ(cache.size(), 3);
  EXPECT_EQ(match(tokens + Tokens{9}), blocks);
  EXPECT_EQ(match(tokens, 2), (Blocks{blocks[0], blocks[1]}));
  EXPECT_EQ(match(Tokens(tokens.begin(), tokens.end() - 1)), (Blocks{blocks[0], blocks[1]})) << "only full blocks";
  EXPECT_EQ(match(block_of(1) + block_of(3)), (Blocks{blocks[0]}));
  EXPECT_TRUE(match(block_of(2)).empty()) << "the same tokens behind another prefix are another block";
  EXPECT_TRUE(match(Tokens(31, 1)).empty());
  EXPECT_TRUE(match(tokens, 0).empty());
  EXPECT_EQ(pool.references(blocks[0]), 2 + 4) << "sequence, cache, four matches";
  EXPECT_EQ(pool.references(blocks[2]), 2 + 1);
}

TEST_F(PrefixCacheTest, EveryTokenAndItsPlaceCount) {
  Tokens tokens(kPageTokens);
  std::iota(tokens.begin(), tokens.end(), 0);
  compute(tokens);
  for (std::size_t place = 0; place < tokens.size(); ++place) {
    Tokens other = tokens;
    other[place] = -1;
    EXPECT_EQ(hits(other), 0u) << place;
  }
  std::swap(tokens[3], tokens[4]);
  EXPECT_EQ(hits(tokens), 0u);
}

TEST_F(PrefixCacheTest, TheFirstOfTwoEqualBlocksStays) {
  const Tokens tokens = block_of(1) + block_of(2);
  const Blocks first = compute(tokens);
  const Blocks second = compute(tokens);  // computed at the same time: no match before
  EXPECT_EQ(cache.size(), 2);
  EXPECT_EQ(match(tokens), first);
  EXPECT_EQ(pool.references(second[0]), 1);
  end(second);
  EXPECT_EQ(pool.free_blocks(), 6);
}

TEST_F(PrefixCacheTest, ContinuesFromADuplicateAndFromItsOwnBlocks) {
  Tokens tokens = block_of(1);
  const Blocks first = compute(tokens);
  tokens = tokens + block_of(2);
  Blocks second = {*pool.try_take(), *pool.try_take()};
  cache.insert(tokens, second, 0, 1);
  cache.insert(tokens, second, 1, 2);  // block 0 of this sequence is a duplicate, block 1 is new
  EXPECT_EQ(match(tokens), (Blocks{first[0], second[1]}));
  tokens = tokens + block_of(3);
  second.push_back(*pool.try_take());
  cache.insert(tokens, second, 2, 3);
  EXPECT_EQ(match(tokens), (Blocks{first[0], second[1], second[2]}));
}

TEST_F(PrefixCacheTest, EvictsLeavesLeastRecentlyUsedFirst) {
  const Blocks a = compute(block_of(1) + block_of(2));
  end(a);
  const Blocks b = compute(block_of(1) + block_of(3), 9);  // shares block 0
  EXPECT_EQ(b[0], a[0]);
  end(b);
  end(compute(block_of(7)));
  EXPECT_EQ(hits(block_of(1) + block_of(2)), 2u);  // now a's leaf is the youngest, b's the oldest
  EXPECT_EQ(cache.evictable(), 4);
  EXPECT_TRUE(cache.evict_one());
  EXPECT_EQ(hits(block_of(1) + block_of(3)), 1u);
  EXPECT_EQ(hits(block_of(1) + block_of(2)), 2u);
  EXPECT_TRUE(cache.evict_one());
  EXPECT_EQ(hits(block_of(7)), 0u);
  EXPECT_TRUE(cache.evict_one());
  EXPECT_EQ(hits(block_of(1) + block_of(2)), 1u) << "the leaf goes before its parent";
  EXPECT_TRUE(cache.evict_one());
  EXPECT_FALSE(cache.evict_one());
  EXPECT_EQ(pool.free_blocks(), 8);
}

TEST_F(PrefixCacheTest, NeverEvictsWhatASequenceHolds) {
  const Blocks held = compute(block_of(1) + block_of(2));
  end(compute(block_of(5)));
  EXPECT_EQ(cache.evictable(), 1);
  EXPECT_TRUE(cache.evict_one());
  EXPECT_FALSE(cache.evict_one());
  EXPECT_EQ(match(block_of(1) + block_of(2)), held);
}

// The holder of the continuation computed its own copy of the beginning, so nobody holds the listed beginning.
TEST_F(PrefixCacheTest, EvictsAnInnerBlockWhenAllLeavesAreHeld) {
  const Blocks first = compute(block_of(1));
  const Tokens longer = block_of(1) + block_of(2) + block_of(3);
  const Blocks second = compute(longer);
  end(first);
  EXPECT_EQ(cache.evictable(), 1);
  EXPECT_TRUE(cache.evict_one());
  EXPECT_EQ(pool.references(first[0]), 0);
  EXPECT_EQ(cache.size(), 0) << "descendants of a lost block cannot be reached";
  EXPECT_EQ(pool.references(second[2]), 1);
  cache.insert(longer, second, 2, 3);  // the sequence goes on; its own beginning is listed instead
  EXPECT_EQ(match(longer), second);
}

TEST_F(PrefixCacheTest, ClearLeavesOnlyTheReferencesOfSequences) {
  const Blocks held = compute(block_of(1) + block_of(2));
  end(compute(block_of(1) + block_of(4), 9));
  cache.clear();
  EXPECT_EQ(cache.size(), 0);
  EXPECT_EQ(pool.free_blocks(), 6);
  EXPECT_EQ(pool.references(held[0]), 1);
  EXPECT_EQ(hits(block_of(1)), 0u);
  compute(block_of(1));
  EXPECT_EQ(hits(block_of(1)), 1u);
}

TEST(PrefixCacheDisabled, DoesNothing) {
  PagePool pool(2);
  PrefixCache cache(pool, false);
  const Blocks blocks{*pool.try_take()};
  cache.insert(block_of(1), blocks, 0, 1);
  Blocks found;
  cache.match(block_of(1), 9, found);
  cache.touch(blocks);
  EXPECT_TRUE(found.empty());
  EXPECT_EQ(cache.size(), 0);
  EXPECT_EQ(cache.evictable(), 0);
  EXPECT_FALSE(cache.evict_one());
  EXPECT_EQ(pool.references(blocks[0]), 1);
}

// Against a map from prefixes to blocks, with uses as explicit times. Sequences hold what they match, so the model can
// say which block must go: the leaf nobody holds that was used longest ago.
TEST(PrefixCacheModel, AgreesWithAMapOfPrefixesUnderRandomCalls) {
  std::mt19937_64 random(testing::test_seed(12));
  for (int round = 0; round < 200; ++round) {
    PagePool pool(static_cast<std::int32_t>(1 + random() % 12));
    PrefixCache cache(pool, true);
    std::map<Tokens, std::pair<std::int32_t, std::int64_t>> listed;  // prefix -> block, last use
    std::int64_t now = 0;
    for (int call = 0; call < 200; ++call) {
      Tokens tokens;
      for (std::uint64_t length = 1 + random() % 4; length > 0; --length)
        tokens = tokens + block_of(static_cast<std::int32_t>(random() % 2));
      Blocks blocks;
      cache.match(tokens, 99, blocks);
      ++now;
      std::size_t known = 0;
      for (; known < tokens.size() / kPageTokens; ++known) {
        const auto entry = listed.find(
            Tokens(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>((known + 1) * kPageTokens)));
        if (entry == listed.end()) break;
        ASSERT_LT(known, blocks.size());
        ASSERT_EQ(blocks[known], entry->second.first);
        entry->second.second = now;
      }
      ASSERT_EQ(blocks.size(), known);
      while (blocks.size() < tokens.size() / kPageTokens) {
        if (const auto block = pool.try_take()) {
          blocks.push_back(*block);
          continue;
        }
        const Tokens* victim = nullptr;
        std::int64_t oldest = 0;
        for (auto entry = listed.begin(); entry != listed.end(); ++entry) {
          const auto next = std::next(entry);  // prefixes sort right before their continuations
          const bool leaf = next == listed.end() || next->first.size() <= entry->first.size() ||
                            !std::equal(entry->first.begin(), entry->first.end(), next->first.begin());
          if (!leaf || std::count(blocks.begin(), blocks.end(), entry->second.first)) continue;
          if (!victim || entry->second.second < oldest) victim = &entry->first, oldest = entry->second.second;
        }
        const std::int32_t lost = victim ? listed.at(*victim).first : -1;
        ASSERT_EQ(cache.evict_one(), victim != nullptr);
        if (!victim) break;
        ASSERT_EQ(pool.references(lost), 0) << "another block went";
        listed.erase(listed.find(*victim));
      }
      const auto count = static_cast<std::int64_t>(blocks.size());
      cache.insert(tokens, blocks, static_cast<std::int64_t>(known), count);
      ++now;
      for (std::int64_t index = static_cast<std::int64_t>(known); index < count; ++index)
        listed[Tokens(tokens.begin(), tokens.begin() + (index + 1) * kPageTokens)] = {
            blocks[static_cast<std::size_t>(index)], now};
      cache.touch(blocks);
      ++now;
      for (std::int64_t index = 0; index < count; ++index)
        listed.at(Tokens(tokens.begin(), tokens.begin() + (index + 1) * kPageTokens)).second = now;
      for (const std::int32_t block : blocks) pool.release(block);
      ASSERT_EQ(cache.size(), static_cast<std::int64_t>(listed.size()));
      ASSERT_EQ(cache.evictable(), cache.size());
      ASSERT_EQ(pool.free_blocks() + cache.size(), pool.blocks());
    }
  }
}

}  // namespace
}  // namespace kvgauge
