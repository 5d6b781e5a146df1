// The headline property: with batch invariance, tokens and scores of a request are bit-identical whatever the engine
// does around it: chunked prefill, batch composition, page order, prefix hits, preemption, forks.
#include <gtest/gtest.h>

#include <bit>
#include <cstdio>
#include <map>
#include <random>

#include "cpu/cpu_backend.h"
#include "kvgauge/engine.h"
#include "kvgauge/error.h"
#include "loader/model_config.h"
#include "property/request_pool.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

constexpr std::size_t kPool = 40;
constexpr std::int64_t kContext = 192;

std::uint64_t bits(double x) { return std::bit_cast<std::uint64_t>(x); }

// Everything of an answer that must not depend on its surroundings, as words that compare bit by bit.
std::vector<std::uint64_t> fingerprint(const Finished& finished) {
  std::vector<std::uint64_t> words = {finished.answers.size(), finished.error.size()};
  if (finished.eigenscore)
    words.insert(words.end(), {bits(finished.eigenscore->hidden), bits(finished.eigenscore->kv)});
  for (const Answer& answer : finished.answers) {
    words.push_back(static_cast<std::uint64_t>(answer.finish_reason));
    for (const char c : answer.text) words.push_back(static_cast<unsigned char>(c));
    for (const std::int32_t token : answer.tokens) words.push_back(static_cast<std::uint64_t>(token));
    if (answer.kv_coe) {
      const KvCoeScores& s = *answer.kv_coe;
      words.push_back(static_cast<std::uint64_t>(s.tokens));
      for (const double x : {s.paper_r, s.paper_c, s.normalized_r, s.normalized_c, s.normalized_cart_c, s.diff_r,
                             s.polar_raw_c, s.mean_dr, s.mean_dtheta, s.end_dr, s.end_dtheta})
        words.push_back(bits(x));
    }
    if (answer.coe)
      for (const CoePair& pair : {answer.coe->official, answer.coe->fixed, answer.coe->response})
        words.insert(words.end(), {bits(pair.r), bits(pair.c)});
    for (const float x : answer.dr) words.push_back(std::bit_cast<std::uint32_t>(x));
    for (const float x : answer.dtheta) words.push_back(std::bit_cast<std::uint32_t>(x));
    if (answer.prob) {
      const ProbScores& s = *answer.prob;
      words.push_back(static_cast<std::uint64_t>(s.tokens));
      for (const double x : {s.maxprob_official, s.ppl_official, s.entropy_official, s.nll, s.perplexity, s.seq_logprob,
                             s.entropy_nats, s.min_prob, s.margin, s.self_certainty})
        words.push_back(bits(x));
    }
  }
  return words;
}

EngineOptions base_options(const std::string& model, const std::string& dtype, const std::string& device) {
  EngineOptions options;
  options.model = testing::repo_path("tests/golden/models/" + model);
  options.device = device;
  options.dtype = dtype;
  options.threads = 2;
  options.batch_invariant = true;
  options.max_model_len = kContext;
  options.kv_memory = 0;
  return options;
}

// One request after another, nothing shared: what every schedule must reproduce.
std::vector<std::vector<std::uint64_t>> alone(EngineOptions options, const std::vector<Request>& pool) {
  options.prefix_cache = false;
  options.max_batch = 4;
  Engine engine(options);
  std::vector<std::vector<std::uint64_t>> prints;
  for (const Request& request : pool) {
    engine.submit(request);
    while (engine.step()) {
    }
    const auto done = engine.next_finished();
    EXPECT_TRUE(done && done->error.empty()) << (done ? done->error : "nothing finished");
    prints.push_back(fingerprint(*done));
  }
  return prints;
}

struct Totals {
  std::int64_t schedules = 0, requests = 0, preemptions = 0, cached = 0, forks = 0, mismatches = 0;
};

