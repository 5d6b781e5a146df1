#include "reference/sample.h"

#include "core/rng.h"
#include "ops_support.h"

namespace kvgauge::testing {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class Sample : public OnEveryExecutor {};

std::vector<std::int32_t> draw(Backend& backend, const GuardedMatrix& logits,
                               const std::vector<SampleRequest>& requests) {
  std::vector<std::int32_t> out(requests.size(), -7);
  backend.sample({.logits = logits.view(), .requests = requests, .out = out});
  return out;
}
std::vector<float> row_of(const GuardedMatrix& logits, std::int64_t row) {
  std::vector<float> out;
  for (std::int64_t c = 0; c < logits.view().columns; ++c) out.push_back(logits.at(row, c));
  return out;
}

TEST_P(Sample, GreedyTakesTheLargestAndTheLowestIdOnTies) {
  Random random(test_seed(91));
  const auto backend = backend_for(GetParam());
  for (const std::int64_t vocab : {1, 2, 16, 17, 1000}) {
    GuardedMatrix logits(30, vocab, DType::kF32);
    std::vector<SampleRequest> requests;
    for (std::int32_t r = 0; r < 30; ++r) {
      for (std::int64_t c = 0; c < vocab; ++c)
        logits.set(r, c, static_cast<float>(std::uniform_int_distribution<>(-6, 6)(random)));
      requests.push_back({.row = r, .top_p = 0.1f, .min_p = 0.9f, .top_k = 1});
    }
    const auto got = draw(*backend, logits, requests);
    for (std::int32_t r = 0; r < 30; ++r) {
      const auto row = row_of(logits, r);
      EXPECT_EQ(got[static_cast<std::size_t>(r)], std::max_element(row.begin(), row.end()) - row.begin());
    }
  }
}

TEST_P(Sample, UnusableRowsGiveMinusOne) {
  const auto backend = backend_for(GetParam());
  GuardedMatrix logits(4, 40, DType::kF32);
  logits.set(std::vector<float>(160, 1.f));
  logits.set(0, 39, std::numeric_limits<float>::quiet_NaN());
  logits.set(1, 0, kInfinity);
  for (int c = 0; c < 40; ++c) logits.set(2, c, -kInfinity);
  for (int c = 0; c < 39; ++c) logits.set(3, c, -kInfinity);
  for (const float temperature : {0.f, 1.f})
    EXPECT_EQ(draw(*backend, logits,
                   {{.row = 0, .temperature = temperature},
                    {.row = 1, .temperature = temperature},
                    {.row = 2, .temperature = temperature},
                    {.row = 3, .temperature = temperature}}),
              (std::vector<std::int32_t>{-1, -1, -1, 39}));
}

/// Every draw lands on the token whose interval of the reference's cumulated distribution holds u.
TEST_P(Sample, DrawsAreTheInverseTransformOfTheFilteredDistribution) {
  Random random(test_seed(92));
  const auto backend = backend_for(GetParam());
  int compared = 0, total = 0, combination = 0;
  for (const std::int64_t vocab : {3, 50, 1500}) {
    for (const double spread : {0.0, 0.5, 12.0}) {
      GuardedMatrix logits(1, vocab, DType::kF32);
      logits.set(uniform_floats(random, static_cast<std::size_t>(vocab), -spread, spread));
      if (vocab > 3) logits.set(0, 2, -kInfinity);
      const auto row = row_of(logits, 0);
      for (const float temperature : {0.3f, 1.f}) {
        for (const std::int32_t top_k : {0, 1, 7, 300}) {
          for (const float top_p : {1.f, 0.95f, 0.3f, 0.f}) {
            for (const float min_p : {0.f, 0.05f}) {
              // Device threads are fibres or interpreted here: a share of the combinations, of all kinds, is enough.
              const int share = GetParam().kind == Executor::Kind::kPtx ? 41 : 11;
              if (GetParam().on_device() && ++combination % share != 0) continue;
              const auto reference = reference_sample(row, temperature, top_k, top_p, min_p);
              std::vector<SampleRequest> requests;
              for (std::uint64_t i = 0; i < 20; ++i)
                requests.push_back({.row = 0,
                                    .temperature = temperature,
                                    .top_p = top_p,
                                    .min_p = min_p,
                                    .top_k = top_k,
                                    .seed = 5,
                                    .stream = 3,
                                    .draw = i});
              const auto got = draw(*backend, logits, requests);
              for (std::size_t i = 0; i < got.size(); ++i) {
                ++total;
                // weights are off by (4 + |z - max| / T) eps relative: nearer decisions may fall either way
                const double near = 4 * (4 + 2 * spread / temperature) * kFloatEps;
                if (reference.edge < near) continue;
                const double u = kvgauge::uniform(5, 3, i);
                double low = 0;
                std::size_t rank = 0;
                while (rank + 1 < reference.tokens.size() && low + reference.probabilities[rank] <= u)
                  low += reference.probabilities[rank++];
                const double high = low + reference.probabilities[rank];
                if (u - low < near && rank > 0) continue;
                if (high - u < near && rank + 1 < reference.tokens.size()) continue;
                ++compared;
                ASSERT_EQ(got[i], reference.tokens[rank])
                    << "vocab " << vocab << " spread " << spread << " T " << temperature << " k " << top_k << " p "
                    << top_p << " min " << min_p << " u " << u;
              }
            }
          }
        }
      }
    }
  }
  EXPECT_GT(compared, total * 8 / 10);
}

TEST_P(Sample, ARowDoesNotDependOnItsBatchOrTheThreads) {
  Random random(test_seed(93));
  GuardedMatrix logits(9, 700, DType::kF32);
  logits.set(uniform_floats(random, 9 * 700, -5, 5));
  std::vector<SampleRequest> requests;
  for (std::int32_t i = 0; i < 40; ++i)
    requests.push_back({.row = i % 9,
                        .temperature = 0.8f,
                        .top_p = 0.9f,
                        .top_k = i % 3 == 0 ? 50 : 0,
                        .seed = 1,
                        .stream = static_cast<std::uint64_t>(i),
                        .draw = 4});
  const auto together = draw(*backend_for(GetParam(), DType::kF32, true, 3), logits, requests);
  const auto alone = backend_for(GetParam(), DType::kF32, true, 1);
  for (std::size_t i = 0; i < requests.size(); ++i) EXPECT_EQ(draw(*alone, logits, {requests[i]})[0], together[i]);
}

// Equal logits rank by id, however many there are: token number floor(u * kept).
TEST_P(Sample, TiesAreDrawnInTheOrderOfTheirIds) {
  const auto backend = backend_for(GetParam());
  constexpr std::int64_t kVocab = 5000;
  GuardedMatrix logits(1, kVocab, DType::kF32);
  logits.set(std::vector<float>(kVocab, -3.5f));
  logits.set(0, 17, -std::numeric_limits<float>::infinity());
  struct Filter {
    float top_p;
    std::int32_t top_k;
    double kept;
  };
  for (const Filter& filter :
       {Filter{1, 0, 4999}, Filter{1, 3000, 3000}, Filter{0.5f, 0, 2500}, Filter{0.25f, 4000, 1000}}) {
    std::vector<SampleRequest> requests;
    for (std::uint64_t i = 0; i < 2; ++i)
      requests.push_back(
          {.temperature = 0.7f, .top_p = filter.top_p, .min_p = 0.5f, .top_k = filter.top_k, .seed = 11, .draw = i});
    const auto got = draw(*backend, logits, requests);
    for (std::uint64_t i = 0; i < 2; ++i) {
      const double at = kvgauge::uniform(11, 0, i) * filter.kept;
      ASSERT_GT(std::abs(at - std::round(at)), 1e-6);  // not on an edge, so one token is right
      const auto rank = static_cast<std::int32_t>(at);
      EXPECT_EQ(got[i], rank + (rank >= 17 ? 1 : 0)) << filter.kept;
    }
  }
}

KVGAUGE_ON_EVERY_EXECUTOR(Sample);

TEST(SampleBits, DrawsAreTheSameOnEveryInstructionSet) {
  Random random(test_seed(94));
  GuardedMatrix logits(1, 2000, DType::kF32);
  logits.set(uniform_floats(random, 2000, -4, 4));
  std::vector<SampleRequest> requests;
  for (std::uint64_t i = 0; i < 500; ++i)
    requests.push_back({.temperature = 1.1f, .top_p = 0.97f, .seed = 2, .draw = i});
  const auto want = draw(*backend_for(CpuIsa::kBaseline), logits, requests);
  for (const CpuIsa isa : supported_isas()) EXPECT_EQ(draw(*backend_for(isa), logits, requests), want) << name(isa);
}

}  // namespace
}  // namespace kvgauge::testing
