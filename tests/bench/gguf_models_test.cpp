#include "models/gguf_models.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "core/mapped_file.h"
#include "kvgauge/error.h"
#include "loader/gguf.h"
#include "loader/model_files.h"
#include "model/step_costs.h"
#include "models/gguf_output.h"
#include "models/narrow.h"
#include "support/paths.h"
#include "text/tokenizer.h"

namespace kvgauge::bench {
namespace {

/// A model of the given family, small enough for a test.
ModelConfig small(const char* shape) {
  ModelConfig config = shape_of(shape);
  config.layers = 2;
  config.hidden = 256;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 64;
  config.intermediate = 512;
  config.vocab = 320;
  config.max_positions = 512;
  return config;
}

std::vector<float> values_of(const StoredTensor& t) {
  std::vector<float> values(static_cast<std::size_t>(t.rows * t.columns));
  widen(t.type, t.data.data(), t.rows * t.columns, values.data());
  return values;
}

TEST(GgufModels, EveryFamilyAndTypeOpensAsAModelOfTheSameWeights) {
  const testing::TempDir folder;
  for (const char* shape : {"smollm2-135m", "qwen2.5-0.5b", "qwen3-0.6b", "llama-3.1-8b"}) {
    const ModelConfig config = small(shape);
    write_random_model(folder.path() / "f32.gguf", config, StoredType::kF32, 7);
    const auto reference = ModelFiles::open(folder.path() / "f32.gguf");
    for (const StoredType type : written_types()) {
      SCOPED_TRACE(std::string(shape) + " " + name(type));
      write_random_model(folder.path() / "m.gguf", config, type, 7);
      const auto model = ModelFiles::open(folder.path() / "m.gguf");
      EXPECT_EQ(model.config().architecture, config.architecture);
      EXPECT_EQ(model.config().layers, 2);
      EXPECT_EQ(model.config().vocab, 320);
      EXPECT_EQ(model.config().tied_head, config.tied_head);
      EXPECT_EQ(model.config().qk_norm, config.qk_norm);
      EXPECT_EQ(model.config().qkv_bias, config.qkv_bias);
      EXPECT_FLOAT_EQ(static_cast<float>(model.config().rope_theta), static_cast<float>(config.rope_theta));
      EXPECT_FLOAT_EQ(static_cast<float>(model.config().rms_norm_eps), static_cast<float>(config.rms_norm_eps));
      const StoredTensor& gate = model.tensor(TensorRole::kGate, 1);
      EXPECT_EQ(gate.type, type);
      EXPECT_EQ(model.tensor(TensorRole::kFfnNorm, 0).type, StoredType::kF32);
      const auto want = values_of(reference.tensor(TensorRole::kGate, 1)), got = values_of(gate);
      ASSERT_EQ(got.size(), want.size());
      // 0.02 N(0, 1): 32 of them reach 5 deviations at most, and the coarsest step (Q4_0) is an eighth of that.
      for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], 0.1 / 8);
    }
  }
}

TEST(GgufModels, WeightsAreNormalAndFollowTheSeed) {
  const testing::TempDir folder;
  const auto path = folder.path() / "m.gguf";
  const auto gate = [&](std::uint64_t seed, std::int64_t layer) {
    write_random_model(path, small("smollm2-135m"), StoredType::kF32, seed);
    return values_of(ModelFiles::open(path).tensor(TensorRole::kGate, layer));
  };
  const auto a = gate(1, 0), again = gate(1, 0), other_seed = gate(2, 0), other_layer = gate(1, 1);
  EXPECT_EQ(a, again);
  double sum = 0, square = 0, fourth = 0, across_seeds = 0, across_layers = 0, neighbours = 0;
  const auto n = static_cast<double>(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = a[i] / 0.02;
    sum += x;
    square += x * x;
    fourth += x * x * x * x;
    across_seeds += x * other_seed[i] / 0.02;
    across_layers += x * other_layer[i] / 0.02;
    neighbours += i > 0 ? x * a[i - 1] / 0.02 : 0;
  }
  const double five = 5 / std::sqrt(n);  // standard errors of a mean of n unit-variance terms
  EXPECT_NEAR(sum / n, 0, five);
  EXPECT_NEAR(square / n, 1, five * std::sqrt(2.0));
  EXPECT_NEAR(fourth / n, 3, five * std::sqrt(96.0));
  EXPECT_NEAR(across_seeds / n, 0, five);
  EXPECT_NEAR(across_layers / n, 0, five);
  EXPECT_NEAR(neighbours / n, 0, five);
}

