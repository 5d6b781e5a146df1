#include "ops_bench.h"

namespace kvgauge::bench {
namespace {

struct Shape {
  std::int64_t columns, depth;
};

/// All products of one step of SmolLM2-135M: qkv, o, gate+up and down of 30 layers, then the head.
std::vector<Shape> smollm2_products() {
  std::vector<Shape> shapes;
  for (int layer = 0; layer < 30; ++layer)
    for (const Shape shape : {Shape{960, 576}, Shape{576, 576}, Shape{3072, 576}, Shape{576, 1536}})
      shapes.push_back(shape);
  shapes.push_back({49'152, 576});
  return shapes;
}

/// Weights of the whole model, so that a step reads them from memory as decoding does.
struct Model {
  explicit Model(DType dtype) : backend(bench::backend(dtype)), shapes(smollm2_products()) {
    const auto values = uniform_floats(4'000'037, 1, 0.1f);
    for (const Shape& shape : shapes) {
      weights.push_back(
          pack_made(*backend, shape.columns, shape.depth, [&](std::int64_t first, std::int64_t count, void* out) {
            for (std::int64_t i = 0; i < count * shape.depth; ++i) {
              const float value = values[static_cast<std::size_t>((first * shape.depth + i) % std::ssize(values))];
              if (dtype == DType::kF32) {
                static_cast<float*>(out)[i] = value;
              } else {
                static_cast<bf16_t*>(out)[i] = to_bf16(value);
              }
            }
          }));
      bytes += static_cast<double>(shape.columns * shape.depth) * static_cast<double>(size_of(dtype));
      products += static_cast<double>(shape.columns * shape.depth);
    }
    backend->warm_up(512, 512);
    first_row.assign(values.begin(), values.begin() + 1536);
  }
  std::unique_ptr<Backend> backend;
  std::vector<Shape> shapes;
  std::vector<PackedWeight> weights;
  std::vector<float> first_row;  ///< of every weight, before rounding
  double bytes = 0, products = 0;
};

void run(benchmark::State& state, DType dtype, Model& model) {
  const std::int64_t rows = state.range(0);
  const auto values = uniform_floats(static_cast<std::size_t>(rows * 1536), 2);
  std::vector<bf16_t> narrow;
  for (const float x : values) narrow.push_back(to_bf16(x));
  std::vector<float> out(static_cast<std::size_t>(rows * 49'152));
  const auto step = [&] {
    for (std::size_t i = 0; i < model.shapes.size(); ++i) {
      const auto [columns, depth] = model.shapes[i];
      void* x = dtype == DType::kF32 ? static_cast<void*>(const_cast<float*>(values.data())) : narrow.data();
      model.backend->linear({.x = {x, dtype, rows, depth, depth},
                             .weight = model.weights[i],
                             .out = {out.data(), DType::kF32, rows, columns, columns}});
    }
  };
  step();
  double want = 0, magnitude = 0;  // row 0, feature 0 of the head, which was computed last
  for (std::size_t k = 0; k < 576; ++k) {
    const float w = model.first_row[k];
    const double term = dtype == DType::kF32 ? double{values[k]} * double{w}
                                             : double{to_float(narrow[k])} * double{to_float(to_bf16(w))};
    want += term;
    magnitude += std::abs(term);
  }
  if (!verified(state, static_cast<double>(out[0]), want, 600 * 0x1p-23 * magnitude)) return;
  for (auto _ : state) step();
  set_rates(state, model.bytes, 2 * static_cast<double>(rows) * model.products);
}

void bf16(benchmark::State& state) {
  static Model model(DType::kBF16);
  run(state, DType::kBF16, model);
}
void f32(benchmark::State& state) {
  static Model model(DType::kF32);
  run(state, DType::kF32, model);
}
BENCHMARK(bf16)
    ->Name("linear/smollm2_step/bf16")
    ->ArgName("rows")
    ->Arg(1)
    ->Arg(4)
    ->Arg(8)
    ->Arg(16)
    ->Arg(32)
    ->Arg(128)
    ->Arg(512)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime();
BENCHMARK(f32)
    ->Name("linear/smollm2_step/f32")
    ->ArgName("rows")
    ->Arg(1)
    ->Arg(4)
    ->Arg(32)
    ->Arg(512)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

}  // namespace
}  // namespace kvgauge::bench
