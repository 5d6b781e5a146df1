#include "difficulty/switch_evaluation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "reference/lcg.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

using testing::Lcg;

RunOutcome run_of(bool correct, double sampled, bool slow, double prompt) {
  RunOutcome run;
  run.correct = correct;
  run.slow = slow;
  const double injected = slow ? 2 : 4;
  run.tokens = {{sampled, injected, sampled + injected, prompt, sampled, sampled}};
  run.wall_ms = sampled;
  return run;
}

SwitchQuestion question(double d, double prompt, bool fast_right, double fast, bool slow_right, double slow) {
  return {
      .difficulty = d, .fast = run_of(fast_right, fast, false, prompt), .slow = run_of(slow_right, slow, true, prompt)};
}

// Processed: 14, 16, 15, 17, 14 fast (76), 52, 62, 72, 92, 82 slow (360). Right: 2 fast, 3 slow.
std::vector<SwitchQuestion> five() {
  return {question(10, 5, true, 10, true, 50), question(80, 9, false, 12, true, 60),
          question(40, 7, true, 11, false, 70), question(90, 8, false, 13, false, 90),
          question(60, 6, false, 10, true, 80)};
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}
double processed(const Strategy& s) { return mean(s.tokens.of(TokenCounter::kProcessed)); }

TEST(SwitchEvaluation, StrategiesByHand) {
  const auto q = five();
  const Strategy fast = routed("always-fast", q, constant_share(5, 0), 0);
  const Strategy slow = routed("always-slow", q, constant_share(5, 1), 0);
  const Strategy oracle = routed("oracle", q, oracle_share(q), 0);
  const Strategy one_step = routed("one-step", q, above(difficulties(q), 50), 1);
  const Strategy random = routed("random", q, constant_share(5, mean(one_step.slow)), 0);
  EXPECT_DOUBLE_EQ(mean(fast.correct), 0.4);
  EXPECT_DOUBLE_EQ(processed(fast), 76 / 5.0);
  EXPECT_DOUBLE_EQ(mean(slow.correct), 0.6);
  EXPECT_DOUBLE_EQ(processed(slow), 72);
  EXPECT_DOUBLE_EQ(mean(oracle.correct), 0.8);  // slow for the second and the last
  EXPECT_DOUBLE_EQ(processed(oracle), (14 + 62 + 15 + 17 + 82) / 5.0);
  EXPECT_DOUBLE_EQ(mean(one_step.correct), 0.8);
  EXPECT_DOUBLE_EQ(processed(one_step), (14 + 62 + 15 + 92 + 82) / 5.0);
  EXPECT_DOUBLE_EQ(mean(one_step.slow), 0.6);
  EXPECT_DOUBLE_EQ(mean(one_step.probes), 1);
  EXPECT_NEAR(mean(random.correct), 0.6 * 0.6 + 0.4 * 0.4, 1e-15);
  EXPECT_NEAR(processed(random), (0.6 * 360 + 0.4 * 76) / 5, 1e-12);
  EXPECT_DOUBLE_EQ(mean(random.tokens.of(TokenCounter::kPrompt)), 7);

  const auto results = measure(std::vector<Strategy>{slow, one_step}, slow, {});
  EXPECT_DOUBLE_EQ(results[0].kept.value, 1);
  EXPECT_DOUBLE_EQ(results[0].reduction.of(TokenCounter::kProcessed).value, 0);
  EXPECT_DOUBLE_EQ(results[0].reduction.of(TokenCounter::kProcessed).ci95.high, 0);  // on the same resamples
  EXPECT_DOUBLE_EQ(results[1].accuracy.value, 0.8);
  EXPECT_NEAR(results[1].kept.value, 0.8 / 0.6, 1e-15);
  EXPECT_NEAR(results[1].reduction.of(TokenCounter::kProcessed).value, 1 - 265 / 360.0, 1e-15);
  EXPECT_NEAR(results[1].reduction.of(TokenCounter::kSampled).value, 1 - (10 + 60 + 11 + 90 + 80) / 350.0, 1e-15);
  EXPECT_NEAR(results[1].tokens.of(TokenCounter::kInjected).value, (4 + 2 + 4 + 2 + 2) / 5.0, 1e-15);
  EXPECT_TRUE(results[1].accuracy.ci95.holds(0.8));
  EXPECT_EQ(results[1].n, 5);
}

