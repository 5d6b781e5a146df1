#include "difficulty/difficulty_metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "metrics/bootstrap.h"
#include "metrics/correlation.h"
#include "metrics/ranking.h"
#include "reference/lcg.h"

namespace kvgauge {
namespace {

struct Table {
  std::vector<float> d, labels;
  std::vector<std::uint64_t> questions;
};

/// `each` rows of every question; labels of the four kinds, predictions with noise.
Table noisy_table(std::size_t questions, std::size_t each, std::uint64_t seed) {
  testing::Lcg lcg(seed);
  Table table;
  for (std::size_t q = 0; q < questions; ++q) {
    const float kinds[] = {0, 25, 75, 100};
    const float label = kinds[static_cast<std::size_t>(4 * lcg.u53())];
    for (std::size_t i = 0; i < each; ++i) {
      table.labels.push_back(label);
      table.d.push_back(label + static_cast<float>(60 * lcg.f24()));
      table.questions.push_back(1'000'003 * q + 17);
    }
  }
  return table;
}

DifficultyMetrics measured(const Table& t, int resamples = 300) {
  return difficulty_metrics(t.d, t.labels, t.questions, 50, resamples, 5);
}

// Every number and every interval against the table that a resample spells out: each question's rows as often as it was
// drawn.
TEST(DifficultyMetrics, ResampleQuestionsAsIfTheirRowsWereWrittenOutAgain) {
  Table t = noisy_table(60, 3, 4);
  for (std::size_t i = 0; i < t.d.size(); i += 5) t.d[i] = 25;  // ties
  const int resamples = 100;
  const DifficultyMetrics m = measured(t, resamples);
  EXPECT_EQ(m.rows, 180);
  EXPECT_EQ(m.questions, 60);
  struct Numbers {
    double mse, rho, auroc, slow;
  };
  const auto numbers = [](const std::vector<double>& d, const std::vector<double>& y) {
    Numbers n{0, spearman(d, y), 0, 0};
    std::vector<std::uint8_t> hard;
    for (std::size_t i = 0; i < d.size(); ++i) {
      n.mse += (d[i] - y[i]) * (d[i] - y[i]) / static_cast<double>(d.size());
      n.slow += (d[i] > 50) / static_cast<double>(d.size());
      hard.push_back(y[i] >= 75);
    }
    n.auroc = ranking_metrics(d, hard).auroc;
    return n;
  };
  const Numbers once = numbers({t.d.begin(), t.d.end()}, {t.labels.begin(), t.labels.end()});
  EXPECT_NEAR(m.mse.value, once.mse, 1e-9 * once.mse);
  EXPECT_NEAR(m.spearman.value, once.rho, 1e-12);
  EXPECT_NEAR(m.auroc.value, once.auroc, 1e-12);
  EXPECT_NEAR(m.slow_share.value, once.slow, 1e-12);

  std::vector<double> mse, rho, auroc, slow;
  std::vector<std::uint32_t> counts(60);
  for (int resample = 0; resample < resamples; ++resample) {
    draw_resample(5, static_cast<std::uint64_t>(resample), counts);
    std::vector<double> d, y;
    for (std::size_t i = 0; i < t.d.size(); ++i) {
      for (std::uint32_t k = 0; k < counts[i / 3]; ++k) {
        d.push_back(static_cast<double>(t.d[i]));
        y.push_back(static_cast<double>(t.labels[i]));
      }
    }
    const Numbers n = numbers(d, y);
    mse.push_back(n.mse), rho.push_back(n.rho), auroc.push_back(n.auroc), slow.push_back(n.slow);
  }
  const auto expect = [](const Estimate& estimate, const std::vector<double>& values, const char* what) {
    const Interval want = percentile_interval(values);
    EXPECT_NEAR(estimate.ci95.low, want.low, 1e-9 * std::abs(want.low)) << what;
    EXPECT_NEAR(estimate.ci95.high, want.high, 1e-9 * std::abs(want.high)) << what;
  };
  expect(m.mse, mse, "mse");
  expect(m.spearman, rho, "spearman");
  expect(m.auroc, auroc, "auroc");
  expect(m.slow_share, slow, "slow share");
}

// Rows of one question that say the same are no evidence: eight times the rows, the same intervals.
TEST(DifficultyMetrics, TwinRowsDoNotNarrowTheIntervals) {
  const Table once = noisy_table(200, 1, 9);
  Table twins;
  for (std::size_t i = 0; i < once.d.size(); ++i) {
    for (int copy = 0; copy < 8; ++copy) {
      twins.d.push_back(once.d[i]);
      twins.labels.push_back(once.labels[i]);
      twins.questions.push_back(once.questions[i]);
    }
  }
  const DifficultyMetrics a = measured(once), b = measured(twins);
  EXPECT_EQ(b.rows, 8 * a.rows);
  EXPECT_NEAR(a.mse.ci95.low, b.mse.ci95.low, 1e-9 * a.mse.value);
  EXPECT_NEAR(a.auroc.ci95.high, b.auroc.ci95.high, 1e-12);
  EXPECT_NEAR(a.slow_share.ci95.low, b.slow_share.ci95.low, 1e-12);
  EXPECT_LT(a.mse.ci95.low, a.mse.value);
  EXPECT_GT(a.spearman.ci95.high, a.spearman.value);
}

TEST(DifficultyMetrics, LeaveUndefinedWhatOneClassOrNoRowsCannotGive) {
  const std::vector<float> d = {10, 20, 30}, labels = {0, 25, 25};
  const std::vector<std::uint64_t> questions = {1, 2, 3};
  const DifficultyMetrics m = difficulty_metrics(d, labels, questions, 15, 50, 0);
  EXPECT_TRUE(std::isnan(m.auroc.value));
  EXPECT_TRUE(std::isnan(m.auroc.ci95.low));
  EXPECT_DOUBLE_EQ(m.slow_share.value, 2.0 / 3);
  EXPECT_DOUBLE_EQ(m.mse.value, (100.0 + 25 + 25) / 3);
  EXPECT_EQ(difficulty_metrics({}, {}, {}, 50, 50, 0).rows, 0);
}

}  // namespace
}  // namespace kvgauge
