#include "kv/page_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "support/paths.h"

namespace kvgauge {
namespace {

TEST(PagePool, HandsOutEveryBlockOnceAndThenNone) {
  PagePool pool(5);
  std::set<std::int32_t> taken;
  while (const auto block = pool.try_take()) {
    EXPECT_EQ(pool.references(*block), 1);
    taken.insert(*block);
  }
  EXPECT_EQ(taken, (std::set<std::int32_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(pool.free_blocks(), 0);
}

TEST(PagePool, ReusesTheLastReleasedBlockFirst) {
  PagePool pool(3);
  const auto a = *pool.try_take();
  const auto b = *pool.try_take();
  EXPECT_TRUE(pool.release(a));
  EXPECT_TRUE(pool.release(b));
  EXPECT_EQ(*pool.try_take(), b);
  EXPECT_EQ(*pool.try_take(), a);
}

TEST(PagePool, FreesABlockWithItsLastReference) {
  PagePool pool(1);
  const auto block = *pool.try_take();
  pool.retain(block);
  EXPECT_FALSE(pool.release(block));
  EXPECT_FALSE(pool.try_take());
  EXPECT_TRUE(pool.release(block));
  EXPECT_TRUE(pool.try_take());
}

TEST(PagePool, CountsTheBlocksThatOnlyTheCacheHolds) {
  PagePool pool(2);
  const auto block = *pool.try_take();
  pool.retain(block);
  pool.mark_cached(block, true);
  EXPECT_EQ(pool.cached_alone(), 0);
  pool.release(block);
  EXPECT_EQ(pool.cached_alone(), 1);
  pool.retain(block);
  EXPECT_EQ(pool.cached_alone(), 0);
  pool.release(block);
  pool.mark_cached(block, false);
  EXPECT_EQ(pool.cached_alone(), 0);
  EXPECT_TRUE(pool.release(block));
}

TEST(PagePool, KeepsItsBooksUnderRandomCalls) {
  std::mt19937_64 random(testing::test_seed(11));
  constexpr std::int32_t kBlocks = 17;
  PagePool pool(kBlocks);
  std::vector<std::int32_t> references(kBlocks);
  for (int call = 0; call < 20000; ++call) {
    const auto block = static_cast<std::int32_t>(random() % kBlocks);
    std::int32_t& count = references[static_cast<std::size_t>(block)];
    if (random() % 3 == 0) {
      if (const auto taken = pool.try_take()) {
        EXPECT_EQ(references[static_cast<std::size_t>(*taken)]++, 0);
      } else {
        EXPECT_EQ(std::count(references.begin(), references.end(), 0), 0);
      }
    } else if (count > 0 && random() % 2 == 0) {
      pool.retain(block);
      ++count;
    } else if (count > 0) {
      EXPECT_EQ(pool.release(block), --count == 0);
    }
    ASSERT_EQ(pool.references(block), count);
    ASSERT_EQ(pool.free_blocks(), std::count(references.begin(), references.end(), 0));
  }
}

TEST(PagePoolDeathTest, StopsOnBrokenBooks) {
  EXPECT_DEATH(PagePool(0), "needs at least 1");
  PagePool pool(2);
  EXPECT_DEATH(pool.retain(0), "is free");
  EXPECT_DEATH(pool.release(1), "more often than it was taken");
  const auto block = *pool.try_take();
  pool.mark_cached(block, true);
  EXPECT_DEATH(pool.release(block), "while the prefix cache lists it");
}

}  // namespace
}  // namespace kvgauge
