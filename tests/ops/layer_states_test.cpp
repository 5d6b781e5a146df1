#include "core/json.h"
#include "ops_support.h"
#include "reference/kv_coe.h"
#include "reference/lcg.h"

namespace kvgauge::testing {
namespace {

class LayerStates : public OnEveryExecutor {};

TEST_P(LayerStates, AddsRowsInOrderForAnySplitBatchAndAlignment) {
  Random random(test_seed(131));
  const auto backend = backend_for(GetParam());
  for (const std::int64_t columns : {1, 3, 64, 515, 1200}) {
    for (const std::int64_t gap : {0, 5}) {
      constexpr std::int64_t kSequences = 3, kTokens = 40;
      const auto count = static_cast<std::size_t>(columns);
      std::vector<std::vector<float>> states;  // [sequence * tokens + token]
      for (std::int64_t i = 0; i < kSequences * kTokens; ++i)
        states.push_back(uniform_floats(random, count, -100, 100));
      states[5][0] = std::numeric_limits<float>::quiet_NaN();
      DeviceVector<double> sums(static_cast<std::size_t>(kSequences) * count, 0.0);
      std::int64_t at[kSequences] = {};
      while (*std::min_element(at, at + kSequences) < kTokens) {
        GuardedMatrix step(kSequences * 20, columns, DType::kF32, gap);
        std::vector<LayerStatesItem> items;
        std::int64_t row = 0;
        for (std::int64_t s = 0; s < kSequences; ++s) {
          const std::int64_t rows =
              std::min<std::int64_t>(kTokens - at[s], std::uniform_int_distribution<>(0, 18)(random));
          items.push_back({.first_row = row, .rows = rows, .sums = sums.data() + s * columns});
          for (std::int64_t r = 0; r < rows; ++r, ++row, ++at[s])
            for (std::int64_t c = 0; c < columns; ++c)
              step.set(row, c, states[static_cast<std::size_t>(s * kTokens + at[s])][static_cast<std::size_t>(c)]);
        }
        backend->layer_states({.states = step.view(), .items = items});
        EXPECT_TRUE(step.intact());
      }
      for (std::int64_t s = 0; s < kSequences; ++s)
        for (std::int64_t c = 0; c < columns; ++c) {
          double want = 0;  // the contract names every addition, so the bits are known
          for (std::int64_t t = 0; t < kTokens; ++t)
            want += double{states[static_cast<std::size_t>(s * kTokens + t)][static_cast<std::size_t>(c)]};
          const double got = sums[static_cast<std::size_t>(s * columns + c)];
          ASSERT_TRUE(got == want || (std::isnan(got) && std::isnan(want))) << got << " " << want << " column " << c;
        }
      EXPECT_TRUE(std::isnan(sums[0]));
    }
  }
}

// Sums in double of values of 24 bits, then the scores of METHOD.md A.3 over layers: within 1e-10 as METHOD.md J says.
TEST_P(LayerStates, ReproduceTheGoldens) {
  const auto backend = backend_for(GetParam());
  const Json golden = parse_json(read_file(repo_path("tests/golden/hidden_coe.json")), "hidden_coe.json");
  ASSERT_EQ(golden["cases"].size(), 6u);
  for (const Json& one : golden["cases"]) {
    const std::int64_t states = one["states"], tokens = one["T"], columns = one["D"];
    Lcg numbers(one["seed"]);
    DeviceVector<double> sums(static_cast<std::size_t>(states * columns), 0.0);
    for (std::int64_t s = 0; s < states; ++s) {
      GuardedMatrix layer(tokens, columns, DType::kF32, s % 3);
      const auto values = numbers.values(static_cast<std::size_t>(tokens * columns));
      layer.set(std::vector<float>(values.begin(), values.end()));
      const LayerStatesItem items[] = {{.first_row = 0, .rows = tokens, .sums = sums.data() + s * columns}};
      backend->layer_states({.states = layer.view(), .items = items});
    }
    const TrajectorySums got =
        backend->read_layer_states({.sums = sums.data(), .states = states, .columns = columns, .positions = tokens});
    const double steps = static_cast<double>(states - 1);
    EXPECT_EQ(got.tokens, states);
    EXPECT_NEAR(got.end_dr, one["Zr"].get<double>(), 1e-10 * got.end_dr);
    EXPECT_NEAR(got.end_dtheta, one["Ztheta"].get<double>(), 1e-10 * got.end_dtheta);
    const double dr = got.sum_dr / steps, dtheta = got.sum_dtheta / steps;
    EXPECT_NEAR(dr + dtheta, one["paper_R"].get<double>(), 1e-10 * (dr + dtheta));
    EXPECT_NEAR(dr - dtheta, one["diff_R"].get<double>(), 1e-10 * (dr + dtheta));
    EXPECT_NEAR(dr / got.end_dr - dtheta / got.end_dtheta, one["norm_R"].get<double>(),
                1e-10 * (dr / got.end_dr + dtheta / got.end_dtheta));
    EXPECT_NEAR(std::hypot(got.sum_m_cos_a, got.sum_m_sin_a) / steps, one["norm_C"].get<double>(),
                1e-10 * dr / got.end_dr);
    EXPECT_NEAR(std::hypot(got.sum_dr_cos, got.sum_dr_sin) / steps, one["polar_raw_C"].get<double>(), 1e-10 * dr);
  }
}

TEST_P(LayerStates, TheStateSaysWhichSumsAreMeant) {
  const auto backend = backend_for(GetParam());
  for (const std::int64_t columns : {4, 7}) {
    DeviceVector<double> sums(static_cast<std::size_t>(3 * columns), 0.0);
    GuardedMatrix states(2, columns, DType::kF32, 0);
    for (std::int64_t c = 0; c < columns; ++c) states.set(0, c, 1.5f), states.set(1, c, static_cast<float>(c));
    const LayerStatesItem items[] = {{.first_row = 0, .rows = 2, .sums = sums.data()}};
    for (const std::int64_t state : {2, 0, 2})
      backend->layer_states({.states = states.view(), .state = state, .items = items});
    for (std::int64_t c = 0; c < columns; ++c) {
      const double once = 1.5 + static_cast<double>(c);
      EXPECT_EQ(sums[static_cast<std::size_t>(c)], once);
      EXPECT_EQ(sums[static_cast<std::size_t>(columns + c)], 0);
      EXPECT_EQ(sums[static_cast<std::size_t>(2 * columns + c)], 2 * once);
    }
  }
}

TEST_P(LayerStates, StepsMatchTheReferenceForWideStatesAndOneState) {
  Random random(test_seed(132));
  const auto backend = backend_for(GetParam());
  constexpr std::int64_t kStates = 4, kColumns = 700, kPositions = 9;
  DeviceVector<double> sums;
  std::vector<std::vector<double>> means(kStates);
  for (auto& mean : means)
    for (std::int64_t c = 0; c < kColumns; ++c) {
      sums.push_back(uniform_in(random, -50, 50));
      mean.push_back(sums.back() / kPositions);
    }
  const auto got = backend->read_layer_states(
      {.sums = sums.data(), .states = kStates, .columns = kColumns, .positions = kPositions});
  const ReferenceTrajectory want = reference_trajectory(means);
  double dr = 0, dtheta = 0;
  for (std::size_t i = 0; i < want.dr.size(); ++i) dr += want.dr[i], dtheta += want.dtheta[i];
  const double tolerance = 1000 * 0x1p-52;  // sums of 700 squares in double, each within half that many roundings
  EXPECT_NEAR(got.sum_dr, dr, tolerance * dr);
  EXPECT_NEAR(got.sum_dtheta, dtheta, tolerance * dtheta);
  EXPECT_NEAR(got.end_dr, want.end_dr, tolerance * want.end_dr);
  // The same sums in two parts: their sum is rounded once more.
  DeviceVector<double> part, rest;
  for (const double sum : sums) {
    part.push_back(uniform_in(random, -50, 50));
    rest.push_back(sum - part.back());
  }
  const auto parts = backend->read_layer_states(
      {.sums = part.data(), .more = rest.data(), .states = kStates, .columns = kColumns, .positions = kPositions});
  EXPECT_NEAR(parts.sum_dr, dr, tolerance * dr);
  EXPECT_NEAR(parts.sum_dtheta, dtheta, tolerance * dtheta);
  const auto one = backend->read_layer_states({.sums = sums.data(), .states = 1, .columns = kColumns, .positions = 2});
  EXPECT_EQ(one.tokens, 1);
  EXPECT_EQ(one.end_dr, 0);
  EXPECT_EQ(one.end_dtheta, 0);
}

KVGAUGE_ON_EVERY_EXECUTOR(LayerStates);

}  // namespace
}  // namespace kvgauge::testing
