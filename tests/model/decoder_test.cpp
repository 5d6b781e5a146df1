// The product's decoder on the CPU back end against what transformers computes in float64 (tests/golden/models):
// logits, K and V of every layer, hidden states, greedy tokens, in f32, from Hugging Face folders and GGUF, whole and
// in chunks, oneDNN and own products.
#include <gtest/gtest.h>

#include "support/decoder_golden.h"
#include "support/golden_models.h"
#include "support/golden_tensors.h"
#include "support/paths.h"

namespace kvgauge::testing {
namespace {

constexpr double kTolerance = 1e-4;  // of the specification: max|difference| <= 1e-4 max|value| in f32

CpuOptions options(bool batch_invariant, DType dtype = DType::kF32) {
  CpuOptions o;
  o.threads = 2;
  o.compute_dtype = dtype;
  o.batch_invariant = batch_invariant;
  return o;
}

#include "support/decoder_golden.h"
#include "support/golden_models.h"
#include "support/golden_tensors.h"

class DecoderGolden : public ::testing::TestWithParam<GoldenModel> {};

TEST_P(DecoderGolden, AgreesWithTransformers) {
  const GoldenTensors golden(golden_path(GetParam().golden));
  for (const std::string prefix : {"short.", "long."})
    for (const bool batch_invariant : {false, true}) {
      DecodeHarness run(golden_path(GetParam().model), options(batch_invariant), positions_of(golden, prefix));
      expect_agreement(run, golden, prefix, kTolerance);
    }
}

KVGAUGE_ON_EVERY_GOLDEN_MODEL(DecoderGolden);

// Chunks and page order must not change a bit of the cache with batch invariance, and next to nothing without.
TEST(Decoder, ChunksAndPageOrderDoNotChangeTheCache) {
  for (const char* model : {"llama31", "qwen2", "qwen3"})
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      if (dtype == DType::kBF16 && !cpu_supports_bf16()) continue;
      const auto ids = GoldenTensors(golden_path(std::string(model) + "/golden.safetensors")).ints("long.ids");
      DecodeHarness whole(golden_path(model), options(true, dtype), static_cast<std::int64_t>(ids.size()));
      whole.feed(ids);
      for (const std::int64_t chunk : {1, 5, 32, 33}) {
        DecodeHarness parts(golden_path(model), options(true, dtype), static_cast<std::int64_t>(ids.size()));
        std::rotate(parts.table.begin(), parts.table.begin() + 1, parts.table.end());
        parts.feed(ids, chunk);
        EXPECT_EQ(cache(whole, true), cache(parts, true)) << model << " chunk " << chunk;
        EXPECT_EQ(cache(whole, false), cache(parts, false)) << model << " chunk " << chunk;
        EXPECT_EQ(whole.logits(), parts.logits()) << model << " chunk " << chunk;
      }
    }
}

// bf16: inputs of every product and the cache are rounded to 8 bits of mantissa. Errors of 2^-9 relative per rounding
// add up over about 12 roundings a layer and 3 layers: sqrt(36) * 2^-9 = 1.2 %, stated with a factor of 3 for the worst
// element.
TEST(Decoder, Bf16StaysWithinItsRounding) {
  if (!cpu_supports_bf16()) GTEST_SKIP() << "bf16 products need AVX-512";
  for (const char* model : {"llama31", "qwen2", "qwen3"}) {
    const GoldenTensors golden(golden_path(std::string(model) + "/golden.safetensors"));
    const auto ids = golden.ints("long.ids");
    DecodeHarness run(golden_path(model), options(false, DType::kBF16), static_cast<std::int64_t>(ids.size()));
    run.feed(ids);
    EXPECT_LE(relative_error(cache(run, true), golden.reals("long.k")), 0.036) << model;
    EXPECT_LE(relative_error(cache(run, false), golden.reals("long.v")), 0.036) << model;
  }
}

}  // namespace
}  // namespace kvgauge::testing
