#include "reference/mlp.h"

#include "ops_bench.h"

namespace kvgauge::bench {
namespace {

constexpr std::int64_t kBatch = 1024, kHidden = 512, kExamples = 8192;

/// One batch of training, of rows all over a matrix: forward, backward, a step of Adam. FLOP/s counts the two large
/// products, which are all of its work to within a few percent.
void batch(benchmark::State& state) {
  const std::int64_t features = state.range(0), count = kHidden * (features + 2) + 1;
  const auto backend = bench::backend(DType::kF32);
  auto examples = uniform_floats(static_cast<std::size_t>(kExamples * features), 1);
  auto parameters = uniform_floats(static_cast<std::size_t>(count), 2, 1 / std::sqrt(static_cast<float>(features)));
  std::vector<float> labels(kExamples, 75), out(kBatch), mean(static_cast<std::size_t>(features), 0.1f),
      deviation(mean.size(), 0.6f), gradients(parameters.size()), m(parameters.size()), v(parameters.size());
  const Buffer workspace(mlp_workspace_bytes(kBatch, features, kHidden));
  std::vector<std::int32_t> rows(kBatch);
  std::mt19937_64 random(3);
  for (std::int32_t& row : rows) row = static_cast<std::int32_t>(random() % kExamples);

  const auto part = [&](std::vector<float>& of, std::int64_t at) { return of.data() + at; };
  const std::int64_t b1 = kHidden * features, w2 = b1 + kHidden, b2 = w2 + kHidden;
  const MlpForwardArgs forward{.features = {examples.data(), DType::kF32, kExamples, features, features},
                               .rows = rows,
                               .head = {.w1 = part(parameters, 0),
                                        .b1 = part(parameters, b1),
                                        .w2 = part(parameters, w2),
                                        .b2 = part(parameters, b2),
                                        .hidden = kHidden,
                                        .mean = mean.data(),
                                        .deviation = deviation.data()},
                               .workspace = workspace.data(),
                               .out = out.data()};
  backend->mlp_forward(forward);
  testing::MlpReference net{static_cast<std::size_t>(features), kHidden, {}, {}, {}, double{parameters.back()}};
  net.w1.assign(parameters.begin(), parameters.begin() + b1);
  net.b1.assign(parameters.begin() + b1, parameters.begin() + w2);
  net.w2.assign(parameters.begin() + w2, parameters.begin() + b2);
  std::vector<double> x;
  for (std::int64_t c = 0; c < features; ++c)
    x.push_back((double{examples[static_cast<std::size_t>(rows[7] * features + c)]} - double{0.1f}) / double{0.6f});
  const auto want = testing::reference_mlp_forward(net, x);
  if (!verified(state, static_cast<double>(out[7]), want.out,
                static_cast<double>(features + 8) * 0x1p-24 * want.out_size))
    return;

  double total = 0;
  std::int64_t step = 0;
  for (auto _ : state) {
    backend->mlp_forward(forward);
    backend->mlp_backward({.forward = forward,
                           .labels = labels.data(),
                           .loss = {},
                           .share = 1.0 / kBatch,
                           .w1 = part(gradients, 0),
                           .b1 = part(gradients, b1),
                           .w2 = part(gradients, w2),
                           .b2 = part(gradients, b2),
                           .total = &total});
    backend->mlp_step({.parameters = parameters.data(),
                       .gradients = gradients.data(),
                       .m = m.data(),
                       .v = v.data(),
                       .count = count,
                       .step = ++step});
  }
  set_rates(state, static_cast<double>(kBatch * features) * sizeof(float),
            4.0 * static_cast<double>(kBatch * features * kHidden));
}
BENCHMARK(batch)
    ->Name("mlp/batch_1024/hidden_512")
    ->ArgName("features")
    ->Arg(128)
    ->Arg(512)
    ->Arg(2048)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

}  // namespace
}  // namespace kvgauge::bench