TEST(SwitchEvaluation, ThresholdsByHand) {
  const auto q = five();
  const auto d = difficulties(q);
  // Slow answers for 90: 2 right, cost 151; for 90 and 80: 3 right, cost 197; and for 60: 4 right, cost 265.
  const ThresholdChoice as_good = choose_threshold(q, d, 1);
  EXPECT_DOUBLE_EQ(as_good.threshold, 70);
  EXPECT_DOUBLE_EQ(as_good.accuracy, 0.6);
  EXPECT_DOUBLE_EQ(as_good.processed, 197 / 5.0);
  EXPECT_DOUBLE_EQ(as_good.slow_share, 0.4);
  EXPECT_TRUE(as_good.met);
  const ThresholdChoice never = choose_threshold(q, d, 2);
  EXPECT_FALSE(never.met);
  EXPECT_DOUBLE_EQ(never.threshold, 50);
  EXPECT_DOUBLE_EQ(never.accuracy, 0.8);
  EXPECT_DOUBLE_EQ(choose_threshold(q, lengths(q), 1).threshold, 8.5);
  EXPECT_DOUBLE_EQ(choose_threshold(q, d, 0).slow_share, 0);
  // Level and undefined values: nothing can be told apart, so it is all or nothing.
  const std::vector<double> level(5, 3), undefined(5, NAN);
  EXPECT_DOUBLE_EQ(choose_threshold(q, level, 1).slow_share, 1);
  EXPECT_DOUBLE_EQ(choose_threshold(q, undefined, 1).slow_share, 0);

  EXPECT_EQ(highest_first(lengths(q), constant_share(5, 1), 1.5), (std::vector<double>{0, 1, 0, 0.5, 0}));
  EXPECT_EQ(highest_first(d, extra_tokens(q), 80), (std::vector<double>{0, 5 / 46.0, 0, 1, 0}));
  EXPECT_EQ(highest_first(level, constant_share(5, 1), 2), constant_share(5, 0.4));
  EXPECT_EQ(highest_first(undefined, constant_share(5, 1), 2), constant_share(5, 0.4));
  EXPECT_EQ(highest_first(d, constant_share(5, 1), 0), constant_share(5, 0));
  EXPECT_EQ(highest_first(d, constant_share(5, 1), 9), constant_share(5, 1));
}

TEST(SwitchEvaluation, TheCheapestSettingThatKeepsTheAccuracyIsTaken) {
  const auto run = [](const char* name, double correct, double cost) {
    Strategy s = routed(name, five(), constant_share(5, 0), 0);
    s.correct.assign(5, correct);
    s.tokens.of(TokenCounter::kProcessed).assign(5, cost);
    return s;
  };
  const Strategy slow = run("slow", 0.9, 100);
  EXPECT_EQ(
      choose_strategy(std::vector<Strategy>{run("a", 0.9, 90), run("b", 0.88, 50), run("c", 0.5, 10)}, slow, 0.97), 1u);
  EXPECT_EQ(choose_strategy(std::vector<Strategy>{run("a", 0.5, 10), run("b", 0.8, 50), run("c", 0.8, 40)}, slow, 0.97),
            2u);
  EXPECT_EQ(choose_strategy(std::vector<Strategy>{run("a", 0.9, 50), run("b", 0.95, 50)}, slow, 0.97), 0u);
}

TEST(SwitchEvaluation, PairedTestsByHand) {
  const auto q = five();
  // Draws of 3 out of {+, +, -, 0, 0}: T is -1 once, 0 four times, 1 three times, 2 twice; E T = 0.6.
  EXPECT_NEAR(routing_permutation_p(q, above(difficulties(q), 50)), 0.3, 1e-12);
  EXPECT_NEAR(routing_permutation_p(q, constant_share(5, 0)), 1, 1e-12);
  EXPECT_NEAR(routing_permutation_p(q, constant_share(5, 1)), 1, 1e-12);
  const Strategy slow = routed("slow", q, constant_share(5, 1), 0), fast = routed("fast", q, constant_share(5, 0), 0);
  const PairedDifference difference = compare(slow, fast, "", {});
  EXPECT_NEAR(difference.accuracy.value, 0.2, 1e-15);
  EXPECT_NEAR(difference.processed.value, 284 / 5.0, 1e-12);
  EXPECT_GT(difference.accuracy_p, 0.3);
  EXPECT_NEAR(difference.processed_p, 2.0 / 1001, 1e-15);  // every question costs more: no resample says otherwise
  EXPECT_EQ(compare(slow, slow, "", {}).accuracy_p, 1);
}

