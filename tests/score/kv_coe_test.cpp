#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "core/angle.h"
#include "core/json.h"
#include "reference/kv_coe.h"
#include "reference/lcg.h"
#include "score/scores.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

using testing::KvShape;
using testing::Lcg;
using testing::ReferenceTrajectory;
using testing::States;

struct Variant {
  const char* golden;
  double KvCoeScores::*field;
};
constexpr Variant kVariants[] = {{"paper_R", &KvCoeScores::paper_r},
                                 {"paper_C", &KvCoeScores::paper_c},
                                 {"diff_R", &KvCoeScores::diff_r},
                                 {"polar_raw_C", &KvCoeScores::polar_raw_c},
                                 {"norm_R", &KvCoeScores::normalized_r},
                                 {"norm_C", &KvCoeScores::normalized_c},
                                 {"norm_cart_C", &KvCoeScores::normalized_cart_c}};

TrajectorySums sums_of(const ReferenceTrajectory& t) {
  return trajectory_sums(std::span<const double>(t.dr), std::span<const double>(t.dtheta), t.end_dr, t.end_dtheta);
}

// A null of the golden is a NaN of ours and nothing else is. `terms` is the size of what a difference of means is made
// of: its rounding does not shrink with the difference.
void expect_close(double got, const Json& want, double relative, double terms, const std::string& what) {
  if (want.is_null()) {
    EXPECT_TRUE(std::isnan(got)) << what << ": " << got << ", the golden has null";
    return;
  }
  const double value = want.get<double>();
  EXPECT_NEAR(got, value, relative * std::max(std::abs(value), terms)) << what;
}

void expect_scores(const KvCoeScores& got, const Json& golden, double relative, const std::string& what) {
  EXPECT_EQ(got.valid, !golden["paper_R"].is_null()) << what;
  for (const Variant& variant : kVariants) {
    double terms = 0;
    if (variant.golden == std::string("diff_R") && got.valid) terms = got.mean_dr + got.mean_dtheta;
    if (variant.golden == std::string("norm_R") && !std::isnan(got.normalized_r)) terms = got.mean_dr / got.end_dr;
    expect_close(got.*variant.field, golden[variant.golden], relative, terms, what + " " + variant.golden);
  }
  if (!got.valid) return;
  expect_close(got.end_dr, golden["Zr"], relative, 0, what + " Zr");
  expect_close(got.end_dtheta, golden["Ztheta"], relative, 1e-6,
               what + " Ztheta");  // parallel ends: angles of a few epsilon
}

double draw_of(Lcg& lcg, const std::string& kind) {
  return kind == "f24" ? lcg.f24() : kind == "f8" ? lcg.f8() : lcg.near1();
}

GaugePart part_of(const std::string& text) {
  return text == "v" ? GaugePart::kV : text == "k" ? GaugePart::kK : GaugePart::kKV;
}

TEST(KvCoeGolden, ReferenceTrajectoriesAndScoresAgree) {
  const Json golden = parse_json(testing::read_file(testing::repo_path("tests/golden/kvcoe.json")), "kvcoe.json");
  ASSERT_EQ(golden["cases"].size(), 290u);
  for (const Json& c : golden["cases"]) {
    const std::string what = "case " + std::to_string(c["id"].get<int>());
    const KvShape shape{.layers = c["L"], .heads = c["H"], .tokens = c["T"], .head_dim = c["d"]};
    Lcg lcg(c["seed"].get<std::uint64_t>());
    std::vector<double> k(shape.elements()), v(shape.elements());
    for (double& x : k) x = draw_of(lcg, c["gen"]);
    for (double& x : v) x = draw_of(lcg, c["gen"]);
    const States states = testing::reference_embeddings(k, v, shape, part_of(c["part"]));
    const ReferenceTrajectory trajectory = testing::reference_trajectory(states);
    const bool ends_only = c.contains("dr_dtheta");  // long ones keep the first and the last difference
    const Json &dr = c["dr"], &dtheta = c["dtheta"];
    ASSERT_EQ(dr.size(), ends_only ? 2 : trajectory.dr.size()) << what;
    for (std::size_t i = 0; i < dr.size(); ++i) {
      const std::size_t at = ends_only && i == 1 ? trajectory.dr.size() - 1 : i;
      expect_close(trajectory.dr[at], dr[i], 1e-10, 0, what + " dr");
      expect_close(trajectory.dtheta[at], dtheta[i], 1e-10, 0, what + " dtheta");
    }
    expect_scores(kv_coe_scores(sums_of(trajectory)), c, 1e-10, what);
    expect_scores(testing::reference_kv_coe(k, v, shape, part_of(c["part"])), c, 1e-10, what + " (reference)");
  }
}

