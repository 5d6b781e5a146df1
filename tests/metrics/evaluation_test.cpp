#include "metrics/evaluation.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kvgauge/error.h"
#include "reference/lcg.h"

namespace kvgauge {
namespace {

using testing::Lcg;

EvaluationInput small_input() {
  EvaluationInput input;
  input.correct = {1, 0, 1, 0, 1, 0};
  input.complete = {1, 1, 1, 0, 1, 0};
  input.tokens = {10, 20, 12, 64, 15, 64};
  input.scores = {{"kv_coe.normalized.c", {3, 1, 2, NAN, 5, 0}}, {"prob.nll", {0.1, 0.9, 0.2, 0.3, NAN, 0.8}}};
  return input;
}

TEST(Evaluate, CountsAndSubsets) {
  const Evaluation e = evaluate(small_input());
  EXPECT_EQ(e.rows, 6);
  EXPECT_EQ(e.correct, 3);
  EXPECT_EQ(e.truncated, 2);
  EXPECT_NEAR(e.mean_tokens, 185.0 / 6, 1e-12);
  EXPECT_EQ(e.complete_correct, 3);
  ASSERT_EQ(e.scores.size(), 2u);
  EXPECT_EQ(e.scores[0].all.n, 6);
  EXPECT_EQ(e.scores[0].all.correct, 3);
  EXPECT_EQ(e.scores[0].all.invalid, 1);
  EXPECT_EQ(e.scores[0].all.ranking.auroc, 1);
  EXPECT_EQ(e.scores[0].complete_only.n, 4);
  EXPECT_EQ(e.scores[0].complete_only.invalid, 0);
  EXPECT_NEAR(e.scores[0].all.ranking.prr, 1, 1e-15);
  EXPECT_EQ(e.scores[0].all.auroc_ci95.high, 1);
}

// An uncertainty is negated, and an undefined value stays below all: right rows 0.1, 0.2 and NaN against wrong 0.9,
// 0.3, 0.8.
TEST(Evaluate, OrientsUncertaintiesBeforehand) {
  const Evaluation e = evaluate(small_input());
  EXPECT_TRUE(e.scores[0].higher_is_better);
  EXPECT_FALSE(e.scores[1].higher_is_better);
  EXPECT_NEAR(e.scores[1].all.ranking.auroc, 6.0 / 9, 1e-15);
  EXPECT_NEAR(evaluate(small_input(), {.nan_policy = NanPolicy::kDrop}).scores[1].all.ranking.auroc, 1, 1e-15);
  EXPECT_FALSE(higher_is_better("scores.prob.perplexity"));
  EXPECT_FALSE(higher_is_better("nll"));
  EXPECT_TRUE(higher_is_better("prob.seq_logprob"));
  EXPECT_TRUE(higher_is_better("kv_coe.paper.r"));
}

TEST(Evaluate, LengthAndCompletionAreBaselines) {
  const Evaluation e = evaluate(small_input());
  ASSERT_EQ(e.baselines.size(), 2u);
  EXPECT_EQ(e.baselines[0].name, "neg_length");
  EXPECT_EQ(e.baselines[0].all.ranking.auroc, 1);
  EXPECT_EQ(e.baselines[1].name, "complete");
  EXPECT_NEAR(e.baselines[1].all.ranking.auroc, (3 * 2 + 3 * 0.5) / 9, 1e-15);
  EXPECT_EQ(e.baselines[1].complete_only.ranking.auroc, 0.5) << "all tied there";
}

TEST(Evaluate, UnknownLengthsAreInvalidAndOneClassIsUndefined) {
  EvaluationInput input = small_input();
  input.tokens[0] = -1;
  EXPECT_EQ(evaluate(input).baselines[0].all.invalid, 1);
  input.correct.assign(6, 1);
  const Evaluation e = evaluate(input);
  EXPECT_EQ(e.correct, 6);
  EXPECT_TRUE(std::isnan(e.scores[0].all.ranking.auroc));
  EXPECT_TRUE(std::isnan(e.scores[0].all.ranking.prr));
  EXPECT_TRUE(std::isnan(e.scores[0].all.auroc_ci95.low));
  EXPECT_EQ(e.scores[0].all.n, 6);
}

TEST(Evaluate, NoRowsAtAll) {
  const Evaluation e = evaluate({});
  EXPECT_EQ(e.rows, 0);
  EXPECT_TRUE(e.scores.empty());
  EXPECT_EQ(e.baselines[0].all.n, 0);
}

TEST(Evaluate, ComparesPairsOnTheRowsThatBothRank) {
  EvaluationInput input;
  Lcg lcg(9);
  std::vector<double> good, poor;
  for (int i = 0; i < 400; ++i) {
    input.correct.push_back(lcg.u53() < 0.5);
    input.complete.push_back(1);
    input.tokens.push_back(10 + i % 7);
    const double shared = lcg.u53();
    good.push_back(shared + 0.8 * input.correct.back());
    poor.push_back(shared + 0.2 * input.correct.back());
  }
  input.scores = {{"good", good}, {"poor", poor}};
  const Evaluation e = evaluate(input, {.against = "poor", .compare = {{"poor", "neg_length"}}});
  ASSERT_EQ(e.comparisons.size(), 2u);
  const Comparison& c = e.comparisons[0];
  EXPECT_EQ(c.a, "good");
  EXPECT_EQ(c.b, "poor");
  EXPECT_EQ(c.n, 400);
  EXPECT_NEAR(c.delong.difference, e.scores[0].all.ranking.auroc - e.scores[1].all.ranking.auroc, 1e-12);
  EXPECT_LT(c.delong.p, 1e-6);
  EXPECT_NEAR(c.bootstrap_p, 2.0 / 1001, 1e-12) << "the least that 1,000 resamples can say";
  // Both estimate the same standard error; 1,000 resamples know it to about 1 / sqrt(2000).
  EXPECT_NEAR(c.bootstrap_ci95.high - c.bootstrap_ci95.low, c.delong.ci95.high - c.delong.ci95.low,
              0.1 * (c.delong.ci95.high - c.delong.ci95.low));
  EXPECT_EQ(e.comparisons[1].b, "neg_length");
  input.scores[0].second[0] = NAN;
  input.scores[1].second[1] = NAN;
  input.scores[1].second[5] = NAN;
  const EvaluationOptions drop{.nan_policy = NanPolicy::kDrop, .against = "poor"};
  EXPECT_EQ(evaluate(input, drop).comparisons[0].n, 397);
  EXPECT_THROW(evaluate(input, {.against = "none such"}), UsageError);
}

TEST(Evaluate, GroupUncertaintiesAreNegated) {
  for (const char* const name : {"group_scores.eigenscore", "group_scores.eigenscore_kv", "x.semantic_entropy_counts"})
    EXPECT_FALSE(higher_is_better(name)) << name;
  EXPECT_TRUE(higher_is_better("group_scores.majority_share"));
}

}  // namespace
}  // namespace kvgauge