std::vector<SwitchQuestion> random_questions(Lcg& lcg, std::size_t n) {
  std::vector<SwitchQuestion> out;
  const auto draw = [&] { return 0.5 + 0.5 * lcg.f24(); };
  for (std::size_t i = 0; i < n; ++i) {
    const double hard = draw();
    out.push_back(question(std::floor(20 * (hard + draw())), std::floor(20 + 30 * draw()), draw() > hard,
                           std::floor(1 + 20 * draw()), draw() > 0.2 * hard, std::floor(1 + 200 * draw())));
  }
  return out;
}

TEST(SwitchEvaluation, PropertiesOfRandomQuestions) {
  Lcg lcg(testing::test_seed(5));
  for (int round = 0; round < 200; ++round) {
    const auto q = random_questions(lcg, 1 + static_cast<std::size_t>(round) % 40);
    const std::size_t n = q.size();
    const auto d = difficulties(q);
    const Strategy oracle = routed("oracle", q, oracle_share(q), 0);
    const Strategy fast = routed("f", q, constant_share(n, 0), 0), slow = routed("s", q, constant_share(n, 1), 0);
    EXPECT_EQ(routed("r", q, above(d, 1e9), 0).tokens, fast.tokens);
    EXPECT_EQ(routed("r", q, above(d, -1e9), 0).correct, slow.correct);
    for (const double tau : {-1.0, 5.0, 10.0, 20.0, 30.0}) {
      const auto share = above(d, tau);
      const Strategy one_step = routed("o", q, share, 1);
      const double slow_share = mean(share);
      const Strategy random = routed("r", q, constant_share(n, slow_share), 0);
      EXPECT_GE(mean(oracle.correct), mean(one_step.correct));
      EXPECT_GE(mean(oracle.correct) + 1e-12, mean(random.correct));
      for (std::size_t c = 0; c < kTokenCounters; ++c)
        EXPECT_NEAR(mean(random.tokens[c]), slow_share * mean(slow.tokens[c]) + (1 - slow_share) * mean(fast.tokens[c]),
                    1e-9);
      const double p = routing_permutation_p(q, share);
      EXPECT_GT(p, 0);
      EXPECT_LE(p, 1);
      // At the same number of slow answers, and at the same cost.
      EXPECT_NEAR(mean(highest_first(lengths(q), constant_share(n, 1), slow_share * static_cast<double>(n))),
                  slow_share, 1e-9);
      const ThresholdChoice choice = choose_threshold(q, d, 0.97);
      const Strategy chosen = routed("c", q, above(d, choice.threshold), 1);
      EXPECT_NEAR(mean(chosen.correct), choice.accuracy, 1e-9);
      EXPECT_NEAR(processed(chosen), choice.processed, 1e-9);
      EXPECT_TRUE(choice.met);  // always-slow itself is among the candidates
      if (mean(one_step.correct) >= 0.97 * mean(slow.correct)) {
        EXPECT_GE(processed(one_step) + 1e-9, choice.processed);
      }
    }
  }
}

TEST(SwitchEvaluation, ThePermutationTestIsThatOfAllSubsets) {
  Lcg lcg(testing::test_seed(9));
  for (int round = 0; round < 40; ++round) {
    const std::size_t n = 1 + static_cast<std::size_t>(round) % 10;
    const auto q = random_questions(lcg, n);
    const auto share = above(difficulties(q), 18);
    const auto statistic = [&](std::uint32_t subset) {
      int t = 0;
      for (std::size_t i = 0; i < n; ++i)
        if (subset >> i & 1) t += static_cast<int>(q[i].slow.correct) - static_cast<int>(q[i].fast.correct);
      return t;
    };
    std::uint32_t observed = 0;
    for (std::size_t i = 0; i < n; ++i) observed |= std::uint32_t{share[i] == 1} << i;
    std::vector<int> drawn;
    for (std::uint32_t s = 0; s < (1u << n); ++s)
      if (__builtin_popcount(s) == __builtin_popcount(observed)) drawn.push_back(statistic(s));
    const double expected = std::accumulate(drawn.begin(), drawn.end(), 0.0) / static_cast<double>(drawn.size());
    const double extreme = std::abs(statistic(observed) - expected) - 1e-9;
    const auto count =
        std::count_if(drawn.begin(), drawn.end(), [&](int t) { return std::abs(t - expected) >= extreme; });
    EXPECT_NEAR(routing_permutation_p(q, share), static_cast<double>(count) / static_cast<double>(drawn.size()), 1e-9);
  }
}

}  // namespace
}  // namespace kvgauge
