#include <initializer_list>
#include <string>

#include "core/block_codes.h"
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
  explicit Model(std::unique_ptr<Backend> on) : backend(std::move(on)), shapes(smollm2_products()) {}
  explicit Model(DType dtype) : Model(bench::backend(dtype)) {
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

/// Random blocks of a quantized type with scales and shifts near 2^-6; keeps the first row.
class RandomBlocks final : public WeightSource {
 public:
  RandomBlocks(StoredType type, std::int64_t rows, std::int64_t columns)
      : type_(type), rows_(rows), columns_(columns) {}
  void read(std::int64_t, std::int64_t, DType, void*) override { KVGAUGE_CHECK(false, "codes are read as stored"); }
  Run stored(std::int64_t first) const override { return {.type = type_, .rows = rows_ - first}; }
  void read_stored(std::int64_t first, std::int64_t count, std::byte* out) override {
    const auto bytes = stored_bytes(type_, static_cast<std::uint64_t>(count * columns_));
    const auto block = stored_bytes(type_, static_cast<std::uint64_t>(block_elements(type_)));
    for (std::size_t at = 0; at < bytes; ++at) out[at] = static_cast<std::byte>(random_() >> 33);
    const std::size_t scale = type_ == StoredType::kQ6_K ? 208 : 0;
    for (std::size_t at = 0; at < bytes; at += block) {
      out[at + scale + 1] = std::byte{0x24};
      if (scale == 0) out[at + 3] = std::byte{0x24};  // the shift, or two codes
    }
    if (first == 0) first_row.assign(out, out + stored_bytes(type_, static_cast<std::uint64_t>(columns_)));
  }
  std::vector<std::byte> first_row;

 private:
  StoredType type_;
  std::int64_t rows_, columns_;
  std::minstd_rand random_{1};
};

/// The same weights in the codes of a quantized file.
struct CodedModel : Model {
  explicit CodedModel(StoredType type)
      : Model(make_cpu_backend({.threads = threads(), .compute_dtype = DType::kBF16, .keep_codes = true})) {
    for (const Shape& shape : shapes) {
      RandomBlocks source(type, shape.columns, shape.depth);
      weights.push_back(backend->pack_weight(shape.columns, shape.depth, source));
      products += static_cast<double>(shape.columns * shape.depth);
      first_row.resize(static_cast<std::size_t>(shape.depth));
      const std::int64_t block = block_elements(type);
      const CodeFormat format = *code_format(type);
      BlockCodes codes;
      for (std::int64_t k = 0; k < shape.depth; ++k) {
        const auto at = static_cast<std::size_t>(k % block), group = at / static_cast<std::size_t>(format.group);
        if (at == 0)
          read_block_codes(type, source.first_row.data() + stored_bytes(type, static_cast<std::uint64_t>(k)), codes);
        first_row[static_cast<std::size_t>(k)] =
            static_cast<float>(codes.codes[at] - format.offset) * codes.scale[group] +
            (format.shifted ? codes.shift[group] : 0);
      }
    }
    bytes = static_cast<double>(backend->packed_bytes());
    backend->warm_up(512, 512);
  }
};

/// @param rounding relative error of a term beside those of float sums
void run(benchmark::State& state, DType dtype, Model& model, double rounding = 0) {
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
                        : rounding > 0       ? double{to_float(narrow[k])} * double{w}
                                             : double{to_float(narrow[k])} * double{to_float(to_bf16(w))};
    want += term;
    magnitude += rounding > 0 ? std::abs(w) : std::abs(term);  // what is rounded to 8 bits errs by half a step of 1
  }
  if (!verified(state, static_cast<double>(out[0]), want, (600 * 0x1p-23 + rounding) * magnitude)) return;
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
template <StoredType kType>
void coded(benchmark::State& state) {
  static CodedModel model(kType);
  run(state, DType::kBF16, model, 0.5 / 127);
}
/// One measurement for each number of rows.
void for_rows(const char* name, void (*run)(benchmark::State&), std::initializer_list<std::int64_t> rows) {
  auto* const bench = benchmark::RegisterBenchmark((std::string("linear/smollm2_step/") + name).c_str(), run);
  bench->ArgName("rows")->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime()->UseRealTime();
  for (const std::int64_t count : rows) bench->Arg(count);
}
[[maybe_unused]] const bool registered = [] {
  for_rows("q8_0", coded<StoredType::kQ8_0>, {1, 4, 8, 16, 32, 512});
  for_rows("q4_0", coded<StoredType::kQ4_0>, {1, 16, 512});
  for_rows("q4_1", coded<StoredType::kQ4_1>, {1, 16, 512});
  for_rows("bf16", bf16, {1, 4, 8, 16, 32, 128, 512});
  for_rows("f32", f32, {1, 4, 32, 512});
  return true;
}();

}  // namespace
}  // namespace kvgauge::bench