TEST(KvCoeGolden, DegenerateTrajectoriesHaveTheExactNullPattern) {
  const Json golden = parse_json(testing::read_file(testing::repo_path("tests/golden/coe_edge.json")), "coe_edge.json");
  ASSERT_EQ(golden.size(), 18u);
  for (const Json& c : golden) {
    const States states = c["e"].get<States>();
    const ReferenceTrajectory trajectory = testing::reference_trajectory(states);
    expect_scores(kv_coe_scores(sums_of(trajectory)), c, 1e-9, c["name"]);
  }
}

// The product's one-pass angle over the same degenerate trajectories: null pattern and values as the golden's.
TEST(KvCoeGolden, DegenerateTrajectoriesThroughTheOnePassAngle) {
  const Json golden = parse_json(testing::read_file(testing::repo_path("tests/golden/coe_edge.json")), "coe_edge.json");
  const auto one_pass = [](const std::vector<double>& u, const std::vector<double>& v) {
    double difference = 0;
    for (std::size_t i = 0; i < u.size(); ++i) difference += (u[i] - v[i]) * (u[i] - v[i]);
    return angle(difference, testing::reference_norm(u), testing::reference_norm(v));
  };
  for (const Json& c : golden) {
    const States states = c["e"].get<States>();
    ReferenceTrajectory trajectory = testing::reference_trajectory(states);
    for (std::size_t t = 0; t < trajectory.dtheta.size(); ++t)
      trajectory.dtheta[t] = one_pass(states[t + 1], states[t]);
    trajectory.end_dtheta = one_pass(states.back(), states.front());
    expect_scores(kv_coe_scores(sums_of(trajectory)), c, 1e-9, c["name"]);
  }
}

TEST(Angle, KnownValuesAndZeroVectors) {
  EXPECT_EQ(angle(0, 0, 0), 0);
  EXPECT_EQ(angle(1, 1, 0), std::numbers::pi / 2);
  EXPECT_EQ(angle(1, 0, 1), std::numbers::pi / 2);
  EXPECT_NEAR(angle(2, 1, 1), std::numbers::pi / 2, 1e-15);
  EXPECT_NEAR(angle(4, 1, 1), std::numbers::pi, 1e-15);
  EXPECT_EQ(angle(4.0000001, 1, 1), std::numbers::pi) << "q is clamped to 4";
  EXPECT_EQ(angle(0.9999999, 2, 1), 0) << "q is clamped to 0";
  EXPECT_TRUE(std::isnan(angle(std::nan(""), 1, 1)));
}

// METHOD.md A.5: relative 8e-12 on near-parallel states in double.
TEST(Angle, KeepsItsDigitsOnNearlyParallelStates) {
  Lcg lcg(17);
  for (int round = 0; round < 200; ++round) {
    const auto u = lcg.values(256, &Lcg::near1), v = lcg.values(256, &Lcg::near1);
    double difference = 0;
    for (std::size_t i = 0; i < u.size(); ++i) difference += (u[i] - v[i]) * (u[i] - v[i]);
    const double want = testing::reference_angle(u, v);
    EXPECT_NEAR(angle(difference, testing::reference_norm(u), testing::reference_norm(v)), want, 1e-11 * want);
  }
}

TEST(KvCoe, WeightsScaleThePaperVariantOnly) {
  const std::vector<double> dr = {1, 3}, dtheta = {0.5, 0.25};
  const TrajectorySums sums = trajectory_sums(std::span<const double>(dr), std::span<const double>(dtheta), 2.5, 0.5);
  const KvCoeScores plain = kv_coe_scores(sums), weighted = kv_coe_scores(sums, {.alpha = 2, .beta = -4});
  EXPECT_DOUBLE_EQ(plain.paper_r, 2 + 0.375);
  EXPECT_DOUBLE_EQ(weighted.paper_r, 4 - 1.5);
  EXPECT_EQ(weighted.normalized_r, plain.normalized_r);
  EXPECT_EQ(weighted.paper_c, plain.paper_c);
}

