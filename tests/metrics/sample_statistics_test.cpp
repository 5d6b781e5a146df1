// Numbers worked by hand, or by numpy where it is named.
#include "metrics/sample_statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

namespace kvgauge {
namespace {

TEST(SampleStatistics, QuantilesInterpolateAsNumpyDoes) {
  // numpy.percentile([15, 20, 35, 40, 50], [0, 5, 30, 40, 50, 99, 100]) = [15, 16, 23, 29, 35, 49.6, 50]
  const std::vector<double> values = {35, 15, 50, 20, 40};
  EXPECT_DOUBLE_EQ(quantile(values, 0), 15);
  EXPECT_DOUBLE_EQ(quantile(values, 0.05), 16);
  EXPECT_DOUBLE_EQ(quantile(values, 0.3), 23);
  EXPECT_DOUBLE_EQ(quantile(values, 0.4), 29);
  EXPECT_DOUBLE_EQ(quantile(values, 0.5), 35);
  EXPECT_DOUBLE_EQ(quantile(values, 0.99), 49.6);
  EXPECT_DOUBLE_EQ(quantile(values, 1), 50);
  EXPECT_DOUBLE_EQ(median({4, 1, 3, 2}), 2.5);
  EXPECT_DOUBLE_EQ(quantile({7}, 0.9), 7);
  EXPECT_TRUE(std::isnan(quantile({}, 0.5)));
}

TEST(SampleStatistics, Summaries) {
  const SampleSummary s = summarize({2, 4, 4, 4, 5, 5, 7, 9});
  EXPECT_EQ(s.n, 8);
  EXPECT_DOUBLE_EQ(s.mean, 5);
  EXPECT_DOUBLE_EQ(s.std, 2);  // squares: 9 + 1 + 1 + 1 + 0 + 0 + 4 + 16 = 32, by 8
  EXPECT_DOUBLE_EQ(s.min, 2);
  EXPECT_DOUBLE_EQ(s.q25, 4);
  EXPECT_DOUBLE_EQ(s.median, 4.5);
  EXPECT_DOUBLE_EQ(s.q75, 5.5);  // at 5.25: 5 + .25 (7 - 5)
  EXPECT_DOUBLE_EQ(s.max, 9);
  EXPECT_TRUE(std::isnan(summarize({}).mean));
}

TEST(SampleStatistics, TheIntervalOfTheMedianIsThatOfTheTables) {
  const auto ranks = [](int n) {
    std::vector<double> values(static_cast<std::size_t>(n));
    std::iota(values.rbegin(), values.rend(), 1.0);  // the rank itself, in descending order
    return median_interval(values);
  };
  // Ranks of the 95 % interval as tables of the sign test have them: P(B < k) for n = 6: 1/64; n = 9: 10/512;
  // n = 20: 0.0207 (k = 6); n = 40: 0.0192 (k = 14).
  for (const auto& [n, low, high] :
       {std::tuple{6, 1, 6}, {8, 1, 8}, {9, 2, 8}, {20, 6, 15}, {25, 8, 18}, {40, 14, 27}, {100, 40, 61}}) {
    EXPECT_EQ(ranks(n).low, low) << n;
    EXPECT_EQ(ranks(n).high, high) << n;
  }
  for (const int n : {0, 1, 5}) EXPECT_TRUE(std::isnan(ranks(n).low)) << n;  // 5: 1/32 is more than a fortieth
  const Interval many = ranks(100000);
  EXPECT_NEAR(many.low, 50000 - 0.5 * 1.96 * std::sqrt(100000.0), 3);
}

TEST(SampleStatistics, RatiosArePairedBeforeTheirMedianIsTaken) {
  // The machine became twice as slow half way: ratios of medians would see 1.375, pairs see 1.1 throughout.
  const std::vector<double> off = {10, 10, 10, 20, 20, 20, 20}, on = {11, 11, 11, 22, 22, 22, 22};
  const PairedRatio r = paired_ratio(off, on);
  EXPECT_EQ(r.pairs, 7);
  EXPECT_DOUBLE_EQ(r.ratio, 1.1);
  EXPECT_DOUBLE_EQ(r.ci95.low, 1.1);
  EXPECT_DOUBLE_EQ(r.ci95.high, 1.1);
  // Whoever runs first is twice as slow: 0.5 and 2 in turns cost nothing.
  const std::vector<double> turns = {2, 1, 2, 1, 2, 1, 2, 1}, others = {1, 2, 1, 2, 1, 2, 1, 2};
  EXPECT_DOUBLE_EQ(paired_ratio(turns, others).ratio, 1);
  EXPECT_DOUBLE_EQ(paired_ratio({off.data(), 4}, std::vector<double>{12, 9, 11, 25}).ratio *
                       paired_ratio(std::vector<double>{12, 9, 11, 25}, {off.data(), 4}).ratio,
                   1);
  const PairedRatio spread =
      paired_ratio(std::vector<double>(8, 2.0), std::vector<double>{2, 2.2, 1.8, 2.1, 1.9, 2.4, 2, 2});
  EXPECT_DOUBLE_EQ(spread.ratio, 1);
  EXPECT_DOUBLE_EQ(spread.ci95.low, 0.9);  // n = 8: the extremes
  EXPECT_DOUBLE_EQ(spread.ci95.high, 1.2);
}

}  // namespace
}  // namespace kvgauge
