#include "metrics/selection.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "reference/lcg.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

using testing::Lcg;

Candidate answer(bool correct, const std::string& predicted, std::int64_t tokens, std::vector<double> scores) {
  return {.correct = correct,
          .tokens = tokens,
          .predicted = predicted,
          .has_prediction = !predicted.empty(),
          .scores = std::move(scores)};
}

const SelectorResult& find(const SelectionResult& result, const std::string& name) {
  return *std::find_if(result.selectors.begin(), result.selectors.end(),
                       [&](const SelectorResult& s) { return s.name == name; });
}

TEST(Selection, ByHand) {
  SelectionTable table;
  // Right answer 7 in the majority; the score prefers a wrong one.
  table.add(std::vector<Candidate>{answer(false, "3", 10, {5}), answer(true, "7", 20, {1}), answer(true, "7", 30, {2})},
            1);
  // No answer is right; the first two tie in votes and score, the third cast no vote and has no score.
  table.add(std::vector<Candidate>{answer(false, "1", 4, {2}), answer(false, "2", 6, {2}), answer(false, "", 9, {NAN})},
            0);
  // A tie between a right and a wrong answer counts as a half.
  table.add(std::vector<Candidate>{answer(true, "5", 8, {1}), answer(false, "6", 4, {1})}, 1);
  const SelectionResult result = table.result({"s"}, {});
  EXPECT_EQ(result.questions, 3);
  EXPECT_NEAR(result.mean_candidates, 8.0 / 3, 1e-15);
  EXPECT_NEAR(result.mean_tokens_sampled, (60 + 19 + 12) / 3.0, 1e-12);
  EXPECT_NEAR(find(result, "random").accuracy, (2.0 / 3 + 0 + 0.5) / 3, 1e-15);
  EXPECT_NEAR(find(result, "first").accuracy, 1.0 / 3, 1e-15);
  EXPECT_NEAR(find(result, "majority").accuracy, (1 + 0 + 0.5) / 3, 1e-15);
  EXPECT_NEAR(find(result, "oracle").accuracy, 2.0 / 3, 1e-15);
  EXPECT_NEAR(find(result, "as run").accuracy, 1.0 / 3, 1e-15);
  EXPECT_NEAR(find(result, "s").accuracy, (0 + 0 + 0.5) / 3, 1e-15);
  EXPECT_NEAR(find(result, "s").mean_tokens, (10 + 5 + 6) / 3.0, 1e-12);
  EXPECT_NEAR(find(result, "s").mean_candidates, (1 + 2 + 2) / 3.0, 1e-15);
  EXPECT_EQ(find(result, "random").gain, 0);
  EXPECT_EQ(find(result, "random").gain_ci95.high, 0);
  EXPECT_TRUE(find(result, "s").is_score);
}

TEST(Selection, AScoreThatAppearsLateWasRandomBefore) {
  SelectionTable table;
  table.add(std::vector<Candidate>{answer(true, "1", -1, {}), answer(false, "2", 3, {})}, -1);
  table.add(std::vector<Candidate>{answer(true, "1", 5, {0, 9}), answer(false, "2", 3, {1, 1})}, -1);
  const SelectionResult result = table.result({"a", "b"}, {});
  EXPECT_NEAR(find(result, "a").accuracy, 0.25, 1e-15);
  EXPECT_NEAR(find(result, "b").accuracy, 0.75, 1e-15);
  EXPECT_EQ(find(result, "first").mean_tokens, 5) << "only where the length is known";
  for (const SelectorResult& s : result.selectors) EXPECT_NE(s.name, "as run") << "the run kept none";
  EXPECT_TRUE(SelectionTable().result({"a"}, {}).selectors.empty());
}

// Whatever the candidates: oracle >= all >= 0, random is between, and their order changes nothing but `first`.
TEST(Selection, Properties) {
  Lcg lcg(testing::test_seed(60));
  SelectionTable table, reversed;
  for (int question = 0; question < 400; ++question) {
    std::vector<Candidate> candidates;
    const int n = 1 + static_cast<int>(lcg.u53() * 6);
    for (int i = 0; i < n; ++i) {
      const int value = static_cast<int>(lcg.u53() * 4);
      candidates.push_back(answer(value == 0, value == 3 ? "" : std::to_string(value), value * 10 + 1,
                                  {value == 0 ? 1.0 : 0.0, lcg.u53(), std::floor(lcg.u53() * 2)}));
    }
    table.add(candidates, 0);
    std::reverse(candidates.begin(), candidates.end());
    reversed.add(candidates, n - 1);
  }
  const std::vector<std::string> names = {"perfect", "noise", "coarse"};
  const SelectionResult a = table.result(names, {}), b = reversed.result(names, {}), again = table.result(names, {});
  EXPECT_EQ(find(a, "perfect").accuracy, find(a, "oracle").accuracy);
  EXPECT_GT(find(a, "perfect").gain_ci95.low, 0);
  EXPECT_TRUE(find(a, "noise").gain_ci95.holds(0));
  for (const SelectorResult& s : a.selectors) {
    EXPECT_LE(s.accuracy, find(a, "oracle").accuracy) << s.name;
    EXPECT_LE(s.ci95.low, s.accuracy) << s.name;
    EXPECT_GE(s.ci95.high, s.accuracy) << s.name;
    EXPECT_EQ(find(again, s.name).ci95.low, s.ci95.low);
    if (s.name == "first") continue;
    EXPECT_NEAR(find(b, s.name).accuracy, s.accuracy, 1e-12) << s.name;
  }
}

}  // namespace
}  // namespace kvgauge
