// Tables that are made to be one case each: what the verdict must say is known.
#include "metrics/verdict.h"

#include <gtest/gtest.h>

#include <cmath>

#include "metrics/calibration.h"
#include "metrics/evaluation.h"
#include "reference/lcg.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

using testing::Lcg;

// Sum of four uniforms: near enough to normal with mean 0 and deviation 1.
double noise(Lcg& lcg) { return (lcg.u53() + lcg.u53() + lcg.u53() + lcg.u53() - 2) * std::sqrt(3.0); }

struct Table {
  EvaluationInput input;
  std::vector<double>& score(const std::string& name) {
    for (auto& entry : input.scores)
      if (entry.first == name) return entry.second;
    return input.scores.emplace_back(name, std::vector<double>()).second;
  }
};

// Makes a score of skill follow length so far upwards that both cancel in the AUROC.
constexpr double kMasking = 0.019;

// Long answers are more often wrong (a logistic curve of length), and skill is known to the score "knows" alone.
Table length_and_skill(std::size_t rows, std::uint64_t seed) {
  Lcg lcg(seed);
  Table table;
  for (std::size_t i = 0; i < rows; ++i) {
    const double length = 20 + 180 * lcg.u53() * lcg.u53(), skill = noise(lcg);
    const double p = 1 / (1 + std::exp(0.04 * (length - 60) - 1.2 * skill));
    table.input.correct.push_back(lcg.u53() < p);
    table.input.tokens.push_back(static_cast<std::int64_t>(length));
    table.input.complete.push_back(1);
    table.score("is_length").push_back(-length);
    table.score("noisy_length").push_back(-std::log(length) + 0.3 * noise(lcg));
    table.score("grows_with_length").push_back(std::pow(length, 1.5) + 300 * noise(lcg));
    table.score("knows").push_back(skill + 0.5 * noise(lcg));
    table.score("knows_and_length").push_back(skill - length / 40 + noise(lcg));
    table.score("backwards").push_back(-skill + 0.5 * noise(lcg));
    table.score("masked").push_back(skill + kMasking * length);
    table.score("nothing").push_back(noise(lcg));
    table.score("constant").push_back(1);
    table.score("undefined").push_back(NAN);
  }
  return table;
}

std::string verdict_of(const Evaluation& e, const std::string& name) {
  for (const auto* const scores : {&e.scores, &e.baselines})
    for (const ScoreEvaluation& score : *scores)
      if (score.name == name) return words(score.judgement);
  return "no such score";
}

TEST(Verdict, TellsLengthFromSignal) {
  const Evaluation e = evaluate(length_and_skill(2000, 1).input);
  EXPECT_EQ(verdict_of(e, "is_length"), "explained by length");
  EXPECT_EQ(verdict_of(e, "neg_length"), "explained by length");
  EXPECT_EQ(verdict_of(e, "noisy_length"), "explained by length");
  EXPECT_EQ(verdict_of(e, "grows_with_length"), "wrong way round: explained by length");
  EXPECT_EQ(verdict_of(e, "knows"), "carries signal beyond length");
  EXPECT_EQ(verdict_of(e, "knows_and_length"), "carries signal beyond length");
  EXPECT_EQ(verdict_of(e, "backwards"), "wrong way round: carries signal beyond length");
  EXPECT_EQ(verdict_of(e, "masked"), "no signal overall, some at equal length");
  EXPECT_EQ(verdict_of(e, "nothing"), "no signal (interval holds 50)");
  EXPECT_EQ(verdict_of(e, "constant"), "no signal (interval holds 50)");
  EXPECT_EQ(verdict_of(e, "undefined"), "no signal (interval holds 50)");
  EXPECT_EQ(verdict_of(e, "complete"), "no signal (interval holds 50)");
}

// Each of the two controls of length errs at 5 %, and both must agree that something is left, on the side of the
// signal: less than one table in twenty. 40 tables: at most 4 (P < 5 % for 1 in 20).
TEST(Verdict, SeldomTakesLengthForSignal) {
  const std::uint64_t seed = testing::test_seed(50);
  int fooled = 0, found = 0;
  for (std::uint64_t round = 0; round < 40; ++round) {
    Table table = length_and_skill(600, seed * 100 + round);
    std::erase_if(table.input.scores,
                  [](const auto& entry) { return entry.first != "noisy_length" && entry.first != "knows"; });
    const Evaluation e = evaluate(table.input, {.bootstrap = {.resamples = 200}, .against = ""});
    fooled += verdict_of(e, "noisy_length") == "carries signal beyond length";
    found += verdict_of(e, "knows") == "carries signal beyond length";
  }
  EXPECT_LE(fooled, 4);
  EXPECT_GE(found, 38);
}

// A truncated answer is always wrong. "loops" sees truncation only; "knows" sees skill among complete answers too.
Table truncation(std::size_t rows, double wrong_when_complete, std::uint64_t seed) {
  Lcg lcg(seed);
  Table table;
  for (std::size_t i = 0; i < rows; ++i) {
    const double skill = noise(lcg);
    const bool cut = lcg.u53() < 0.3;
    const bool right = !cut && (wrong_when_complete == 0 || skill > -0.5 + noise(lcg) * 0.5);
    table.input.correct.push_back(right);
    table.input.complete.push_back(!cut);
    table.input.tokens.push_back(cut ? 512 : 30 + static_cast<std::int64_t>(lcg.u53() * 100));
    table.score("loops").push_back((cut ? -2 : 0) + noise(lcg));
    table.score("knows").push_back((cut ? -1 : 0) + skill + 0.3 * noise(lcg));
  }
  return table;
}

