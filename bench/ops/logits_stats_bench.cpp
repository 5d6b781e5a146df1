#include "reference/logits_stats.h"

#include "ops_bench.h"

namespace kvgauge::bench {
namespace {

constexpr std::int64_t kVocab = 49'152;

void stats(benchmark::State& state) {
  const std::int64_t rows = state.range(0);
  const auto backend = bench::backend(DType::kF32);
  backend->warm_up(rows, 32);
  auto z = uniform_floats(static_cast<std::size_t>(rows * kVocab), 4, 12);
  std::vector<std::int32_t> row(static_cast<std::size_t>(rows)), chosen(static_cast<std::size_t>(rows), 77);
  for (std::size_t i = 0; i < row.size(); ++i) row[i] = static_cast<std::int32_t>(i);
  std::vector<TokenLogitStats> out(row.size());
  const auto run = [&] {
    backend->logits_stats(
        {.logits = {z.data(), DType::kF32, rows, kVocab, kVocab}, .rows = row, .chosen = chosen, .out = out});
  };
  run();
  const auto want = testing::reference_logits_stats({z.end() - kVocab, z.end()}, 77);
  if (!verified(state, out.back().entropy, want.entropy, 1e-4 * want.entropy)) return;
  for (auto _ : state) run();
  set_rates(state, static_cast<double>(rows * kVocab * 4), 0);
}
BENCHMARK(stats)
    ->Name("logits_stats/v49152")
    ->ArgName("rows")
    ->Arg(1)
    ->Arg(32)
    ->Unit(benchmark::kMicrosecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

void greedy_and_nucleus(benchmark::State& state) {
  const auto backend = bench::backend(DType::kF32);
  backend->warm_up(1, 32);
  auto z = uniform_floats(kVocab, 4, 12);
  const SampleRequest request{
      .temperature = state.range(0) == 0 ? 0.f : 0.6f, .top_p = state.range(0) == 0 ? 1.f : 0.95f, .seed = 1};
  std::int32_t out = -1;
  const auto run = [&] {
    backend->sample(
        {.logits = {z.data(), DType::kF32, 1, kVocab, kVocab}, .requests = {&request, 1}, .out = {&out, 1}});
  };
  run();
  if (state.range(0) == 0 && !verified(state, static_cast<double>(z[static_cast<std::size_t>(out)]),
                                       static_cast<double>(*std::max_element(z.begin(), z.end())), 0))
    return;
  for (auto _ : state) run();
  set_rates(state, static_cast<double>(kVocab * 4), 0);
}
BENCHMARK(greedy_and_nucleus)
    ->Name("sample/v49152")
    ->ArgName("nucleus")
    ->Arg(0)
    ->Arg(1)
    ->Unit(benchmark::kMicrosecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

}  // namespace
}  // namespace kvgauge::bench
