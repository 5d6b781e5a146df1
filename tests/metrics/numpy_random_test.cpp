#include "metrics/numpy_random.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "core/json.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

TEST(NumpyRandom, ShufflesAsNumpyDoes) {
  const Json golden =
      parse_json(testing::read_file(testing::repo_path("tests/golden/numpy_shuffle.json")), "numpy_shuffle.json");
  ASSERT_EQ(golden["cases"].size(), 3u);
  for (const Json& one : golden["cases"]) {
    const std::uint32_t seed = one["seed"];
    NumpyRandomState head(seed);
    for (const Json& value : one["u32_head"]) EXPECT_EQ(head.next(), value.get<std::uint32_t>());
    std::vector<std::int32_t> order(one["n"].get<std::size_t>());
    std::iota(order.begin(), order.end(), 0);
    NumpyRandomState(seed).shuffle(order);
    EXPECT_EQ(order, one["first"].get<std::vector<std::int32_t>>());
    NumpyRandomState(seed).shuffle(order);
    EXPECT_EQ(order, one["second_after_reseed"].get<std::vector<std::int32_t>>());
  }
}

TEST(NumpyRandom, NothingToShuffleDrawsNothing) {
  NumpyRandomState random(1), untouched(1);
  std::vector<std::int32_t> none, one = {7};
  random.shuffle(none);
  random.shuffle(one);
  EXPECT_EQ(random.at_most(0), 0u);
  EXPECT_EQ(one[0], 7);
  EXPECT_EQ(random.next(), untouched.next());
}

}  // namespace
}  // namespace kvgauge
