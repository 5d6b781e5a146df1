#include "loader/model_files.h"

#include <gtest/gtest.h>

#include <cctype>
#include <cmath>
#include <cstring>
#include <tuple>

#include "core/json.h"
#include "loader/tensor_names.h"
#include "messages.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

using testing::repo_path;

std::vector<float> all_rows(const ModelFiles& model, TensorRole role, std::int64_t layer) {
  const StoredTensor& t = model.tensor(role, layer);
  std::vector<float> values(static_cast<std::size_t>(t.rows * t.columns));
  model.read_rows(role, layer, 0, t.rows, values.data());
  return values;
}

TEST(ModelFiles, TinyReasonerIsWhatItsConfigSays) {
  const auto model = ModelFiles::open(repo_path("models/tiny-reasoner"));
  const ModelConfig& c = model.config();
  EXPECT_EQ(c.architecture, Architecture::kQwen3);
  EXPECT_EQ(c.name, "tiny-reasoner");
  EXPECT_EQ((std::vector<std::int64_t>{c.layers, c.hidden, c.heads, c.kv_heads, c.head_dim, c.intermediate, c.vocab,
                                       c.max_positions}),
            (std::vector<std::int64_t>{6, 192, 6, 2, 32, 512, 1024, 1024}));
  EXPECT_EQ(c.rms_norm_eps, 1e-6);
  EXPECT_EQ(c.rope_theta, 10000);
  EXPECT_FALSE(c.rope_scaling || c.qkv_bias);
  EXPECT_TRUE(c.qk_norm && c.tied_head);
  EXPECT_EQ(c.stored_dtype, DType::kBF16);
  EXPECT_EQ(model.generation().eos, (std::vector<std::int32_t>{1021, 1019}));
  EXPECT_EQ(model.generation().bos, 1019);
  EXPECT_EQ(model.bos_token(), "");
  EXPECT_EQ(model.eos_token(), "<|im_end|>");
  ASSERT_TRUE(model.chat_template());
  EXPECT_EQ(model.chat_template()->rfind("{%- for message in messages %}", 0), 0u);
  EXPECT_EQ(model.tensors().size(), 2u + 6u * 11u);
  EXPECT_EQ(&model.tensor(TensorRole::kOutputHead), &model.tensor(TensorRole::kEmbedding));
}

// Against the file itself, read with the JSON parser and string arithmetic only.
TEST(ModelFiles, RowsAreTheBytesOfTheFile) {
  const std::string file = testing::read_file(repo_path("models/tiny-reasoner/model.safetensors"));
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  const Json header = parse_json(std::string_view(file).substr(8, length), "header");
  const auto model = ModelFiles::open(repo_path("models/tiny-reasoner"));
  for (const TensorRole role : tensor_roles(model.config())) {
    const std::int64_t layer = is_per_layer(role) ? 3 : -1;
    const std::string stored_name = tensor_name(Naming::kHuggingFace, role, layer);
    const StoredTensor& t = model.tensor(role, layer);
    ASSERT_EQ(t.name, stored_name);
    const auto begin = header.at(stored_name).at("data_offsets").at(0).get<std::uint64_t>();
    const std::int64_t first = t.rows / 3, count = t.rows - first;
    std::vector<bf16_t> rows(static_cast<std::size_t>(count * t.columns));
    model.read_rows(role, layer, first, count, rows.data());
    EXPECT_EQ(
        std::memcmp(rows.data(), file.data() + 8 + length + begin + static_cast<std::uint64_t>(first * t.columns) * 2,
                    rows.size() * 2),
        0)
        << stored_name;
    std::vector<float> wide(rows.size());
    model.read_rows(role, layer, first, count, wide.data());
    for (std::size_t i = 0; i < rows.size(); ++i) ASSERT_EQ(wide[i], to_float(rows[i])) << stored_name;
    model.drop(role, layer);
    std::vector<bf16_t> again(rows.size());
    model.read_rows(role, layer, first, count, again.data());
    EXPECT_EQ(std::memcmp(rows.data(), again.data(), rows.size() * 2), 0) << stored_name;
  }
}