void run_schedule(std::uint64_t seed, const EngineOptions& base, const std::vector<Request>& pool,
                  const std::vector<std::vector<std::uint64_t>>& want, std::int64_t block_bytes, Totals& totals) {
  std::mt19937_64 random(seed);
  const auto below = [&](std::int64_t n) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n));
  };
  EngineOptions options = base;
  options.threads = 1 + static_cast<int>(below(2));
  options.max_batch = 1 + below(8);
  options.step_tokens = 1 + (below(3) == 0 ? below(8) : below(96));
  options.chunk_tokens = 1 + (below(3) == 0 ? below(8) : below(96));
  options.prefix_cache = below(4) != 0;
  // From just enough for one sequence (preemption all the time) to plenty.
  options.kv_memory =
      static_cast<std::uint64_t>(block_bytes * (kContext / 32 + (below(2) == 0 ? below(3) : below(16))));
  Engine engine(options);

  std::map<std::int64_t, std::size_t> submitted;  // request number -> pool index
  std::int64_t left = 4 + below(8);
  const auto collect = [&] {
    while (const auto done = engine.next_finished()) {
      const std::size_t index = submitted.at(done->request);
      totals.cached += done->cached_tokens;
      totals.forks += static_cast<std::int64_t>(done->answers.size()) - 1;
      if (fingerprint(*done) != want[index]) {
        ++totals.mismatches;
        ADD_FAILURE() << base.model.filename() << " " << base.dtype << ": request " << index
                      << " differs under schedule seed " << seed << " " << done->error;
      }
      submitted.erase(done->request);
    }
  };
  for (std::int64_t guard = 0; left > 0 || engine.unfinished() > 0; ++guard) {
    ASSERT_LT(guard, 20'000) << "no end under schedule seed " << seed;
    if (left > 0 && (engine.unfinished() == 0 || below(2) == 0)) {
      const auto index = static_cast<std::size_t>(below(kPool));
      submitted.emplace(engine.submit(pool[index]), index);
      ++totals.requests;
      --left;
    }
    engine.step();
    collect();
  }
  EXPECT_TRUE(submitted.empty());
  if (!options.prefix_cache) {
    EXPECT_EQ(engine.stats().free_blocks, engine.stats().blocks) << "a page leaked, schedule seed " << seed;
  }
  totals.preemptions += engine.stats().preemptions;
  ++totals.schedules;
}

class GaugeSchedule : public ::testing::TestWithParam<const char*> {};

TEST_P(GaugeSchedule, TokensAndScoresAreBitIdenticalUnderAnySchedule) {
  const std::string model = GetParam();
  const std::uint64_t seed = testing::test_seed(20260 + static_cast<std::uint64_t>(model.back()) + 256 * model.size());
  Totals totals;
  for (const std::string dtype : {"f32", "bf16"}) {
    if (dtype == "bf16" && !cpu_supports_bf16()) continue;
    const EngineOptions base = base_options(model, dtype, "cpu");
    Engine probe(base);
    const std::vector<Request> pool =
        testing::request_pool(seed, kPool, static_cast<std::int32_t>(probe.config().vocab));
    const auto want = alone(base, pool);
    const auto block_bytes = static_cast<std::int64_t>(probe.stats().kv_bytes) / probe.stats().blocks;
    const int schedules = dtype == "f32" ? 170 : 80;  // 250 a model, four models: a thousand
    for (int i = 0; i < schedules && totals.mismatches < 3; ++i)
      run_schedule(seed * 1000 + static_cast<std::uint64_t>(i), base, pool, want, block_bytes, totals);
  }
  std::printf("%s: %lld schedules, %lld requests, %lld preemptions, %lld cached tokens, %lld forks\n", model.c_str(),
              static_cast<long long>(totals.schedules), static_cast<long long>(totals.requests),
              static_cast<long long>(totals.preemptions), static_cast<long long>(totals.cached),
              static_cast<long long>(totals.forks));
  EXPECT_EQ(totals.mismatches, 0);
  EXPECT_GT(totals.preemptions, 50);  // the schedules really did what the property is about
  EXPECT_GT(totals.cached, 1000);
  EXPECT_GT(totals.forks, 50);
}

#if defined(KVGAUGE_EMULATED)
// The same on the emulated device: fewer schedules, because every thread of every kernel is a fibre.
TEST(GaugeScheduleEmulated, TokensAndScoresAreBitIdenticalUnderAnySchedule) {
  const std::uint64_t seed = testing::test_seed(777);
  Totals totals;
  for (const std::string dtype : {"f32", "bf16"}) {
    const EngineOptions base = base_options("llama31", dtype, "emulated");
    Engine probe(base);
    const std::vector<Request> pool =
        testing::request_pool(seed, kPool, static_cast<std::int32_t>(probe.config().vocab));
    const auto block_bytes = static_cast<std::int64_t>(probe.stats().kv_bytes) / probe.stats().blocks;
    const auto want = alone(base, pool);
    for (int i = 0; i < 4; ++i)
      run_schedule(seed * 1000 + static_cast<std::uint64_t>(i), base, pool, want, block_bytes, totals);
  }
  EXPECT_EQ(totals.mismatches, 0);
  EXPECT_GT(totals.preemptions + totals.forks, 0);
}
#endif

INSTANTIATE_TEST_SUITE_P(Models, GaugeSchedule, ::testing::Values("llama31", "llama_tied", "qwen2", "qwen3"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace kvgauge
