#include "score/semantic_entropy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace kvgauge {
namespace {

SemanticEntropy entropy_of(const std::vector<std::int32_t>& clusters, const std::vector<double>& logprobs) {
  return semantic_entropy(clusters, logprobs);
}

// By hand: P = {0.5 + 0.1, 0.2, 0.05}, in sum 0.85.
TEST(SemanticEntropy, IsWhatTheFormulasSay) {
  const std::vector<double> p = {0.5, 0.2, 0.1, 0.05};
  std::vector<double> logs;
  for (const double x : p) logs.push_back(std::log(x));
  const SemanticEntropy got = entropy_of({0, 1, 0, 2}, logs);
  EXPECT_EQ(got.clusters, 3);
  EXPECT_EQ(got.majority, 0.5);
  EXPECT_NEAR(got.mean, -(2 * std::log(0.6) + std::log(0.2) + std::log(0.05)) / 4, 1e-14);
  double normalized = 0;
  for (const double mass : {0.6, 0.2, 0.05}) normalized -= mass / 0.85 * std::log(mass / 0.85);
  EXPECT_NEAR(got.normalized, normalized, 1e-14);
  EXPECT_NEAR(got.counts, -(0.5 * std::log(0.5) + 2 * 0.25 * std::log(0.25)), 1e-14);
}

TEST(SemanticEntropy, OneMeaningIsCertain) {
  const SemanticEntropy got = entropy_of({0, 0, 0}, {-3, -1, -2});
  EXPECT_EQ(got.majority, 1);
  EXPECT_EQ(got.counts, 0);
  EXPECT_NEAR(got.normalized, 0, 1e-15);
  EXPECT_NEAR(got.mean, -std::log(std::exp(-3) + std::exp(-1) + std::exp(-2)), 1e-14);
}

TEST(SemanticEntropy, LongAnswersDoNotUnderflow) {
  const SemanticEntropy got = entropy_of({0, 1, 1}, {-5000, -4000, -4000});
  EXPECT_NEAR(got.mean, (5000 + 2 * (4000 - std::log(2))) / 3, 1e-9);
  EXPECT_NEAR(got.normalized, 0, 1e-12);
  const SemanticEntropy equal = entropy_of({0, 1}, {-9000, -9000});
  EXPECT_NEAR(equal.normalized, std::log(2), 1e-12);
}

TEST(SemanticEntropy, UndefinedProbabilitiesLeaveTheCounts) {
  const SemanticEntropy got = entropy_of({0, 1}, {-1, kUndefined});
  EXPECT_TRUE(std::isnan(got.mean) && std::isnan(got.normalized));
  EXPECT_NEAR(got.counts, std::log(2), 1e-15);
  EXPECT_EQ(got.majority, 0.5);
  EXPECT_TRUE(std::isnan(entropy_of({}, {}).counts));
}

}  // namespace
}  // namespace kvgauge
