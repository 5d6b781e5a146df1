// The decoder on the emulated device against transformers in float64: the three architectures in f32, and in bf16,
// where attention runs on the tensor-core paths.
#include <gtest/gtest.h>

#include "cuda/cuda_backend.h"
#include "emulator_control.h"
#include "support/decoder_golden.h"
#include "support/paths.h"

namespace kvgauge::testing {
namespace {

class EmulatedDecoder : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    cuda::emulator::reset();
    cuda::emulator::set_executor("", {});
    cuda::emulator::set_every_order(false);
  }
  static std::filesystem::path model() { return repo_path(std::string("tests/golden/models/") + GetParam()); }
  /// Without graphs: hidden states are read between operations.
  static std::unique_ptr<Backend> device(DType dtype, bool batch_invariant) {
    return make_cuda_backend({.compute_dtype = dtype,
                              .batch_invariant = batch_invariant,
                              .graphs = false,
                              .memory = std::uint64_t{160} << 20});
  }
};

TEST_P(EmulatedDecoder, AgreesWithTransformersInF32) {
  const GoldenTensors golden(model() / "golden.safetensors");
  for (const std::string prefix : {"short.", "long."})
    for (const bool batch_invariant : {false, true}) {
      DecodeHarness run(model(), device(DType::kF32, batch_invariant), positions_of(golden, prefix));
      expect_agreement(run, golden, prefix, 1e-4);  // of the specification, as for the CPU
    }
}

// Inputs of every product, the cache, and attention's queries and weights are rounded to 8 bits of mantissa: some 14
// roundings of 2^-9 a layer, 3 layers and the head add up to sqrt(43) 2^-9 = 1.3 %, stated with a factor of 3 for the
// worst element.
TEST_P(EmulatedDecoder, StaysWithinItsRoundingInBf16) {
  const GoldenTensors golden(model() / "golden.safetensors");
  const auto ids = golden.ints("long.ids");
  DecodeHarness run(model(), device(DType::kBF16, false), static_cast<std::int64_t>(ids.size()));
  run.feed(ids);
  EXPECT_LE(relative_error(golden_logits(run, golden, "long."), golden.reals("long.logits")), 0.039);
  EXPECT_LE(relative_error(cache(run, true), golden.reals("long.k")), 0.039);
  EXPECT_LE(relative_error(cache(run, false), golden.reals("long.v")), 0.039);
}

TEST_P(EmulatedDecoder, ChunksAndPageOrderDoNotChangeABitWithBatchInvariance) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const auto ids = GoldenTensors(model() / "golden.safetensors").ints("long.ids");
    const auto positions = static_cast<std::int64_t>(ids.size());
    DecodeHarness whole(model(), device(dtype, true), positions);
    whole.feed(ids);
    for (const std::int64_t chunk : {1, 5, 33}) {
      DecodeHarness parts(model(), device(dtype, true), positions);
      std::rotate(parts.table.begin(), parts.table.begin() + 1, parts.table.end());
      parts.feed(ids, chunk);
      EXPECT_EQ(cache(whole, true), cache(parts, true)) << name(dtype) << " chunk " << chunk;
      EXPECT_EQ(cache(whole, false), cache(parts, false)) << name(dtype) << " chunk " << chunk;
      EXPECT_EQ(whole.logits(), parts.logits()) << name(dtype) << " chunk " << chunk;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, EmulatedDecoder, ::testing::Values("llama31", "llama_tied", "qwen2", "qwen3"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace kvgauge::testing
