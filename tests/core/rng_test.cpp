#include "core/rng.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace kvgauge {
namespace {

// Known answers of the Random123 distribution (kat_vectors, philox4x32 10 rounds).
TEST(Philox, MatchesThePublishedKnownAnswers) {
  EXPECT_EQ(philox(0, 0, 0), (std::array<std::uint32_t, 4>{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}));
  EXPECT_EQ(philox(~0ull, ~0ull, ~0ull),
            (std::array<std::uint32_t, 4>{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}));
  EXPECT_EQ(philox(0x299f31d0a4093822ull, 0x85a308d3243f6a88ull, 0x0370734413198a2eull),
            (std::array<std::uint32_t, 4>{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}));
}

TEST(Uniform, LiesInTheUnitIntervalWithTheRightMeanAndNoRepeats) {
  std::set<double> seen;
  double sum = 0;
  constexpr int kDraws = 20000;
  for (int draw = 0; draw < kDraws; ++draw) {
    const double u = uniform(7, 3, static_cast<std::uint64_t>(draw));
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    seen.insert(u);
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 4 * 0.2887 / std::sqrt(double{kDraws}));  // four standard errors
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(kDraws));
  EXPECT_NE(uniform(7, 3, 5), uniform(7, 4, 5));
  EXPECT_NE(uniform(7, 3, 5), uniform(8, 3, 5));
}

}  // namespace
}  // namespace kvgauge
