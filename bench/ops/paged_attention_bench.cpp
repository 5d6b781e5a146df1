#include "ops_bench.h"
#include "reference/paged_attention.h"

namespace kvgauge::bench {
namespace {

constexpr int kHeads = 9, kKvHeads = 3, kHeadDim = 64, kLayers = 30;  // SmolLM2-135M

/// All layers of one step: `rows` new tokens behind `context` earlier ones.
void smollm2(benchmark::State& state) {
  const std::int64_t rows = state.range(0), context = state.range(1);
  const Pages pages(kLayers, kKvHeads, kHeadDim, context + rows, DType::kBF16);
  const auto backend = bench::backend(DType::kBF16);
  backend->warm_up(rows, context + rows);
  auto q = uniform_floats(static_cast<std::size_t>(rows * kHeads * kHeadDim), 3, 3);
  std::vector<float> out(q.size());
  const SequenceSlice slice{.first_row = 0, .rows = rows, .first_position = context, .blocks = pages.table.data()};
  const auto step = [&] {
    for (int layer = 0; layer < kLayers; ++layer)
      backend->paged_attention({.q = {q.data(), DType::kF32, rows, kHeads * kHeadDim, kHeads * kHeadDim},
                                .heads = kHeads,
                                .scale = 0.125f,
                                .sequences = {&slice, 1},
                                .layer = layer,
                                .pages = pages.view,
                                .out = {out.data(), DType::kF32, rows, kHeads * kHeadDim, kHeads * kHeadDim}});
  };
  step();
  std::vector<std::vector<double>> keys, values;
  for (std::int64_t t = 0; t < context + rows; ++t) {
    keys.emplace_back();
    values.emplace_back();
    for (int j = 0; j < kHeadDim; ++j) {
      keys.back().push_back(pages.at(false, kLayers - 1, t, kKvHeads - 1, j));
      values.back().push_back(pages.at(true, kLayers - 1, t, kKvHeads - 1, j));
    }
  }
  const std::vector<double> last(q.end() - kHeadDim, q.end());
  const auto want = testing::reference_attention(last, keys, values, 0.125);
  for (int j = 0; j < kHeadDim; ++j)
    if (!verified(state, static_cast<double>(out[out.size() - kHeadDim + static_cast<std::size_t>(j)]),
                  want[static_cast<std::size_t>(j)], 1e-3))
      return;
  for (auto _ : state) step();
  const double seen =
      static_cast<double>(rows) * static_cast<double>(context) + static_cast<double>(rows * (rows + 1)) / 2;
  set_rates(state, static_cast<double>((context + rows) * kLayers * kKvHeads * kHeadDim * 2 * 2),
            seen * kLayers * kHeads * kHeadDim * 4);
}
BENCHMARK(smollm2)
    ->Name("paged_attention/smollm2_step/bf16")
    ->ArgNames({"rows", "context"})
    ->Args({1, 128})
    ->Args({1, 1024})
    ->Args({1, 4096})
    ->Args({512, 0})
    ->Args({512, 1536})
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

}  // namespace
}  // namespace kvgauge::bench