TEST(GgufModels, TheByteVocabularyWritesAnyText) {
  const testing::TempDir folder;
  write_random_model(folder.path() / "m.gguf", small("qwen3-0.6b"), StoredType::kF16, 0);
  const auto model = ModelFiles::open(folder.path() / "m.gguf");
  const Tokenizer tokenizer(model.tokenizer());
  const std::string text = "then, \n\t\xc3\xa9 \xe4\xb8\xad\xf0\x9f\x99\x82 \x7f end";
  const auto ids = tokenizer.encode(text);
  EXPECT_EQ(ids.front(), 256);  // "th"
  EXPECT_EQ(ids.size(), text.size() - 1);
  std::string back;
  for (const std::int32_t id : ids) back += tokenizer.token_bytes(id);
  EXPECT_EQ(back, text);
  EXPECT_EQ(model.generation().eos, (std::vector<std::int32_t>{257}));
}

TEST(GgufModels, TheTokenizerOfAnotherFileIsCarriedOver) {
  const testing::TempDir folder;
  const auto donor = testing::repo_path("tests/golden/models/llama_tied/model-f16.gguf");
  const auto source = ModelFiles::open(donor);
  ModelConfig config = small("qwen2.5-0.5b");
  config.vocab = static_cast<std::int64_t>(source.tokenizer().tokens.size()) + 5;
  write_random_model(folder.path() / "m.gguf", config, StoredType::kF16, 0, donor);
  const auto model = ModelFiles::open(folder.path() / "m.gguf");
  auto tokens = model.tokenizer().tokens;
  EXPECT_EQ(static_cast<std::int64_t>(tokens.size()), config.vocab);
  tokens.resize(source.tokenizer().tokens.size());
  EXPECT_EQ(tokens, source.tokenizer().tokens);
  EXPECT_EQ(model.tokenizer().merges, source.tokenizer().merges);
  EXPECT_EQ(model.chat_template(), source.chat_template());
  EXPECT_EQ(model.generation().eos, source.generation().eos);
  const std::string text = "What is 12 + 30?";
  EXPECT_EQ(Tokenizer(model.tokenizer()).encode(text), Tokenizer(source.tokenizer()).encode(text));
  config.vocab = 100;
  EXPECT_THROW(write_random_model(folder.path() / "n.gguf", config, StoredType::kF16, 0, donor), UsageError);
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "n.gguf"));
}

TEST(GgufModels, TypesOfAFileAreThoseOfLlamaQuantize) {
  using enum StoredType;
  EXPECT_EQ(type_in_file(kBF16, true, 576), kBF16);
  EXPECT_EQ(type_in_file(kQ8_0, true, 1024), kQ8_0);
  EXPECT_EQ(type_in_file(kQ4_0, true, 1024), kQ6_K);
  EXPECT_EQ(type_in_file(kQ4_0, true, 576), kQ8_0);
  EXPECT_EQ(type_in_file(kQ4_0, false, 576), kQ4_0);
  EXPECT_EQ(type_in_file(kQ4_K, false, 576), kQ5_0);
  EXPECT_EQ(type_in_file(kQ4_K, false, 1536), kQ4_K);
  EXPECT_EQ(type_in_file(kQ6_K, false, 896), kQ8_0);
  EXPECT_EQ(type_in_file(kQ4_0, false, 48), kF16);
}

TEST(GgufModels, RewritingKeepsEverythingButTheType) {
  const testing::TempDir folder;
  for (const char* golden : {"llama_tied/model-f16.gguf", "qwen2/model-bf16.gguf", "quantized/q4_1.gguf"}) {
    SCOPED_TRACE(golden);
    const auto from = testing::repo_path(std::string("tests/golden/models/") + golden),
               wide = folder.path() / "wide.gguf", narrow = folder.path() / "narrow.gguf";
    rewrite_model(from, wide, StoredType::kF32);
    rewrite_model(wide, narrow, StoredType::kQ8_0);
    const MappedFile a(from), b(wide), c(narrow);
    const GgufContents source = parse_gguf(a.bytes(), "source"), widened = parse_gguf(b.bytes(), "wide"),
                       narrowed = parse_gguf(c.bytes(), "narrow");
    ASSERT_EQ(source.tensors.size(), widened.tensors.size());
    ASSERT_EQ(source.tensors.size(), narrowed.tensors.size());
    for (std::size_t i = 0; i < source.tensors.size(); ++i) {
      const StoredTensor &s = source.tensors[i], &w = widened.tensors[i], &n = narrowed.tensors[i];
      EXPECT_EQ(s.name, w.name);
      EXPECT_EQ(values_of(s), values_of(w)) << s.name;  // widening is exact
      const bool matrix = s.rows > 1;
      EXPECT_EQ(w.type, matrix ? StoredType::kF32 : s.type) << s.name;
      EXPECT_EQ(n.type, matrix ? type_in_file(StoredType::kQ8_0, false, s.columns) : s.type) << s.name;
      const auto want = values_of(s), got = values_of(n);
      float extent = 0;
      for (const float x : want) extent = std::max(extent, std::fabs(x));
      for (std::size_t j = 0; j < want.size(); ++j) ASSERT_NEAR(got[j], want[j], extent / 127) << s.name;
    }
    for (const auto& [key, value] : source.metadata.values()) {
      if (key == "general.file_type" || key == "general.quantization_version" || key == "general.alignment") continue;
      const auto kept = narrowed.metadata.values().find(key);
      ASSERT_NE(kept, narrowed.metadata.values().end()) << key;
      EXPECT_TRUE(
          std::equal(value.bytes.begin(), value.bytes.end(), kept->second.bytes.begin(), kept->second.bytes.end()))
          << key;
    }
    EXPECT_EQ(narrowed.metadata.find_int("general.file_type"), 7);
    EXPECT_EQ(ModelFiles::open(narrow).tokenizer().tokens, ModelFiles::open(from).tokenizer().tokens);
  }
}