TEST(Verdict, TellsTruncationFromSignal) {
  const Evaluation e = evaluate(truncation(1500, 1, 2).input);
  EXPECT_EQ(verdict_of(e, "loops"), "explained by truncation");
  EXPECT_EQ(verdict_of(e, "complete"), "explained by truncation");
  EXPECT_EQ(verdict_of(e, "knows"), "carries signal beyond length");
  const Evaluation all_complete_right = evaluate(truncation(500, 0, 3).input);
  EXPECT_EQ(verdict_of(all_complete_right, "loops"), "cannot be told from truncation");
  EXPECT_EQ(verdict_of(all_complete_right, "complete"), "cannot be told from truncation");
}

TEST(Verdict, SaysWhenThereIsTooLittle) {
  Table table = length_and_skill(300, 4);
  for (std::int64_t& tokens : table.input.tokens) tokens = -1;
  EXPECT_EQ(verdict_of(evaluate(table.input), "knows"), "carries signal; lengths unknown");
  int right = 0;
  for (std::size_t i = 0; i < 300; ++i)
    if (table.input.correct[i] && ++right > 9) table.input.correct[i] = 0;
  EXPECT_EQ(verdict_of(evaluate(table.input), "knows"), "too few of one class");
  EXPECT_EQ(verdict_of(evaluate({}), "neg_length"), "too few of one class");
}

TEST(Verdict, DoesNotDependOnTheOrderOfRowsOrTheScaleOfScores) {
  const Table table = length_and_skill(800, 5);
  EvaluationInput changed = table.input;
  const auto reverse = [](auto& column) { std::reverse(column.begin(), column.end()); };
  reverse(changed.correct);
  reverse(changed.tokens);
  for (auto& entry : changed.scores) {
    reverse(entry.second);
    for (double& value : entry.second) value = std::atan(value / 10);
  }
  const Evaluation a = evaluate(table.input), b = evaluate(changed);
  for (std::size_t s = 0; s < a.scores.size(); ++s) {
    EXPECT_EQ(words(a.scores[s].judgement), words(b.scores[s].judgement)) << a.scores[s].name;
    EXPECT_EQ(a.scores[s].all.ranking.auroc, b.scores[s].all.ranking.auroc);
    EXPECT_EQ(a.scores[s].all.ranking.prr, b.scores[s].all.ranking.prr);
    EXPECT_NEAR(a.scores[s].all.length.matched_auroc, b.scores[s].all.length.matched_auroc, 1e-13);
  }
}

TEST(Calibration, OfProbabilitiesThatAreRightAndWrong) {
  Lcg lcg(6);
  std::vector<double> honest, boasting;
  std::vector<std::uint8_t> correct;
  for (int i = 0; i < 4000; ++i) {
    honest.push_back(lcg.u53());
    boasting.push_back(0.5 + honest.back() / 2);
    correct.push_back(lcg.u53() < honest.back());
  }
  // Noise of ten shares of 400 rows each: about 0.4 * 0.025 * 0.8.
  EXPECT_LT(reliability(honest, correct).ece, 0.03);
  EXPECT_NEAR(reliability(boasting, correct).ece, 0.25, 0.03) << "mean of (1 - p) / 2";
  EXPECT_NEAR(reliability(honest, correct).brier, 1.0 / 6, 0.01) << "mean of p (1 - p)";
  // An isotonic fit on other rows mends the boast.
  EXPECT_LT(reliability(cross_fitted_probabilities(boasting, correct), correct).ece, 0.03);
  const Interval ci = wilson_interval(0, 10);
  EXPECT_EQ(ci.low, 0);
  EXPECT_NEAR(ci.high, 0.2775, 1e-4) << "Wilson's interval of 0 in 10";
  EXPECT_TRUE(std::isnan(reliability({}, {}).ece));
}

TEST(Calibration, IsOfScoresThatClaimAProbability) {
  EXPECT_EQ(claimed_probability("prob.maxprob_official", 0.3), 0.3);
  EXPECT_EQ(claimed_probability("prob.nll", 0), 1);
  EXPECT_NEAR(claimed_probability("prob.seq_logprob", -1), std::exp(-1), 1e-16);
  EXPECT_TRUE(std::isnan(claimed_probability("kv_coe.paper.r", 0.3)));
  EvaluationInput input;
  input.correct = {1, 0, 1, 0};
  input.complete = {1, 1, 1, 1};
  input.tokens = {1, 2, 3, 4};
  input.scores = {{"prob.nll", {0.1, 0.7, 0.2, 1}}, {"prob.min_prob", {0.1, NAN, 0.2, 1}}, {"x", {1, 2, 3, 4}}};
  const Evaluation e = evaluate(input);
  EXPECT_GT(e.scores[0].all.ece, 0);
  EXPECT_TRUE(std::isnan(e.scores[1].all.ece)) << "one row has none";
  EXPECT_TRUE(std::isnan(e.scores[2].all.ece));
}

}  // namespace
}  // namespace kvgauge
