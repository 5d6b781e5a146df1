#include "metrics/ranking.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/json.h"
#include "kvgauge/error.h"
#include "metrics/prr.h"
#include "reference/lcg.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

using testing::Lcg;

// Tolerance of METHOD.md J: sums of at most 400 terms no larger than 1.
void expect_close(double got, const Json& want, const std::string& what) {
  if (want.is_null())
    EXPECT_TRUE(std::isnan(got)) << what;
  else
    EXPECT_NEAR(got, want.get<double>(), 1e-12) << what;
}

TEST(MetricsGolden, AllListsAgree) {
  const Json golden = parse_json(testing::read_file(testing::repo_path("tests/golden/metrics.json")), "metrics.json");
  ASSERT_EQ(golden.size(), 16u);
  for (const Json& c : golden) {
    const std::string name = c["name"];
    const auto scores = c["scores"].get<std::vector<double>>(), quality = c["labels"].get<std::vector<double>>();
    const auto labels = c["labels"].get<std::vector<std::uint8_t>>();
    const RankingMetrics m = ranking_metrics(scores, labels);
    expect_close(m.auroc, c["auroc"], name + " auroc");
    expect_close(m.auroc_flipped, c["flipped_auroc"], name + " flipped");
    expect_close(m.fpr95, c["fpr95_official"], name + " fpr95");
    expect_close(m.fpr95_min, c["fpr95_min"], name + " fpr95_min");
    expect_close(m.aupr, c["aupr_trapezoid"], name + " aupr");
    expect_close(m.aupr_wrong, c["aupr_neg_trapezoid"], name + " aupr_wrong");
    expect_close(m.average_precision, c["average_precision"], name + " ap");
    const RejectionRatio r = rejection_ratio(scores, quality);
    if (!c.contains("prr")) {  // one class
      EXPECT_TRUE(std::isnan(r.prr)) << name;
      continue;
    }
    expect_close(r.area, c["prr_raw"], name + " prr_raw");
    expect_close(r.oracle, c["prr_oracle"], name + " prr_oracle");
    expect_close(r.random, c["prr_random"], name + " prr_random");
    expect_close(r.prr, c["prr"], name + " prr");
    expect_close(m.prr, c["prr"], name + " prr of labels");
  }
}

struct Rows {
  std::vector<double> scores;
  std::vector<std::uint8_t> correct;
};

// Scores on a coarse grid, so that many tie, inside a class and across.
Rows random_rows(std::uint64_t seed) {
  Lcg lcg(seed);
  Rows rows;
  const std::uint64_t n = 2 + (lcg.next() >> 40) % 60;
  const double levels = 1.0 + static_cast<double>((lcg.next() >> 40) % 20);
  for (std::uint64_t i = 0; i < n; ++i) {
    rows.correct.push_back(lcg.u53() < 0.5);
    rows.scores.push_back(std::floor((lcg.u53() + 0.3 * rows.correct.back()) * levels));
  }
  return rows;
}

double brute_force_auroc(const Rows& rows) {
  double wins = 0, pairs = 0;
  for (std::size_t i = 0; i < rows.scores.size(); ++i)
    for (std::size_t j = 0; j < rows.scores.size(); ++j) {
      if (!rows.correct[i] || rows.correct[j]) continue;
      pairs += 1;
      wins += rows.scores[i] > rows.scores[j] ? 1 : rows.scores[i] == rows.scores[j] ? 0.5 : 0;
    }
  return wins / pairs;
}

TEST(Ranking, AurocIsTheMannWhitneyStatistic) {
  const std::uint64_t seed = testing::test_seed(11);
  int two_class = 0;
  for (std::uint64_t round = 0; round < 500; ++round) {
    const Rows rows = random_rows(seed * 1000 + round);
    const RankingMetrics m = ranking_metrics(rows.scores, rows.correct);
    if (std::isnan(m.auroc)) continue;
    ++two_class;
    EXPECT_NEAR(m.auroc, brute_force_auroc(rows), 1e-14) << "round " << round;
  }
  EXPECT_GT(two_class, 400);
}

