#include <gtest/gtest.h>

#include <cmath>

#include "core/json.h"
#include "reference/kv_coe.h"
#include "reference/lcg.h"
#include "score/scores.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

// METHOD.md B.2: the mean over tokens of each layer's states, then the normalised scores along the layers.
TEST(HiddenCoeGolden, PairsAreTheNormalizedScoresOverLayers) {
  const Json golden =
      parse_json(testing::read_file(testing::repo_path("tests/golden/hidden_coe.json")), "hidden_coe.json");
  ASSERT_EQ(golden["cases"].size(), 6u);
  for (const Json& one : golden["cases"]) {
    testing::Lcg numbers(one["seed"].get<std::uint64_t>());
    const auto tokens = one["T"].get<std::size_t>(), columns = one["D"].get<std::size_t>();
    testing::States means(one["states"].get<std::size_t>(), std::vector<double>(columns));
    for (auto& mean : means) {
      const auto values = numbers.values(tokens * columns);
      for (std::size_t i = 0; i < values.size(); ++i) mean[i % columns] += values[i] / static_cast<double>(tokens);
    }
    const testing::ReferenceTrajectory t = testing::reference_trajectory(means);
    const CoePair got = coe_pair(
        trajectory_sums(std::span<const double>(t.dr), std::span<const double>(t.dtheta), t.end_dr, t.end_dtheta));
    // R is a difference of two means: its rounding is that of the terms.
    EXPECT_NEAR(got.r, one["norm_R"].get<double>(), 1e-10 * one["mag"].get<double>());
    EXPECT_NEAR(got.c, one["norm_C"].get<double>(), 1e-10 * one["mag"].get<double>());
  }
}

TEST(HiddenCoe, OneStateOrNoneHasNoPair) {
  EXPECT_TRUE(std::isnan(coe_pair({}).r));
  EXPECT_TRUE(std::isnan(coe_pair({.tokens = 1}).c));
  EXPECT_TRUE(std::isnan(coe_pair({.tokens = 3, .sum_dr = 2, .sum_dtheta = 1}).r)) << "a closed loop";
}

}  // namespace
}  // namespace kvgauge
