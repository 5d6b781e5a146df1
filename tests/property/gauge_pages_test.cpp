// For identical KV bytes a score is bit-identical, with or without batch invariance: gauged online after every chunk,
// or after the fact in one go, or from the same bytes on other pages, or on another instruction set.
#include <gtest/gtest.h>

#include <bit>
#include <numeric>
#include <random>

#include "core/buffer.h"
#include "gauge/trajectory_gauge.h"
#include "support/decode_harness.h"
#include "support/paths.h"

namespace kvgauge::testing {
namespace {

std::vector<std::uint64_t> bits_of(std::int64_t points, const TrajectorySteps& steps, const TrajectorySums& sums) {
  std::vector<std::uint64_t> words = {static_cast<std::uint64_t>(points)};
  for (const float x : steps.dr) words.push_back(std::bit_cast<std::uint32_t>(x));
  for (const float x : steps.dtheta) words.push_back(std::bit_cast<std::uint32_t>(x));
  for (const double x : {sums.sum_dr, sums.sum_dtheta, sums.end_dr, sums.end_dtheta, sums.sum_m_cos_a, sums.sum_m_sin_a,
                         sums.sum_dr_cos, sums.sum_dr_sin})
    words.push_back(std::bit_cast<std::uint64_t>(x));
  return words;
}

std::vector<std::uint64_t> gauge_at_once(Backend& backend, const PagedKvView& pages,
                                         const std::vector<std::int32_t>& table, PositionRange range, GaugePart part) {
  const std::int64_t values = (part == GaugePart::kKV ? 2 : 1) * pages.kv_heads * pages.head_dim;
  const auto state = backend.make_trajectory(values, range.end - range.begin);
  const TrajectoryItem item{.blocks = table.data(), .begin = range.begin, .end = range.end, .state = state.get()};
  backend.kv_trajectory({.pages = pages, .spec = {.part = part, .layers = {}}, .items = {&item, 1}});
  return bits_of(state->points(), backend.read_steps(*state), backend.read_trajectory(*state));
}

TEST(GaugePages, TheSameBytesGiveTheSameBitsHoweverTheyAreRead) {
  const std::uint64_t seed = test_seed(77);
  std::mt19937_64 random(seed);
  const auto below = [&](std::int64_t n) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n));
  };
  int runs = 0;
  for (const char* model : {"llama31", "qwen2", "qwen3"})
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      if (dtype == DType::kBF16 && !cpu_supports_bf16()) continue;
      CpuOptions options;
      options.threads = 2;
      options.compute_dtype = dtype;
      for (int i = 0; i < 40; ++i, ++runs) {
        const std::int64_t positions = 2 + below(180), prompt = 1 + below(positions);
        const auto part = static_cast<GaugePart>(below(3));
        const auto span = static_cast<GaugeSpan>(below(4));
        DecodeHarness run(repo_path(std::string("tests/golden/models/") + model), options, positions);
        std::shuffle(run.table.begin(), run.table.end(), random);
        std::vector<std::int32_t> ids;
        for (std::int64_t t = 0; t < positions; ++t)
          ids.push_back(static_cast<std::int32_t>(below(run.files.config().vocab)));
        const std::int64_t values = (part == GaugePart::kKV ? 2 : 1) * run.layout.kv_heads * run.layout.head_dim;
        TrajectoryGauge online(span, prompt, positions, values);
        for (std::int64_t at = 0; at < positions;) {
          const std::int64_t chunk = std::min(positions - at, 1 + (below(2) == 0 ? below(3) : below(70)));
          run.feed(std::span(ids).subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(chunk)));
          at += chunk;
          if (const auto item = online.advance(run.backend, at, 0, run.table.data()))
            run.backend.kv_trajectory(
                {.pages = run.storage.view(), .spec = {.part = part, .layers = {}}, .items = {&*item, 1}});
        }
        const PositionRange range = span_positions(span, prompt, positions);
        const auto want = bits_of(online.points(), online.read_steps(run.backend), online.read(run.backend));
        ASSERT_EQ(online.points(), range.end - range.begin);
        ASSERT_EQ(want, gauge_at_once(run.backend, run.storage.view(), run.table, range, part))
            << model << " seed " << seed << " run " << i;

        // The same bytes elsewhere: twice as many pages, copied to a random half of them.
        const auto blocks = static_cast<std::int32_t>(run.table.size());
        Buffer memory(static_cast<std::size_t>(2 * blocks * run.layout.block_bytes()));
        PageStorage elsewhere(run.layout, 2 * blocks, memory.data());
        std::vector<std::int32_t> places(static_cast<std::size_t>(2 * blocks));
        std::iota(places.begin(), places.end(), 0);
        std::shuffle(places.begin(), places.end(), random);
        places.resize(static_cast<std::size_t>(blocks));
        const PagedKvView from = run.storage.view(), to = elsewhere.view();
        for (int l = 0; l < run.layout.layers; ++l)
          for (std::size_t b = 0; b < places.size(); ++b)  // K tiles and V tiles of a block are neighbours
            std::memcpy(to.k(l, places[b], 0, 0), from.k(l, run.table[b], 0, 0),
                        static_cast<std::size_t>(run.layout.layer_block_bytes()));
        ASSERT_EQ(want, gauge_at_once(run.backend, to, places, range, part));
        for (const CpuIsa isa : supported_isas()) {
          CpuOptions other = options;
          other.isa = isa;
          other.threads = 1;
          if (dtype == DType::kBF16)
            other.compute_dtype = DType::kF32;  // gauges read pages of any type on every instruction set
          const auto backend = make_cpu_backend(other);
          ASSERT_EQ(want, gauge_at_once(*backend, to, places, range, part)) << name(isa);
        }
      }
    }
  EXPECT_GE(runs, 120);
}

// What `span` means, spelled out once more and apart from the product.
TEST(GaugePages, SpansCoverThePositionsTheySay) {
  EXPECT_EQ(span_positions(GaugeSpan::kResponse, 5, 9).begin, 5);
  EXPECT_EQ(span_positions(GaugeSpan::kResponse, 5, 9).end, 9);
  EXPECT_EQ(span_positions(GaugeSpan::kResponse, 5, 3).end, 5);  // still in the prompt: empty
  EXPECT_EQ(span_positions(GaugeSpan::kBoundary, 5, 9).begin, 4);
  EXPECT_EQ(span_positions(GaugeSpan::kAll, 5, 9).begin, 0);
  EXPECT_EQ(span_positions(GaugeSpan::kAll, 5, 9).end, 9);
  EXPECT_EQ(span_positions(GaugeSpan::kPrompt, 5, 9).end, 5);
  EXPECT_EQ(span_positions(GaugeSpan::kPrompt, 5, 3).end, 3);
}

}  // namespace
}  // namespace kvgauge::testing
