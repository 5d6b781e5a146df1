#include "metrics/bootstrap.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <numeric>

#include "metrics/ranking.h"
#include "reference/lcg.h"

namespace kvgauge {
namespace {

using testing::Lcg;

struct Rows {
  std::vector<double> scores;
  std::vector<std::uint8_t> correct;
};

Rows overlapping_rows(std::size_t n, std::uint64_t seed) {
  Lcg lcg(seed);
  Rows rows;
  for (std::size_t i = 0; i < n; ++i) {
    rows.correct.push_back(lcg.u53() < 0.4);
    rows.scores.push_back(lcg.u53() + 0.4 * rows.correct.back());
  }
  return rows;
}

// Hanley and McNeil 1982: the standard error of AUROC under the negative exponential model, good to tens of percent
// here.
double hanley_mcneil(double auc, double positives, double negatives) {
  const double q1 = auc / (2 - auc), q2 = 2 * auc * auc / (1 + auc);
  return std::sqrt((auc * (1 - auc) + (positives - 1) * (q1 - auc * auc) + (negatives - 1) * (q2 - auc * auc)) /
                   (positives * negatives));
}

TEST(Bootstrap, HasTheWidthOfTheStandardErrorAndHoldsTheValue) {
  for (const std::size_t n : {100u, 1000u}) {
    const Rows rows = overlapping_rows(n, 5);
    const RankingMetrics m = ranking_metrics(rows.scores, rows.correct);
    const Interval ci = auroc_interval(rows.scores, rows.correct);
    EXPECT_LT(ci.low, m.auroc);
    EXPECT_GT(ci.high, m.auroc);
    const double width =
        2 * 1.96 * hanley_mcneil(m.auroc, static_cast<double>(m.positives), static_cast<double>(m.negatives));
    EXPECT_NEAR(ci.high - ci.low, width, 0.25 * width) << n << " rows";
  }
}

TEST(Bootstrap, IsRepeatableAndDependsOnTheSeedAndNotOnTheScale) {
  const Rows rows = overlapping_rows(300, 6);
  std::vector<double> mapped;
  for (const double s : rows.scores) mapped.push_back(std::exp(s));
  const Interval a = auroc_interval(rows.scores, rows.correct), b = auroc_interval(rows.scores, rows.correct);
  EXPECT_EQ(a.low, b.low);
  EXPECT_EQ(a.high, b.high);
  EXPECT_EQ(auroc_interval(mapped, rows.correct).low, a.low) << "ranks only";
  EXPECT_NE(auroc_interval(rows.scores, rows.correct, {.seed = 1}).low, a.low);
}

// A resample written out row by row, of all rows and of every third one, in numbers of resamples that fill no block.
TEST(Bootstrap, IsTheAurocOfTheRowsDrawn) {
  Rows rows = overlapping_rows(157, 8);
  for (double& s : rows.scores) s = std::floor(8 * s);
  RankedRows all = apply_nan_policy(rows.scores, rows.correct, NanPolicy::kWorst), third;
  for (std::size_t i = 0; i < all.row.size(); i += 3) {
    third.scores.push_back(all.scores[i]);
    third.correct.push_back(all.correct[i]);
    third.row.push_back(all.row[i]);
  }
  const std::vector<AurocSample> samples = {AurocSample(all), AurocSample(third)};
  const auto values = resampled_aurocs(samples, 157, {.resamples = 21, .seed = 3});
  ASSERT_EQ(values[0].size(), 21u);
  std::vector<std::uint32_t> counts(157);
  for (std::size_t r = 0; r < 21; ++r) {
    draw_resample(3, r, counts);
    EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), 0u), 157u);
    for (std::size_t part = 0; part < 2; ++part) {
      Rows drawn;
      for (std::size_t i = 0; i < counts.size(); i += part == 0 ? 1 : 3)
        for (std::uint32_t k = 0; k < counts[i]; ++k) {
          drawn.scores.push_back(rows.scores[i]);
          drawn.correct.push_back(rows.correct[i]);
        }
      EXPECT_EQ(values[part][r], ranking_metrics(drawn.scores, drawn.correct).auroc) << "resample " << r;
    }
  }
}

TEST(Bootstrap, ExtremesAndTies) {
  const std::vector<double> apart = {1, 2, 3, 4}, level = {7, 7, 7, 7};
  const std::vector<std::uint8_t> correct = {0, 0, 1, 1}, one_class = {1, 1, 1, 1};
  EXPECT_EQ(auroc_interval(apart, correct).low, 1);
  EXPECT_EQ(auroc_interval(apart, correct).high, 1);
  EXPECT_EQ(auroc_interval(level, correct).low, 0.5);
  EXPECT_EQ(auroc_interval(level, correct).high, 0.5);
  EXPECT_TRUE(std::isnan(auroc_interval(apart, one_class).low));
  EXPECT_TRUE(std::isnan(auroc_interval({}, {}).high));
}

TEST(Bootstrap, FiveThousandRowsTakeWellUnderASecond) {
  const Rows rows = overlapping_rows(5000, 7);
  const auto begin = std::chrono::steady_clock::now();
  auroc_interval(rows.scores, rows.correct);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  EXPECT_LT(took.count(), 5)
      << "about 0.1 s in a release build; the bound leaves room for sanitizers and a busy machine";
}

}  // namespace
}  // namespace kvgauge