// What a device unpacks for itself is what the loader widens, Llama's permuted q and k included.
TEST(ModelFiles, StoredRowsWidenToTheRowsReadHere) {
  for (const char* file : {"llama31/model-f16.gguf", "qwen2/model-bf16.gguf", "quantized/q8_0.gguf",
                           "quantized/q4_k.gguf", "quantized/q6_k.gguf"}) {
    const auto model = ModelFiles::open(repo_path(std::string("tests/golden/models/") + file));
    for (const TensorRole role :
         {TensorRole::kEmbedding, TensorRole::kQ, TensorRole::kK, TensorRole::kV, TensorRole::kDown}) {
      const std::int64_t layer = is_per_layer(role) ? 1 : -1;
      const StoredTensor& t = model.tensor(role, layer);
      const std::int64_t first = t.rows / 3, count = t.rows - first;
      std::vector<std::byte> stored(stored_bytes(t.type, static_cast<std::uint64_t>(count * t.columns)));
      model.read_stored_rows(role, layer, first, count, stored.data());
      std::vector<float> rows(static_cast<std::size_t>(count * t.columns)), widened(rows.size());
      model.read_rows(role, layer, first, count, rows.data());
      widen(t.type, stored.data(), count * t.columns, widened.data());
      EXPECT_EQ(rows, widened) << file << ": " << t.name;
    }
  }
}

struct Golden {
  const char* folder;
  const char* gguf;
};

// The converter writes what the folder has (f32, or matrices rounded to f16); every value must come back in the same
// place, which for Llama undoes the permutation of q and k.
TEST(ModelFiles, GgufHoldsTheSameModelAsItsFolder) {
  for (const auto& [folder, gguf] : {Golden{"llama31", "model-f32.gguf"},
                                     {"llama31", "model-f16.gguf"},
                                     {"llama_tied", "model-f32.gguf"},
                                     {"llama_tied", "model-f16.gguf"},
                                     {"qwen2", "model-f32.gguf"},
                                     {"qwen2", "model-bf16.gguf"},
                                     {"qwen3", "model-f32.gguf"},
                                     {"qwen3", "model-f16.gguf"}}) {
    const auto path = repo_path(std::string("tests/golden/models/") + folder);
    SCOPED_TRACE((path / gguf).string());
    const auto original = ModelFiles::open(path), converted = ModelFiles::open(path / gguf);
    const ModelConfig &a = original.config(), &b = converted.config();
    EXPECT_EQ(a.architecture, b.architecture);
    EXPECT_EQ(std::tie(a.layers, a.hidden, a.heads, a.kv_heads, a.head_dim, a.intermediate, a.vocab, a.max_positions),
              std::tie(b.layers, b.hidden, b.heads, b.kv_heads, b.head_dim, b.intermediate, b.vocab, b.max_positions));
    EXPECT_EQ(std::tie(a.qkv_bias, a.qk_norm, a.tied_head), std::tie(b.qkv_bias, b.qk_norm, b.tied_head));
    EXPECT_FLOAT_EQ(static_cast<float>(a.rms_norm_eps), static_cast<float>(b.rms_norm_eps));
    EXPECT_EQ(a.rope_theta, b.rope_theta);
    // rope_freqs.weight is float32, so the divisors have a relative error of 2^-24.
    const auto f = rope_inverse_frequencies(a), g = rope_inverse_frequencies(b);
    ASSERT_EQ(f.size(), g.size());
    for (std::size_t i = 0; i < f.size(); ++i) EXPECT_NEAR(f[i], g[i], f[i] * 0x1p-22) << i;
    const bool rounded = std::string(gguf).find("f16") != std::string::npos && a.stored_dtype == DType::kF32;
    for (const TensorRole role : tensor_roles(a))
      for (std::int64_t layer = is_per_layer(role) ? 0 : -1; layer < (is_per_layer(role) ? a.layers : 0); ++layer) {
        auto want = all_rows(original, role, layer);
        const auto got = all_rows(converted, role, layer);
        if (rounded && converted.tensor(role, layer).type == StoredType::kF16)
          for (float& value : want) value = to_float(to_half(value));
        ASSERT_EQ(want, got) << converted.tensor(role, layer).name;
      }
    EXPECT_EQ(original.tokenizer().merges, converted.tokenizer().merges);
    EXPECT_EQ(original.chat_template(), converted.chat_template());
    EXPECT_EQ(original.bos_token(), converted.bos_token());
    EXPECT_EQ(original.eos_token(), converted.eos_token());
  }
}

TEST(ModelFiles, BothSpellingsOfALlama31ConfigAreTheSame) {
  const testing::TempDir folder;
  const auto source = repo_path("tests/golden/models/llama31");
  for (const char* file : {"model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json",
                           "chat_template.jinja"})
    std::filesystem::copy(source / file, folder.path() / file);
  std::filesystem::copy(source / "config.transformers4.json", folder.path() / "config.json");
  const auto older = ModelFiles::open(folder.path()), newer = ModelFiles::open(source);
  ASSERT_TRUE(newer.config().rope_scaling);
  EXPECT_EQ(rope_inverse_frequencies(older.config()), rope_inverse_frequencies(newer.config()));
  EXPECT_EQ(older.content_hash(), newer.content_hash());
}

