#include "metrics/evaluation.h"

#include <gtest/gtest.h>

#include <cmath>

namespace kvgauge {
namespace {

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
  EXPECT_NEAR(e.scores[0].all.prr, 1, 1e-15);
  EXPECT_EQ(e.scores[0].all.auroc_ci95.high, 1);
}

// An uncertainty is negated, and an undefined value stays below all: right rows 0.1, 0.2 and NaN against wrong 0.9,
// 0.3, 0.8.
TEST(Evaluate, OrientsUncertaintiesBeforehand) {
  const Evaluation e = evaluate(small_input());
  EXPECT_TRUE(e.scores[0].higher_is_better);
  EXPECT_FALSE(e.scores[1].higher_is_better);
  EXPECT_NEAR(e.scores[1].all.ranking.auroc, 6.0 / 9, 1e-15);
  EXPECT_NEAR(evaluate(small_input(), {.nan_policy = NanPolicy::kDrop, .bootstrap = {}}).scores[1].all.ranking.auroc, 1,
              1e-15);
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
  EXPECT_TRUE(std::isnan(e.scores[0].all.prr));
  EXPECT_TRUE(std::isnan(e.scores[0].all.auroc_ci95.low));
  EXPECT_EQ(e.scores[0].all.n, 6);
}

TEST(Evaluate, NoRowsAtAll) {
  const Evaluation e = evaluate({});
  EXPECT_EQ(e.rows, 0);
  EXPECT_TRUE(e.scores.empty());
  EXPECT_EQ(e.baselines[0].all.n, 0);
}

}  // namespace
}  // namespace kvgauge
