// The double-precision reference decoder against transformers in float64 (tests/golden/models), from Hugging Face
// folders and GGUF.
#include <gtest/gtest.h>

#include <algorithm>

#include "reference/decoder.h"
#include "support/golden_models.h"
#include "support/golden_tensors.h"
#include "support/paths.h"

namespace kvgauge::testing {
namespace {

// Both sides compute in double. The goldens are rounded to f32 (half an ulp: 6e-8 of max|value|). GGUF holds eps and
// the rope factors as f32: factors below 8 turn at most 91 * 0.3 rad, off by 6e-8 of it, so K by up to 1.6e-6; three
// layers and the head may double it.
constexpr double kTolerance = 4e-6;

/// [KV heads, tokens, dim], transformers' order, of every layer, from the reference's [tokens, KV heads, dim].
std::vector<double> by_head(const std::vector<std::vector<double>>& layers, std::int64_t tokens,
                            const ModelConfig& config) {
  std::vector<double> out;
  for (const auto& layer : layers)
    for (std::int64_t h = 0; h < config.kv_heads; ++h)
      for (std::int64_t t = 0; t < tokens; ++t) {
        const auto row = layer.begin() + (t * config.kv_heads + h) * config.head_dim;
        out.insert(out.end(), row, row + config.head_dim);
      }
  return out;
}

std::vector<double> concatenated(const std::vector<std::vector<double>>& parts) {
  std::vector<double> out;
  for (const auto& part : parts) out.insert(out.end(), part.begin(), part.end());
  return out;
}

void expect_golden_prompt(const ReferenceDecoder& decoder, const GoldenTensors& golden, const std::string& prefix) {
  const auto ids = golden.ints(prefix + "ids");
  std::vector<double> logits;
  ReferenceState state = decoder.run(ids, &logits);
  const auto want = golden.reals(prefix + "logits");
  ASSERT_LE(want.size(), logits.size());
  const std::vector<double> last_rows(logits.end() - static_cast<std::ptrdiff_t>(want.size()), logits.end());
  EXPECT_LE(relative_error(last_rows, want), kTolerance) << prefix << "logits";
  if (golden.has(prefix + "k")) {
    EXPECT_LE(relative_error(by_head(state.k, state.tokens, decoder.config()), golden.reals(prefix + "k")), kTolerance)
        << prefix << "k";
    EXPECT_LE(relative_error(by_head(state.v, state.tokens, decoder.config()), golden.reals(prefix + "v")), kTolerance)
        << prefix << "v";
    EXPECT_LE(relative_error(concatenated(state.hidden), golden.reals(prefix + "hidden")), kTolerance)
        << prefix << "hidden";
  }
  std::vector<std::int32_t> greedy;
  const auto want_greedy = golden.ints(prefix + "greedy");
  while (greedy.size() < want_greedy.size()) {
    greedy.push_back(
        static_cast<std::int32_t>(std::max_element(state.logits.begin(), state.logits.end()) - state.logits.begin()));
    decoder.step(state, greedy.back());
  }
  EXPECT_EQ(greedy, want_greedy) << prefix;
}

class ReferenceDecoderGolden : public ::testing::TestWithParam<GoldenModel> {};

TEST_P(ReferenceDecoderGolden, AgreesWithTransformersInFloat64) {
  const ReferenceDecoder decoder(ModelFiles::open(golden_path(GetParam().model)));
  const GoldenTensors golden(golden_path(GetParam().golden));
  expect_golden_prompt(decoder, golden, "short.");
  expect_golden_prompt(decoder, golden, "long.");
}

KVGAUGE_ON_EVERY_GOLDEN_MODEL(ReferenceDecoderGolden);

// The spelling of transformers 4 (rope_theta, rope_scaling, torch_dtype) means the same model.
TEST(ReferenceDecoder, ReadsTheConfigStyleOfTransformers4) {
  const TempDir copy;
  for (const char* file : {"model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json"})
    std::filesystem::copy_file(golden_path("llama31") / file, copy.path() / file);
  std::filesystem::copy_file(golden_path("llama31/config.transformers4.json"), copy.path() / "config.json");
  const ReferenceDecoder decoder(ModelFiles::open(copy.path()));
  expect_golden_prompt(decoder, GoldenTensors(golden_path("llama31/golden.safetensors")), "long.");
}

}  // namespace
}  // namespace kvgauge::testing
