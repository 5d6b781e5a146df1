#include "reference/logits_stats.h"

#include "ops_support.h"

namespace kvgauge::testing {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<TokenLogitStats> stats_of(Backend& backend, const GuardedMatrix& logits,
                                      const std::vector<std::int32_t>& rows, const std::vector<std::int32_t>& chosen) {
  std::vector<TokenLogitStats> out(rows.size());
  backend.logits_stats({.logits = logits.view(), .rows = rows, .chosen = chosen, .out = out});
  return out;
}

class LogitsStats : public OnEveryExecutor {};

TEST_P(LogitsStats, MatchesTheReference) {
  Random random(test_seed(81));
  const auto backend = backend_for(GetParam());
  for (const std::int64_t vocab : {1, 2, 15, 16, 17, 33, 1000, 49'152}) {
    for (const double spread : {0.1, 5.0, 60.0}) {
      GuardedMatrix logits(3, vocab, DType::kF32);
      logits.set(uniform_floats(random, static_cast<std::size_t>(3 * vocab), -spread, spread));
      logits.set(1, vocab / 2, logits.at(1, 0));  // a tie somewhere
      if (vocab > 4) logits.set(2, 3, -kInfinity);
      const std::vector<std::int32_t> rows = {2, 0, 1, 1}, chosen = {0, static_cast<std::int32_t>(vocab - 1), 0,
                                                                     static_cast<std::int32_t>(vocab / 3)};
      const auto got = stats_of(*backend, logits, rows, chosen);
      for (std::size_t i = 0; i < rows.size(); ++i) {
        std::vector<float> row;
        for (std::int64_t c = 0; c < vocab; ++c) row.push_back(logits.at(rows[i], c));
        const auto want = reference_logits_stats(row, chosen[i]);
        // z - max is rounded once, |z - max| <= 2 spread: exp off by (2 ulp + 2 spread eps), sums in double
        const double e = (4 + 2 * spread) * kFloatEps;
        EXPECT_NEAR(got[i].max_prob, want.max_prob, e * want.max_prob);
        EXPECT_NEAR(got[i].max_logprob, want.max_logprob, e);
        EXPECT_NEAR(got[i].second_prob, want.second_prob, 2 * e * want.second_prob);
        EXPECT_NEAR(got[i].entropy, want.entropy, 2 * e * (1 + want.entropy + std::log(static_cast<double>(vocab))))
            << vocab;
        EXPECT_NEAR(got[i].chosen_logprob, want.chosen_logprob, e);
        EXPECT_NEAR(got[i].mean_logprob, want.mean_logprob, e);
      }
    }
  }
}

TEST_P(LogitsStats, EdgeCasesHaveTheValuesOfTheContract) {
  const auto backend = backend_for(GetParam());
  GuardedMatrix logits(6, 20, DType::kF32);
  logits.set(std::vector<float>(120, 0.f));
  logits.set(0, 19, std::numeric_limits<float>::quiet_NaN());
  logits.set(1, 0, kInfinity);
  for (int c = 0; c < 20; ++c) logits.set(2, c, -kInfinity);
  for (int c = 1; c < 20; ++c) logits.set(3, c, -kInfinity);
  logits.set(4, 17, 1000.f);
  const auto got = stats_of(*backend, logits, {0, 1, 2, 3, 4, 5, 3}, {0, 0, 0, 0, 17, 3, 5});
  for (int i = 0; i < 3; ++i) {
    const auto& s = got[static_cast<std::size_t>(i)];
    for (const double x : {s.max_prob, s.max_logprob, s.second_prob, s.entropy, s.chosen_logprob, s.mean_logprob})
      EXPECT_TRUE(std::isnan(x)) << i;
  }
  EXPECT_EQ(got[3].max_prob, 1);  // one finite entry is certain
  EXPECT_EQ(got[3].second_prob, 0);
  EXPECT_EQ(got[3].entropy, 0);
  EXPECT_EQ(got[3].mean_logprob, 0);  // over the one finite entry
  EXPECT_EQ(got[4].max_prob, 1);
  EXPECT_EQ(got[4].entropy, 0);
  EXPECT_EQ(got[4].mean_logprob, -950);
  EXPECT_EQ(got[5].max_prob, 0.05);
  EXPECT_EQ(got[5].second_prob, got[5].max_prob);  // a tie
  EXPECT_EQ(got[6].chosen_logprob, -std::numeric_limits<double>::infinity());
}

TEST(LogitsStatsBits, AreTheSameOnEveryInstructionSetAndInAnyBatch) {
  Random random(test_seed(82));
  GuardedMatrix logits(5, 3001, DType::kF32);
  logits.set(uniform_floats(random, 5 * 3001, -20, 20));
  const auto want =
      stats_of(*backend_for(CpuIsa::kBaseline, DType::kF32, true, 1), logits, {0, 1, 2, 3, 4}, {5, 6, 7, 8, 9});
  for (const CpuIsa isa : supported_isas()) {
    const auto backend = backend_for(isa, DType::kF32, true, 3);
    const auto all = stats_of(*backend, logits, {0, 1, 2, 3, 4}, {5, 6, 7, 8, 9});
    EXPECT_EQ(std::memcmp(all.data(), want.data(), want.size() * sizeof want[0]), 0) << name(isa);
    const auto one = stats_of(*backend, logits, {3}, {8});
    EXPECT_EQ(std::memcmp(&one[0], &want[3], sizeof want[3]), 0) << name(isa);
  }
}

TEST_P(LogitsStats, ADrawNamesTheTokenOfTheLastSample) {
  Random random(test_seed(83));
  const auto backend = backend_for(GetParam());
  GuardedMatrix logits(2, 300, DType::kF32);
  logits.set(uniform_floats(random, 600, -2, 2));
  logits.set(1, 7, std::numeric_limits<float>::quiet_NaN());
  const std::vector<SampleRequest> requests = {{.row = 1}, {.row = 0, .temperature = 1.f, .seed = 3}, {.row = 0}};
  std::vector<std::int32_t> tokens(3);
  backend->sample({.logits = logits.view(), .requests = requests, .out = tokens});
  ASSERT_EQ(tokens[0], -1);
  ASSERT_NE(tokens[1], tokens[2]);
  const std::vector<std::int32_t> rows = {0, 0, 0, 0}, chosen = {4, 4, 4, 4}, draws = {2, -1, 0, 1};
  std::vector<TokenLogitStats> got(4);
  backend->logits_stats({.logits = logits.view(), .rows = rows, .chosen = chosen, .draws = draws, .out = got});
  const auto want = stats_of(*backend, logits, {0, 0, 0}, {tokens[2], 4, tokens[1]});
  EXPECT_EQ(std::memcmp(&got[0], &want[0], sizeof want[0]), 0);
  EXPECT_EQ(std::memcmp(&got[1], &want[1], sizeof want[1]), 0);
  EXPECT_EQ(std::memcmp(&got[3], &want[2], sizeof want[2]), 0);
  EXPECT_TRUE(std::isnan(got[2].max_prob) && std::isnan(got[2].chosen_logprob) && std::isnan(got[2].mean_logprob));
}

// A vocabulary in tiles: the bits of whole rows, wherever the maximum, the chosen token, ties and what is not finite
// lie.
TEST_P(LogitsStats, TilesOfTheVocabularyGiveTheBitsOfWholeRows) {
  Random random(test_seed(84));
  const auto backend = backend_for(GetParam());
  for (const std::int64_t vocab : {kVocabTile + 1, 2 * kVocabTile, 2 * kVocabTile + 333}) {
    GuardedMatrix logits(6, vocab, DType::kF32);
    logits.set(uniform_floats(random, static_cast<std::size_t>(6 * vocab), -9, 9));
    logits.set(0, vocab - 1, 12.f);  // the maximum comes last
    logits.set(1, 5, 12.f);          // first, and tied with the last
    logits.set(1, vocab - 1, 12.f);
    for (std::int64_t c = 0; c < kVocabTile; ++c) logits.set(2, c, -kInfinity);  // a tile of impossible tokens
    logits.set(3, 9, std::numeric_limits<float>::quiet_NaN());
    logits.set(4, vocab - 1, kInfinity);
    const std::vector<std::int32_t> rows = {0, 1, 2, 2, 3, 4, 5}, chosen = {0,
                                                                            static_cast<std::int32_t>(vocab - 1),
                                                                            3,
                                                                            static_cast<std::int32_t>(kVocabTile),
                                                                            1,
                                                                            1,
                                                                            static_cast<std::int32_t>(kVocabTile - 1)};
    const auto whole = stats_of(*backend, logits, rows, chosen);
    std::vector<TokenLogitStats> tiled(rows.size());
    for (std::int64_t first = 0; first < vocab; first += kVocabTile) {
      MatrixView tile = logits.view();
      tile.columns = std::min(kVocabTile, vocab - first);
      tile.data = static_cast<float*>(tile.data) + first;
      backend->logits_stats(
          {.logits = tile, .first_token = first, .vocab = vocab, .rows = rows, .chosen = chosen, .out = tiled});
    }
    backend->wait();
    for (std::size_t i = 0; i < rows.size(); ++i)
      EXPECT_EQ(std::memcmp(&tiled[i], &whole[i], sizeof whole[i]), 0) << vocab << ", row " << rows[i];
    std::vector<float> row;
    for (std::int64_t c = 0; c < vocab; ++c) row.push_back(logits.at(2, c));
    const auto want = reference_logits_stats(row, chosen[3]);
    EXPECT_NEAR(tiled[3].entropy, want.entropy, 1e-4);
    EXPECT_NEAR(tiled[3].chosen_logprob, want.chosen_logprob, 1e-5);
    EXPECT_TRUE(std::isinf(tiled[2].chosen_logprob) && std::isnan(tiled[4].entropy) && std::isnan(tiled[5].entropy));
  }
}

KVGAUGE_ON_EVERY_EXECUTOR(LogitsStats);

}  // namespace
}  // namespace kvgauge::testing
