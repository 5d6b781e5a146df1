#include "difficulty/label_rule.h"

#include <gtest/gtest.h>

#include <vector>

namespace kvgauge {
namespace {

// METHOD.md F.2, every combination, at and around the threshold.
TEST(LabelRule, HasTheFourLabelsOfTheSpecification) {
  struct Case {
    Outcome fast, slow;
    double label;
  };
  const Case cases[] = {
      {{.correct = true, .tokens = 1}, {.correct = true, .tokens = 5000}, 0},
      {{.correct = true, .tokens = 127}, {.correct = false, .tokens = 1}, 0},
      {{.correct = true, .tokens = 128}, {.correct = true, .tokens = 1}, 25},
      {{.correct = true, .tokens = 2048, .finished = false}, {.correct = false, .tokens = 1}, 25},
      {{.correct = false, .tokens = 1}, {.correct = true, .tokens = 8192, .finished = false}, 75},
      {{.correct = false, .tokens = 500}, {.correct = true, .tokens = 1}, 75},
      {{.correct = false, .tokens = 1}, {.correct = false, .tokens = 1}, 100},
  };
  for (const Case& c : cases) EXPECT_EQ(difficulty_label(c.fast, c.slow, {}), c.label) << c.fast.tokens;
}

TEST(LabelRule, TakesAnotherThreshold) {
  const Outcome fast{.correct = true, .tokens = 12}, slow{.correct = true, .tokens = 60};
  EXPECT_EQ(difficulty_label(fast, slow, {.easy_tokens = 12}), 25);
  EXPECT_EQ(difficulty_label(fast, slow, {.easy_tokens = 13}), 0);
}

TEST(LabelRule, SeveralSeedsGiveTheMeanOfTheirPairs) {
  const std::vector<Outcome> fast = {{.correct = true, .tokens = 10},
                                     {.correct = false, .tokens = 10},
                                     {.correct = false, .tokens = 10},
                                     {.correct = true, .tokens = 200}};
  const std::vector<Outcome> slow = {{.correct = false, .tokens = 10},
                                     {.correct = true, .tokens = 10},
                                     {.correct = false, .tokens = 10},
                                     {.correct = true, .tokens = 10}};
  EXPECT_EQ(difficulty_label(fast, slow, {}), (0 + 75 + 100 + 25) / 4.0);
  EXPECT_EQ(difficulty_label(std::span(fast).subspan(1, 1), std::span(slow).subspan(1, 1), {}), 75);
}

TEST(LabelRule, CheckpointsAreLabelledByWhatClosingThereGives) {
  const CheckpointRule unsafe, safe{.safe = 10, .unsafe = 90, .both_wrong = BothWrong::kSafe},
      dropped{.unsafe = 75, .both_wrong = BothWrong::kDropped};
  EXPECT_EQ(checkpoint_label(true, true, unsafe), 0);
  EXPECT_EQ(checkpoint_label(true, false, unsafe), 0);
  EXPECT_EQ(checkpoint_label(false, true, unsafe), 100);
  EXPECT_EQ(checkpoint_label(false, false, unsafe), 100);
  EXPECT_EQ(checkpoint_label(true, true, safe), 10);
  EXPECT_EQ(checkpoint_label(true, false, safe), 10);
  EXPECT_EQ(checkpoint_label(false, true, safe), 90);
  EXPECT_EQ(checkpoint_label(false, false, safe), 10);
  EXPECT_EQ(checkpoint_label(true, false, dropped), 0);
  EXPECT_EQ(checkpoint_label(false, true, dropped), 75);
  EXPECT_EQ(checkpoint_label(false, false, dropped), std::nullopt);
}

}  // namespace
}  // namespace kvgauge