TEST(KvCoe, FloatAndDoubleDifferencesGiveTheSameSums) {
  const std::vector<float> dr = {1.5f, 0.25f, 3.0f}, dtheta = {0.5f, 0.125f, 1.0f};
  const std::vector<double> dr_wide(dr.begin(), dr.end()), dtheta_wide(dtheta.begin(), dtheta.end());
  const TrajectorySums a = trajectory_sums(std::span<const float>(dr), std::span<const float>(dtheta), 2, 0.75);
  const TrajectorySums b =
      trajectory_sums(std::span<const double>(dr_wide), std::span<const double>(dtheta_wide), 2, 0.75);
  EXPECT_EQ(a.tokens, 4);
  EXPECT_EQ(a.sum_dr, b.sum_dr);
  EXPECT_EQ(a.sum_m_cos_a, b.sum_m_cos_a);
  EXPECT_EQ(a.sum_m_sin_a, b.sum_m_sin_a);
  EXPECT_EQ(a.sum_dr_cos, b.sum_dr_cos);
  EXPECT_EQ(a.sum_dr_sin, b.sum_dr_sin);
}

// |e_T - e_1| <= sum dr and angle(e_T, e_1) <= sum dtheta, so both normalised means are at least 1/(T-1).
TEST(KvCoe, TriangleInequalityHoldsOnRandomTrajectories) {
  const std::uint64_t seed = testing::test_seed(3);
  for (std::uint64_t round = 0; round < 100; ++round) {
    Lcg lcg(seed * 1000 + round);
    const KvShape shape{.layers = 2, .heads = 2, .tokens = 2 + round % 40, .head_dim = 4};
    const auto k = lcg.values(shape.elements()), v = lcg.values(shape.elements());
    const auto trajectory = testing::reference_trajectory(testing::reference_embeddings(k, v, shape, GaugePart::kKV));
    const KvCoeScores s = kv_coe_scores(sums_of(trajectory));
    const double least = 1.0 / static_cast<double>(shape.tokens - 1);
    EXPECT_GE(s.mean_dr / s.end_dr, least - 1e-6);
    EXPECT_GE(s.mean_dtheta / s.end_dtheta, least - 1e-6);
  }
}

TEST(KvCoe, NothingThatIsNotANumberLeaves) {
  const std::vector<double> dr = {1, INFINITY}, dtheta = {0.5, NAN};
  const KvCoeScores s =
      kv_coe_scores(trajectory_sums(std::span<const double>(dr), std::span<const double>(dtheta), INFINITY, 0.5));
  for (const Variant& variant : kVariants) EXPECT_TRUE(std::isnan(s.*variant.field)) << variant.golden;
  EXPECT_TRUE(std::isnan(s.end_dr));
  EXPECT_FALSE(kv_coe_scores({}).valid);
  EXPECT_FALSE(kv_coe_scores({.tokens = 1}).valid);
}

TEST(GaugeNames, AreTheCommandLines) {
  EXPECT_STREQ(name(GaugePart::kV), "v");
  EXPECT_STREQ(name(GaugePart::kK), "k");
  EXPECT_STREQ(name(GaugePart::kKV), "kv");
  EXPECT_STREQ(name(GaugeSpan::kResponse), "response");
  EXPECT_STREQ(name(GaugeSpan::kBoundary), "boundary");
  EXPECT_STREQ(name(GaugeSpan::kAll), "all");
  EXPECT_STREQ(name(GaugeSpan::kPrompt), "prompt");
}

TEST(LcgGolden, IsExact) {
  for (const Json& c : parse_json(testing::read_file(testing::repo_path("tests/golden/lcg.json")), "lcg.json")) {
    const std::uint64_t seed = std::stoull(c["seed"].get<std::string>());
    Lcg states(seed);
    for (const Json& state : c["states"]) EXPECT_EQ(states.next(), std::stoull(state.get<std::string>(), nullptr, 16));
    EXPECT_EQ(Lcg(seed).values(4, &Lcg::f24), c["f24"].get<std::vector<double>>());
    EXPECT_EQ(Lcg(seed).values(4, &Lcg::f8), c["f8"].get<std::vector<double>>());
    EXPECT_EQ(Lcg(seed).values(4, &Lcg::near1), c["near1"].get<std::vector<double>>());
    EXPECT_EQ(Lcg(seed).values(4, &Lcg::u53), c["u53"].get<std::vector<double>>());
  }
}

}  // namespace
}  // namespace kvgauge
