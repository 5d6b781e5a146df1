#include "difficulty/checkpoints.h"

#include <gtest/gtest.h>

namespace kvgauge {
namespace {

using Places = std::vector<std::int64_t>;

constexpr std::int32_t kLine = 10, kEnd = 99;

Places places(const std::vector<std::int32_t>& tokens, const CheckpointPlan& plan,
              const std::vector<std::int32_t>& end = {kEnd}) {
  return checkpoint_places(tokens, end, plan, [](std::int32_t token) { return token == kLine; });
}

TEST(Checkpoints, LieAtMultiplesOfTheIntervalUpToTheNaturalClose) {
  std::vector<std::int32_t> tokens(20, 1);
  tokens[12] = kEnd;
  EXPECT_EQ(places(tokens, {.interval = 4}), (Places{4, 8, 12}));
  EXPECT_EQ(places(tokens, {.interval = 5}), (Places{5, 10}));
  EXPECT_EQ(places(tokens, {.interval = 1}).size(), 12u);
  EXPECT_EQ(places(tokens, {.interval = 13}), Places{});
}

TEST(Checkpoints, AGenerationThatNeverClosesEndsOneTokenEarlier) {
  const std::vector<std::int32_t> tokens(8, 1);
  EXPECT_EQ(places(tokens, {.interval = 4}), Places{4});
  EXPECT_EQ(places({}, {.interval = 1}), Places{});
  EXPECT_EQ(places({1}, {.interval = 1}), Places{});
}

TEST(Checkpoints, LinesEndBehindTheirLastToken) {
  EXPECT_EQ(places({1, kLine, 2, 3, kLine, kEnd, kLine, 1}, {.lines = true}), (Places{2, 5}));
  EXPECT_EQ(places({kLine, kLine, 1}, {.lines = true}), (Places{1, 2}));
  EXPECT_EQ(places({1, kLine, 2, 3, kLine, kEnd}, {.interval = 4, .lines = true}), (Places{2, 4, 5}));
  EXPECT_EQ(places({1, kLine, 2, kEnd}, {}), Places{});
}

TEST(Checkpoints, AnEndOfSeveralTokensIsFoundWhereItBegins) {
  EXPECT_EQ(places({1, 7, 1, 7, 8, 1, 1}, {.interval = 1}, {7, 8}), (Places{1, 2, 3}));
  EXPECT_EQ(places({7, 8, 1}, {.interval = 1}, {7, 8}), Places{});
}

TEST(Checkpoints, ThereAreNoMoreThanAskedForAndTheyAreSpread) {
  const std::vector<std::int32_t> tokens(101, 1);
  EXPECT_EQ(places(tokens, {.interval = 10, .most = 5}), (Places{20, 40, 60, 80, 100}));
  EXPECT_EQ(places(tokens, {.interval = 10, .most = 1}), Places{60});
  EXPECT_EQ(places(tokens, {.interval = 10, .most = 10}).size(), 10u);
  EXPECT_EQ(places(tokens, {.interval = 1, .most = 7}).size(), 7u);
}

}  // namespace
}  // namespace kvgauge
