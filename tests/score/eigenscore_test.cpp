#include "score/eigenscore.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "core/json.h"
#include "reference/lcg.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

using Vectors = std::vector<std::vector<float>>;

double score_of(const Vectors& vectors, double alpha = 1e-3) {
  const std::vector<std::span<const float>> views(vectors.begin(), vectors.end());
  return eigen_score(views, alpha);
}

TEST(EigenScore, ReproducesTheGoldens) {
  const Json golden =
      parse_json(testing::read_file(testing::repo_path("tests/golden/eigenscore.json")), "eigenscore.json");
  ASSERT_EQ(golden["cases"].size(), 3u);
  for (const Json& one : golden["cases"]) {
    testing::Lcg numbers(one["seed"].get<std::uint64_t>());
    Vectors vectors(one["K"].get<std::size_t>());
    for (auto& vector : vectors) {
      const auto values = numbers.values(one["D"].get<std::size_t>());
      vector.assign(values.begin(), values.end());  // 24 bits: exact in f32
    }
    const double want = one["score"].get<double>();
    EXPECT_NEAR(score_of(vectors, one["alpha"].get<double>()), want, 1e-9 * std::abs(want)) << "seed " << one["seed"];
    double from_eigenvalues = 0;  // the determinant's logarithm is the sum of theirs
    for (const Json& value : one["eigenvalues"]) from_eigenvalues += std::log(value.get<double>());
    EXPECT_NEAR(from_eigenvalues / one["K"].get<double>(), want, 1e-9 * std::abs(want));
  }
}

TEST(EigenScore, EqualAnswersHaveTheScoreOfOneDirection) {
  // S is |z|^2 times the matrix of ones: eigenvalues K |z|^2 + alpha once, alpha K - 1 times.
  constexpr std::size_t kAnswers = 7;
  const Vectors vectors(kAnswers, {3, -1, -2});  // mean 0, |z|^2 = 14
  const double want = (std::log(kAnswers * 14 + 1e-3) + (kAnswers - 1) * std::log(1e-3)) / kAnswers;
  EXPECT_NEAR(score_of(vectors), want, 1e-9);
}

TEST(EigenScore, DoesNotDependOnOrderOrOnAConstantAddedToAVector) {
  std::mt19937_64 random(testing::test_seed(41));
  Vectors vectors(12, std::vector<float>(40));
  for (auto& vector : vectors)
    for (float& value : vector) value = static_cast<float>(std::uniform_int_distribution<>(-512, 512)(random)) / 64;
  const double score = score_of(vectors);
  std::swap(vectors[0], vectors[7]);
  EXPECT_NEAR(score_of(vectors), score, 1e-11 * std::abs(score));  // other order of K^3/3 roundings
  for (float& value : vectors[3]) value += 32;                     // exact
  EXPECT_NEAR(score_of(vectors), score, 1e-11 * std::abs(score));
  EXPECT_GT(score, score_of(Vectors(12, vectors[3])));  // answers that differ are more uncertain
}

TEST(EigenScore, ManyWideAnswersAreBoundedAndFinite) {
  std::mt19937_64 random(testing::test_seed(42));
  Vectors vectors(256, std::vector<float>(2048));
  for (auto& vector : vectors)
    for (float& value : vector) value = std::uniform_real_distribution<float>(-3000, 3000)(random);
  EXPECT_TRUE(std::isfinite(score_of(vectors)));
}

TEST(EigenScore, WhatHasNoVectorHasNoScore) {
  EXPECT_TRUE(std::isnan(score_of({})));
  EXPECT_TRUE(std::isnan(score_of({{1, 2}, {}})));
  EXPECT_TRUE(std::isnan(score_of({{}, {}})));
  EXPECT_TRUE(std::isnan(score_of({{1, 2}, {std::numeric_limits<float>::infinity(), 1}})));
  EXPECT_TRUE(std::isnan(score_of({{1, 2}, {std::numeric_limits<float>::quiet_NaN(), 1}})));
}

}  // namespace
}  // namespace kvgauge