/// A folder's model is the same model as a GGUF file: every tensor, the tokens of texts, the template, the ends.
TEST(GgufModels, AFolderBecomesAFileOfTheSameModel) {
  const testing::TempDir folder;
  for (const char* from : {"models/tiny-reasoner", "tests/golden/models/llama_tied", "tests/golden/models/qwen2",
                           "tests/golden/models/qwen3"}) {
    SCOPED_TRACE(from);
    const auto path = folder.path() / "m.gguf";
    rewrite_model(testing::repo_path(from), path, StoredType::kF32);
    const ModelFiles want = ModelFiles::open(testing::repo_path(from)), got = ModelFiles::open(path);
    const ModelConfig &a = want.config(), &b = got.config();
    EXPECT_EQ(a.architecture, b.architecture);
    EXPECT_EQ(a.max_positions, b.max_positions);
    EXPECT_EQ(a.tied_head, b.tied_head);
    EXPECT_EQ(a.rope_theta, b.rope_theta);
    EXPECT_EQ(static_cast<float>(a.rms_norm_eps), static_cast<float>(b.rms_norm_eps));
    const auto same = [&](TensorRole role, std::int64_t layer) {
      const StoredTensor& t = want.tensor(role, layer);
      std::vector<float> x(static_cast<std::size_t>(t.rows * t.columns)), y(x.size());
      want.read_rows(role, layer, 0, t.rows, x.data());
      got.read_rows(role, layer, 0, t.rows, y.data());
      EXPECT_EQ(x, y) << t.name;
    };
    for (const TensorRole role : {TensorRole::kEmbedding, TensorRole::kOutputNorm, TensorRole::kOutputHead})
      same(role, -1);
    for (std::int64_t layer = 0; layer < a.layers; ++layer) {
      for (const TensorRole role :
           {TensorRole::kAttentionNorm, TensorRole::kQ, TensorRole::kK, TensorRole::kV, TensorRole::kAttentionOut,
            TensorRole::kFfnNorm, TensorRole::kGate, TensorRole::kUp, TensorRole::kDown})
        same(role, layer);
      if (a.qkv_bias)
        for (const TensorRole role : {TensorRole::kQBias, TensorRole::kKBias, TensorRole::kVBias}) same(role, layer);
      if (a.qk_norm)
        for (const TensorRole role : {TensorRole::kQNorm, TensorRole::kKNorm}) same(role, layer);
    }
    const Tokenizer first(want.tokenizer()), second(got.tokenizer());
    for (const char* text :
         {"12 apples cost $3.50 each.\n\nHow much?", "<|im_start|>user\nThey're <think>1+1</think>  2"})
      EXPECT_EQ(first.encode(text), second.encode(text));
    EXPECT_EQ(want.chat_template(), got.chat_template());
    for (const std::int32_t end : want.generation().eos)
      EXPECT_NE(std::find(got.generation().eos.begin(), got.generation().eos.end(), end), got.generation().eos.end());
  }
}

TEST(GgufModels, WhatCannotBeWrittenIsRefusedAndLeavesNothing) {
  const testing::TempDir folder;
  EXPECT_THROW(write_random_model(folder.path() / "absent" / "m.gguf", small("smollm2-135m"), StoredType::kF32, 0),
               OutputError);
  EXPECT_THROW(rewrite_model(folder.path() / "absent.gguf", folder.path() / "m.gguf", StoredType::kF16), InputError);

  GgufOutput broken;  // a matrix with a value that is no number
  broken.set_string("general.architecture", "llama");
  broken.add_tensor("blk.0.ffn_up.weight", StoredType::kF32, 2, 32);
  broken.write(folder.path() / "nan.gguf", [](std::size_t, std::span<std::byte> data) {
    const std::vector<float> values(64, std::numeric_limits<float>::quiet_NaN());
    std::copy_n(reinterpret_cast<const std::byte*>(values.data()), data.size(), data.data());
  });
  EXPECT_THROW(rewrite_model(folder.path() / "nan.gguf", folder.path() / "m.gguf", StoredType::kQ4_0), FormatError);
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "m.gguf"));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "m.gguf.tmp"));
}

}  // namespace
}  // namespace kvgauge::bench
