#include "reference/kv_trajectory.h"

#include "ops_bench.h"

namespace kvgauge::bench {
namespace {

constexpr int kKvHeads = 3, kHeadDim = 64, kLayers = 30;  // SmolLM2-135M

std::vector<double> point(const Pages& pages, std::int64_t position) {
  std::vector<std::vector<double>> layers(kLayers);
  for (int layer = 0; layer < kLayers; ++layer)
    for (int head = 0; head < kKvHeads; ++head)
      for (int j = 0; j < kHeadDim; ++j)
        layers[static_cast<std::size_t>(layer)].push_back(pages.at(true, layer, position, head, j));
  return testing::reference_trajectory_point(layers);
}

/// `tokens` positions a call: 1 is what a decoding sequence pays for each token.
void smollm2(benchmark::State& state) {
  const std::int64_t tokens = state.range(0), span = 8'192;
  const Pages pages(kLayers, kKvHeads, kHeadDim, span, DType::kBF16);
  const auto backend = bench::backend(DType::kBF16);
  backend->warm_up(1, span);
  const auto trajectory = backend->make_trajectory(kKvHeads * kHeadDim, span);
  std::int64_t position = 0;
  const auto run = [&] {
    if (position + tokens > span) {
      position = 0;
      trajectory->restart();
    }
    const TrajectoryItem item{
        .blocks = pages.table.data(), .begin = position, .end = position + tokens, .state = trajectory.get()};
    backend->kv_trajectory({.pages = pages.view, .spec = {}, .items = {&item, 1}});
    position += tokens;
  };
  run();
  run();
  const TrajectorySteps steps = backend->read_steps(*trajectory);
  const auto want = testing::reference_trajectory_step(point(pages, 1), point(pages, 0));
  if (!verified(state, static_cast<double>(steps.dr[0]), want.dr, 1e-5) ||
      !verified(state, static_cast<double>(steps.dtheta[0]), want.dtheta, 1e-5))
    return;
  for (auto _ : state) run();
  set_rates(state, static_cast<double>(tokens * kLayers * kKvHeads * kHeadDim * 2), 0);
}
BENCHMARK(smollm2)
    ->Name("kv_trajectory/smollm2/bf16")
    ->ArgName("tokens")
    ->Arg(1)
    ->Arg(256)
    ->Arg(2048)
    ->Unit(benchmark::kMicrosecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

}  // namespace
}  // namespace kvgauge::bench

BENCHMARK_MAIN();