TEST(Ranking, NegationMirrorsAndMonotoneMapsChangeNothing) {
  const std::uint64_t seed = testing::test_seed(12);
  for (std::uint64_t round = 0; round < 200; ++round) {
    const Rows rows = random_rows(seed * 1000 + round);
    std::vector<double> negated, mapped;
    std::vector<std::uint8_t> exchanged;
    for (std::size_t i = 0; i < rows.scores.size(); ++i) {
      negated.push_back(-rows.scores[i]);
      mapped.push_back(std::exp(rows.scores[i] / 7) - 100);
      exchanged.push_back(!rows.correct[i]);
    }
    const RankingMetrics m = ranking_metrics(rows.scores, rows.correct), map = ranking_metrics(mapped, rows.correct);
    if (std::isnan(m.auroc)) continue;
    EXPECT_NEAR(ranking_metrics(negated, rows.correct).auroc, m.auroc_flipped, 1e-15);
    EXPECT_EQ(map.auroc, m.auroc);
    EXPECT_EQ(map.fpr95, m.fpr95);
    EXPECT_EQ(map.aupr, m.aupr);
    EXPECT_EQ(map.average_precision, m.average_precision);
    EXPECT_NEAR(ranking_metrics(negated, exchanged).aupr, m.aupr_wrong, 1e-14);
    EXPECT_GE(m.fpr95_min, 0);
    EXPECT_LE(m.fpr95_min, 1);
  }
}

TEST(Ranking, OneClassOrNoRowsIsUndefined) {
  const std::vector<double> scores = {1, 2};
  const std::vector<std::uint8_t> right = {1, 1}, wrong = {0, 0};
  EXPECT_TRUE(std::isnan(ranking_metrics(scores, right).auroc));
  EXPECT_TRUE(std::isnan(ranking_metrics(scores, wrong).fpr95));
  EXPECT_TRUE(std::isnan(ranking_metrics({}, {}).aupr));
  EXPECT_EQ(ranking_metrics(scores, right).positives, 2);
}

TEST(NanPolicies, WorstKeepsDropDropsZeroFills) {
  const std::vector<double> scores = {0.5, NAN, -3, INFINITY};
  const std::vector<std::uint8_t> correct = {1, 0, 1, 1};
  const RankedRows worst = apply_nan_policy(scores, correct, NanPolicy::kWorst);
  EXPECT_EQ(worst.invalid, 2);
  EXPECT_EQ(worst.scores, (std::vector<double>{0.5, -INFINITY, -3, -INFINITY}));
  EXPECT_NEAR(ranking_metrics(worst.scores, worst.correct).auroc, 2.5 / 3, 1e-15);
  const RankedRows drop = apply_nan_policy(scores, correct, NanPolicy::kDrop);
  EXPECT_EQ(drop.invalid, 2);
  EXPECT_EQ(drop.scores, (std::vector<double>{0.5, -3}));
  EXPECT_EQ(apply_nan_policy(scores, correct, NanPolicy::kZero).scores, (std::vector<double>{0.5, 0, -3, 0}));
  for (const NanPolicy policy : {NanPolicy::kWorst, NanPolicy::kDrop, NanPolicy::kZero})
    EXPECT_EQ(parse_nan_policy(name(policy)), policy);
  EXPECT_THROW(parse_nan_policy("best"), UsageError);
}

// The short ways for labels against the general ones.
TEST(Ranking, RiskCurvesOfLabelsAgreeWithThoseOfAnyQuality) {
  const std::uint64_t seed = testing::test_seed(13);
  for (std::uint64_t round = 0; round < 200; ++round) {
    const Rows rows = random_rows(seed * 1000 + round);
    const RankingMetrics m = ranking_metrics(rows.scores, rows.correct);
    if (std::isnan(m.auroc)) continue;
    const std::vector<double> quality(rows.correct.begin(), rows.correct.end());
    for (const auto& [got, share] : {std::pair(m.prr, 1.0), std::pair(m.prr_half, 0.5)}) {
      const double want = rejection_ratio(rows.scores, quality, share).prr;
      EXPECT_TRUE(std::isnan(want) ? std::isnan(got) : std::abs(got - want) < 1e-12) << got << " " << want;
    }
    EXPECT_NEAR(m.rcc_auc, 1 - rejection_ratio(rows.scores, quality).area, 1e-13);
    EXPECT_EQ(risk_at_coverage(roc_vertices(rows.scores, rows.correct)).size(), rows.scores.size());
  }
}

TEST(RejectionRatioOf, OracleScoresOneAndConstantQualityIsUndefined) {
  const std::vector<double> quality = {0.1, 0.9, 0.4, 0.7}, constant = {2, 2, 2, 2};
  EXPECT_NEAR(rejection_ratio(quality, quality).prr, 1, 1e-15);
  EXPECT_NEAR(rejection_ratio(quality, quality, 0.5).prr, 1, 1e-15);
  EXPECT_TRUE(std::isnan(rejection_ratio(quality, constant).prr));
  EXPECT_TRUE(std::isnan(rejection_ratio(quality, quality, 0.1).prr)) << "no whole row may be rejected";
  EXPECT_TRUE(std::isnan(rejection_ratio({}, {}).prr));
}

}  // namespace
}  // namespace kvgauge