TEST(ModelFiles, EveryQuantizedFileOpens) {
  for (const char* type : {"q4_0", "q4_1", "q4_k", "q5_0", "q5_1", "q5_k", "q6_k", "q8_0"}) {
    const auto model = ModelFiles::open(repo_path(std::string("tests/golden/models/quantized/") + type + ".gguf"));
    EXPECT_EQ(model.config().stored_dtype, DType::kBF16);
    std::string lower = name(model.tensor(TensorRole::kQ, 0).type);
    for (char& c : lower) c = static_cast<char>(std::tolower(c));
    EXPECT_EQ(lower, type);
    for (const float value : all_rows(model, TensorRole::kDown, 1)) ASSERT_TRUE(std::isfinite(value));
  }
}

TEST(ModelFiles, TheContentHashNamesTheContentNotThePlace) {
  const testing::TempDir folder;
  const auto source = repo_path("models/tiny-reasoner");
  for (const char* file :
       {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json"})
    std::filesystem::copy(source / file, folder.path() / file);
  const auto hash = [](const std::filesystem::path& path) { return ModelFiles::open(path).content_hash(); };
  const std::string original = hash(source);
  EXPECT_EQ(original.size(), 64u);
  EXPECT_EQ(original.find_first_not_of("0123456789abcdef"), original.npos);
  EXPECT_EQ(hash(folder.path()), original);
  const auto changed = [&](const char* file, std::size_t from_end, char flip) {
    const std::string bytes = testing::read_file(source / file);
    std::string other = bytes;
    other[other.size() - from_end] = static_cast<char>(other[other.size() - from_end] ^ flip);
    testing::write_file(folder.path() / file, other);
    const std::string result = hash(folder.path());
    testing::write_file(folder.path() / file, bytes);
    return result;
  };
  EXPECT_NE(changed("model.safetensors", 1, 1), original);           // the last weight
  EXPECT_NE(changed("model.safetensors", 3'000'000, 64), original);  // one in the middle
  testing::write_file(folder.path() / "chat_template.jinja", "{{ messages }}");
  EXPECT_NE(hash(folder.path()), original);
  std::filesystem::remove(folder.path() / "chat_template.jinja");
  EXPECT_EQ(hash(folder.path()), original);
}

TEST(ModelFiles, SaysWhatIsNotThere) {
  using testing::says;
  using testing::thrown;
  const testing::TempDir folder;
  const auto message = [&] { return thrown([&] { ModelFiles::open(folder.path()); }); };
  const auto source = repo_path("models/tiny-reasoner");
  EXPECT_TRUE(says(thrown([&] { ModelFiles::open(folder.path() / "absent"); }), "InputError",
                   {"absent: is not there", "folder or a .gguf file"}));
  EXPECT_TRUE(says(message(), "InputError", {"config.json: is missing"}));
  std::filesystem::copy(source / "config.json", folder.path() / "config.json");
  EXPECT_TRUE(says(message(), "InputError", {"model.safetensors: is missing", "model.safetensors.index.json"}));
  testing::write_file(folder.path() / "pytorch_model.bin", "x");
  EXPECT_TRUE(says(message(), "ConfigError", {"pytorch_model.bin", "save_pretrained"}));
  std::filesystem::copy(source / "model.safetensors", folder.path() / "model.safetensors");
  EXPECT_TRUE(says(message(), "InputError", {"tokenizer.json: is missing", "AutoTokenizer"}));
  std::filesystem::copy(source / "tokenizer.json", folder.path() / "tokenizer.json");
  EXPECT_EQ(message(), "none");  // tokenizer_config.json and generation_config.json may be absent
  const auto model = ModelFiles::open(folder.path());
  EXPECT_FALSE(model.chat_template());
  EXPECT_EQ(model.generation().eos, (std::vector<std::int32_t>{1021}));  // of config.json
  testing::write_file(folder.path() / "weights.bin", std::string(64, 'x'));
  EXPECT_TRUE(says(thrown([&] { ModelFiles::open(folder.path() / "weights.bin"); }), "FormatError",
                   {"weights.bin: does not start with 'GGUF'"}));
}

}  // namespace
}  // namespace kvgauge
