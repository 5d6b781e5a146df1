#include "loader/gguf.h"

#include <gtest/gtest.h>

#include <array>
#include <random>

#include "loader/model_files.h"
#include "messages.h"
#include "model_writer.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

using testing::bytes_of;
using testing::GgufWriter;
using testing::says;
using testing::thrown;
using testing::tiny_gguf;

GgufContents parse(const std::string& file) { return parse_gguf(std::as_bytes(std::span(file)), "m.gguf"); }
std::string error_of(const std::string& file) {
  return thrown([&] { parse(file); });
}

// Opens it as a model, from a file.
std::string model_error(const GgufWriter& writer) {
  const testing::TempDir folder;
  testing::write_file(folder.path() / "tiny.gguf", writer.bytes());
  return thrown([&] { ModelFiles::open(folder.path() / "tiny.gguf"); });
}

TEST(Gguf, ReadsEveryTypeOfValue) {
  GgufWriter writer;
  writer.key("u8", 0, bytes_of(std::uint8_t{200}));
  writer.key("i8", 1, bytes_of(std::int8_t{-3}));
  writer.key("u16", 2, bytes_of(std::uint16_t{60000}));
  writer.key("i16", 3, bytes_of(std::int16_t{-300}));
  writer.key_u32("u32", 4'000'000'000u);
  writer.key_i32("i32", -7);
  writer.key_f32("f32", 0.5f);
  writer.key_bool("bool", true);
  writer.key_string("string", "text");
  writer.key_strings("strings", {"a", "", "ccc"});
  writer.key_ints("ints", {1, -2});
  writer.key("u64", 10, bytes_of(~std::uint64_t{0}));
  writer.key("i64", 11, bytes_of(std::int64_t{-5'000'000'000}));
  writer.key("f64", 12, bytes_of(0.25));
  writer.key("nested", 9,
             bytes_of(std::uint32_t{9}) + bytes_of(std::uint64_t{1}) + bytes_of(std::uint32_t{4}) +
                 bytes_of(std::uint64_t{2}) + std::string(8, 'x'));
  writer.tensor("t", {32, 3, 2}, 8, std::string(6 * 34, 'q'));
  const std::string file = writer.bytes();
  const GgufContents contents = parse(file);
  const GgufMetadata& m = contents.metadata;
  EXPECT_EQ(m.find_int("u8"), 200);
  EXPECT_EQ(m.find_int("i8"), -3);
  EXPECT_EQ(m.find_int("u16"), 60000);
  EXPECT_EQ(m.find_int("i16"), -300);
  EXPECT_EQ(m.find_int("u32"), 4'000'000'000);
  EXPECT_EQ(m.find_int("i64"), -5'000'000'000);
  EXPECT_EQ(m.find_number("i32"), -7);
  EXPECT_EQ(m.find_number("f32"), 0.5);
  EXPECT_EQ(m.find_number("f64"), 0.25);
  EXPECT_EQ(m.find_bool("bool"), true);
  EXPECT_EQ(m.find_string("string"), "text");
  EXPECT_EQ(m.find_strings("strings"), (std::vector<std::string_view>{"a", "", "ccc"}));
  EXPECT_EQ(m.find_ints("ints"), (std::vector<std::int64_t>{1, -2}));
  EXPECT_EQ(m.find_ints("i32"), (std::vector<std::int64_t>{-7}));
  EXPECT_EQ(m.find_int("absent"), std::nullopt);
  EXPECT_TRUE(says(thrown([&] { m.find_int("u64"); }), "FormatError",
                   {"m.gguf: 'u64' is uint64, an integer below 2^63 was needed"}));
  EXPECT_TRUE(says(thrown([&] { m.find_string("u8"); }), "FormatError", {"'u8' is uint8, a string was needed"}));
  EXPECT_TRUE(says(thrown([&] { m.find_strings("ints"); }), "FormatError", {"an array of strings"}));
  EXPECT_TRUE(says(thrown([&] { m.find_ints("strings"); }), "FormatError", {"integers"}));
  EXPECT_TRUE(says(thrown([&] { m.find_bool("u8"); }), "FormatError", {"bool"}));
  EXPECT_TRUE(says(thrown([&] { m.find_number("string"); }), "FormatError", {"a number"}));
  ASSERT_EQ(contents.tensors.size(), 1u);
  EXPECT_EQ(contents.tensors[0].rows, 6);
  EXPECT_EQ(contents.tensors[0].columns, 32);
  EXPECT_EQ(contents.tensors[0].type, StoredType::kQ8_0);
  EXPECT_EQ(static_cast<char>(contents.tensors[0].data[0]), 'q');
}

TEST(Gguf, NamesWhatIsWrongWithTheContainer) {
  const auto changed = [](auto change) {
    GgufWriter writer;
    writer.key_string("general.architecture", "llama");
    writer.tensor("a", {4}, 0, std::string(16, 'a'));
    writer.tensor("b", {4}, 0, std::string(16, 'b'));
    change(writer);
    return error_of(writer.bytes());
  };
  EXPECT_EQ(changed([](GgufWriter&) {}), "none");
  EXPECT_EQ(changed([](GgufWriter& w) { w.version = 2; }), "none");
  EXPECT_TRUE(says(error_of("GG"), "FormatError", {"m.gguf: does not start with 'GGUF'"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) { w.magic = "GGML"; }), "FormatError", {"does not start with 'GGUF'"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) { w.version = 1; }), "ConfigError", {"GGUF version 1 is not supported"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) { w.version = 0x03000000; }), "ConfigError", {"big-endian"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) { w.extra_keys = 1ll << 50; }), "FormatError",
                   {"1125899906842625 metadata keys"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) { w.extra_tensors = 1ll << 60; }), "FormatError", {"tensors"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) { w.extra_tensors = 1; }), "FormatError", {"m.gguf"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) { w.extra_keys = -2; }), "FormatError", {"metadata keys"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) { w.key("x", 13, ""); }), "FormatError", {"x has value type 13"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) { w.key("x", 8, bytes_of(~std::uint64_t{0})); }), "FormatError",
                   {"x at byte", "needs 18446744073709551615 bytes"}));
  EXPECT_TRUE(says(
      changed([](GgufWriter& w) { w.key("x", 9, bytes_of(std::uint32_t{12}) + bytes_of(std::uint64_t{1} << 61)); }),
      "FormatError", {"x at byte"}));
  EXPECT_TRUE(
      says(changed([](GgufWriter& w) { w.key("x", 9, bytes_of(std::uint32_t{8}) + bytes_of(~std::uint64_t{0})); }),
           "FormatError", {"x at byte"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) {
                     std::string deep;
                     for (int i = 0; i < 1000; ++i) deep += bytes_of(std::uint32_t{9}) + bytes_of(std::uint64_t{1});
                     w.key("x", 9, deep);
                   }),
                   "FormatError", {"x nests arrays deeper"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) { w.key_u32("general.architecture", 1); }), "FormatError",
                   {"'general.architecture' is there twice"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) { w.key_u32("general.alignment", 24); }), "FormatError",
                   {"'general.alignment' is 24, a power of two"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) { w.key_u32("general.alignment", 0); }), "FormatError",
                   {"'general.alignment' is 0"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) { w.tensor("a", {4}, 0, std::string(16, 'c')); }), "FormatError",
                   {"tensor 'a' is there twice"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) { w.find_tensor("b").offset = 0; }), "FormatError", {"overlaps '"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) { w.find_tensor("b").offset = 40; }), "FormatError",
                   {"tensor 'b': offset 40 is no multiple of the alignment 32"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) { w.find_tensor("b").offset = 64; }), "FormatError",
                   {"tensor 'b': 16 bytes at offset 64 lie outside"}));
  EXPECT_TRUE(
      says(changed([](GgufWriter& w) { w.find_tensor("b").offset = INT64_MAX - 31; }), "FormatError", {"lie outside"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) { w.find_tensor("b").dimensions = {}; }), "FormatError",
                   {"tensor 'b': has 0 dimensions"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) {
                     w.find_tensor("b").dimensions = {1, 1, 1, 1, 4};
                   }),
                   "FormatError", {"has 5 dimensions"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) { w.find_tensor("b").dimensions = {0}; }), "FormatError",
                   {"[0,1,1,1] are zero or overflow"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) {
                     w.find_tensor("b").dimensions = {1ull << 40, 1ull << 40};
                   }),
                   "FormatError", {"overflow"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) { w.find_tensor("b").type = 2; }), "FormatError",
                   {"rows of 4 values, a multiple of the 32 of a Q4_0 block"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) { w.find_tensor("b").type = 17; }), "ConfigError",
                   {"tensor 'b': type IQ2_XS is not supported"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) { w.find_tensor("b").type = 77; }), "ConfigError", {"type number 77"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) {
                     w.find_tensor("b").name = "b\nc";
                     w.find_tensor("b\nc").type = 77;
                   }),
                   "ConfigError", {"'b\\x0ac'"}));
}

TEST(Gguf, NamesWhatIsWrongWithTheModel) {
  const auto changed = [](auto change, const char* architecture = "llama") {
    GgufWriter writer = tiny_gguf(architecture);
    change(writer);
    return model_error(writer);
  };
  const auto without = [&](const char* key) { return changed([&](GgufWriter& w) { w.remove_key(key); }); };
  const auto u32 = [&](const char* key, std::uint32_t value) {
    return changed([&](GgufWriter& w) {
      w.remove_key(key);
      w.key_u32(key, value);
    });
  };
  const auto text = [&](const char* key, const char* value) {
    return changed([&](GgufWriter& w) {
      w.remove_key(key);
      w.key_string(key, value);
    });
  };
  for (const char* architecture : {"llama", "qwen2", "qwen3"}) EXPECT_EQ(model_error(tiny_gguf(architecture)), "none");
  for (const char* key :
       {"llama.block_count", "llama.embedding_length", "llama.attention.head_count", "llama.feed_forward_length",
        "llama.context_length", "llama.attention.layer_norm_rms_epsilon", "general.architecture",
        "tokenizer.ggml.model", "tokenizer.ggml.tokens", "tokenizer.ggml.merges"})
    EXPECT_TRUE(says(without(key), "FormatError", {"tiny.gguf: '" + std::string(key) + "' is missing"}));
  for (const char* key : {"general.name", "tokenizer.chat_template", "tokenizer.ggml.eos_token_id",
                          "tokenizer.ggml.bos_token_id", "tokenizer.ggml.token_type", "llama.rope.freq_base"})
    EXPECT_EQ(without(key), "none") << key;
  EXPECT_TRUE(says(text("general.architecture", "gemma3"), "ConfigError",
                   {"architecture 'gemma3' is not supported, llama, qwen2 or qwen3"}));
  EXPECT_TRUE(
      says(text("tokenizer.ggml.model", "llama"), "ConfigError", {"tokenizer model 'llama' is not supported, 'gpt2'"}));
  EXPECT_TRUE(says(text("tokenizer.ggml.pre", "martian"), "ConfigError", {"martian"}));
  EXPECT_TRUE(says(text("llama.rope.scaling.type", "yarn"), "ConfigError", {"RoPE scaling 'yarn' is not supported"}));
  EXPECT_TRUE(says(text("llama.rope.scaling.type", "linear"), "ConfigError", {"RoPE scaling 'linear'"}));
  EXPECT_EQ(text("llama.rope.scaling.type", "none"), "none");
  EXPECT_TRUE(says(u32("llama.rope.dimension_count", 8), "ConfigError", {"RoPE on 8 of 16 dimensions"}));
  EXPECT_TRUE(says(u32("llama.attention.value_length", 8), "ConfigError", {"value length of 8"}));
  EXPECT_TRUE(says(u32("llama.expert_count", 8), "ConfigError", {"mixture of experts"}));
  EXPECT_TRUE(says(u32("llama.attention.sliding_window", 8), "ConfigError", {"sliding"}));
  EXPECT_TRUE(says(u32("split.count", 2), "ConfigError", {"split into parts"}));
  EXPECT_TRUE(says(u32("llama.attention.head_count", 0), "FormatError", {"head_count' is 0"}));
  EXPECT_TRUE(says(u32("llama.attention.head_count", 3), "FormatError", {"32 values do not divide by 3 heads"}));
  EXPECT_TRUE(says(u32("llama.attention.head_count_kv", 0), "FormatError", {"the number of key-value heads is 0"}));
  EXPECT_TRUE(
      says(u32("llama.attention.key_length", 2'000'000'000), "FormatError", {"the head dimension is 2000000000"}));
  EXPECT_TRUE(says(u32("llama.block_count", 4'000'000'000u), "FormatError", {"the number of layers is 4000000000"}));
  EXPECT_TRUE(says(u32("llama.block_count", 3), "FormatError",
                   {"tensor 'blk.2.attn_norm.weight': is missing, a llama model with 3 layers needs it"}));
  EXPECT_TRUE(says(u32("llama.block_count", 1), "ConfigError",
                   {"tensor 'blk.1.attn_norm.weight': is no part of a llama model with 1 layers"}));
  EXPECT_TRUE(says(u32("llama.embedding_length", 64), "FormatError",
                   {"tensor 'token_embd.weight': its shape is [300, 32], the config needs [300, 64]"}));
  EXPECT_TRUE(says(u32("tokenizer.ggml.eos_token_id", 5000), "FormatError", {"'tokenizer.ggml.eos_token_id' is 5000"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) { w.remove_tensor("blk.1.ffn_up.weight"); }), "FormatError",
                   {"tensor 'blk.1.ffn_up.weight': is missing"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) { w.tensor("blk.0.attn_output.bias", {32}, 0, std::string(128, '\0')); }),
                   "ConfigError", {"tensor 'blk.0.attn_output.bias': is no part of a llama model"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) { w.tensor("rope_freqs.weight", {7}, 0, std::string(28, '\0')); }),
                   "FormatError", {"'rope_freqs.weight'", "needs [8]"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) { w.tensor("rope_freqs.weight", {8}, 0, std::string(32, '\0')); }),
                   "FormatError", {"a RoPE factor is 0"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) {
                     w.remove_key("llama.attention.head_count_kv");
                     w.key_ints("llama.attention.head_count_kv", {1, 2});
                   }),
                   "ConfigError", {"differs between layers"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) {
                     w.remove_key("tokenizer.ggml.merges");
                     w.key_strings("tokenizer.ggml.merges", {"th"});
                   }),
                   "FormatError", {"the merge 'th'"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) {
                     w.remove_key("tokenizer.ggml.token_type");
                     w.key_ints("tokenizer.ggml.token_type", {1});
                   }),
                   "FormatError", {"has 1 entries"}));
  EXPECT_TRUE(says(changed([](GgufWriter& w) {
                     w.remove_key("tokenizer.ggml.bos_token_id");
                     w.key_bool("tokenizer.ggml.add_bos_token", true);
                   }),
                   "FormatError", {"'tokenizer.ggml.bos_token_id' is missing"}));
}

TEST(Gguf, TokenizerMetadataBecomesASpec) {
  const testing::TempDir folder;
  GgufWriter writer = tiny_gguf("qwen2");
  writer.key_bool("tokenizer.ggml.add_bos_token", true);
  writer.key_bool("tokenizer.ggml.add_eos_token", true);
  testing::write_file(folder.path() / "tiny.gguf", writer.bytes());
  const auto model = ModelFiles::open(folder.path() / "tiny.gguf");
  const TokenizerSpec& spec = model.tokenizer();
  EXPECT_EQ(spec.tokens.size(), 261u);
  EXPECT_EQ(spec.merges, (std::vector<std::pair<std::string, std::string>>{{"t", "h"}, {"th", "e"}}));
  ASSERT_EQ(spec.added.size(), 3u);
  EXPECT_EQ(spec.added[0].content, "<|endoftext|>");
  EXPECT_TRUE(spec.added[0].special && spec.added[1].special);
  EXPECT_EQ(spec.added[2].id, 260);
  EXPECT_FALSE(spec.added[2].special);
  EXPECT_EQ(spec.prefix, (std::vector<std::int32_t>{258}));
  EXPECT_EQ(spec.suffix, (std::vector<std::int32_t>{259}));
  EXPECT_EQ(model.generation().eos, (std::vector<std::int32_t>{259, 258}));
  EXPECT_EQ(model.bos_token(), "<|endoftext|>");
  EXPECT_EQ(model.eos_token(), "<|im_end|>");
  EXPECT_EQ(model.chat_template(), "{{ messages[0].content }}");
  const Tokenizer tokenizer(spec);
  EXPECT_EQ(tokenizer.encode("the<think>"), (std::vector<std::int32_t>{257, 260}));
}

TEST(Gguf, LlamaHeadsComeBackInHalfRotationOrder) {
  GgufWriter writer = tiny_gguf("llama");
  const auto numbered = [](std::int64_t rows, std::int64_t columns) {  // each value is its row's number in the file
    std::string data;
    for (std::int64_t i = 0; i < rows * columns; ++i) data += bytes_of(static_cast<float>(i / columns));
    return data;
  };
  writer.find_tensor("blk.1.attn_q.weight").data = numbered(32, 32);
  writer.find_tensor("blk.1.attn_k.weight").data = numbered(16, 32);
  for (const char* layer : {"blk.0.", "blk.1."}) {
    writer.tensor(std::string(layer) + "attn_q.bias", {32}, 0, numbered(32, 1));
    writer.tensor(std::string(layer) + "attn_k.bias", {16}, 0, numbered(16, 1));
    writer.tensor(std::string(layer) + "attn_v.bias", {16}, 0, numbered(16, 1));
  }
  const testing::TempDir folder;
  testing::write_file(folder.path() / "tiny.gguf", writer.bytes());
  const auto model = ModelFiles::open(folder.path() / "tiny.gguf");
  EXPECT_TRUE(model.config().qkv_bias);
  // The converter puts row (head h, half a, pair i) at row h*16 + 2i + a.
  std::vector<float> q(32 * 32), k(5 * 32), bias(32);
  std::vector<bf16_t> narrow(32);
  model.read_rows(TensorRole::kQ, 1, 0, 32, q.data());
  model.read_rows(TensorRole::kK, 1, 6, 5, k.data());
  model.read_rows(TensorRole::kQBias, 1, 0, 1, bias.data());
  model.read_rows(TensorRole::kQBias, 1, 0, 1, narrow.data());
  for (int row = 0; row < 32; ++row) {
    const int head = row / 16, half = row % 16 / 8, pair = row % 8, stored = head * 16 + 2 * pair + half;
    EXPECT_EQ(q[static_cast<std::size_t>(row) * 32], static_cast<float>(stored));
    EXPECT_EQ(bias[static_cast<std::size_t>(row)], static_cast<float>(stored));
    EXPECT_EQ(to_float(narrow[static_cast<std::size_t>(row)]), static_cast<float>(stored));
    if (row >= 6 && row < 11) {
      EXPECT_EQ(k[static_cast<std::size_t>(row - 6) * 32 + 31], static_cast<float>(stored));
    }
  }
  std::vector<float> v(16);
  model.read_rows(TensorRole::kVBias, 1, 0, 1, v.data());
  EXPECT_EQ(v[1], 1);
}

TEST(Gguf, EveryTruncationOfTheHeaderIsRefused) {
  GgufWriter writer;
  writer.key_string("general.architecture", "llama");
  writer.key_strings("tokens", {"a", "bc"});
  writer.tensor("a", {4, 2}, 0, std::string(32, 'a'));
  writer.tensor("b", {4}, 1, std::string(8, 'b'));
  const std::string file = writer.bytes();
  ASSERT_EQ(error_of(file), "none");
  for (std::size_t size = 0; size < writer.header().size() + 32; ++size)
    ASSERT_TRUE(says(error_of(file.substr(0, size)), "FormatError", {"m.gguf"})) << size;
}

// One flipped bit anywhere of a whole model file: it opens or says in one line what is wrong; if it opens, all of it
// can be read.
TEST(Gguf, FlippedBitsAreRefusedOrHarmless) {
  const testing::TempDir folder;
  const auto path = folder.path() / "tiny.gguf";
  std::mt19937_64 random(testing::test_seed(21));
  const std::array<GgufWriter, 3> writers{tiny_gguf("llama"), tiny_gguf("qwen2"), tiny_gguf("qwen3")};
  int refused = 0, opened = 0;
  for (int trial = 0; trial < 600; ++trial) {
    const GgufWriter& writer = writers[random() % 3];
    std::string bytes = writer.bytes();
    const std::size_t range = trial % 10 == 0 ? bytes.size() : writer.header().size();
    char& byte = bytes[random() % range];
    byte = static_cast<char>(byte ^ 1 << random() % 8);
    testing::write_file(path, bytes);
    const std::string message = thrown([&] {
      const auto model = ModelFiles::open(path);
      std::vector<float> row(1 << 16);
      for (const StoredTensor& t : model.tensors()) widen(t.type, t.data.data(), t.columns, row.data());
      EXPECT_EQ(model.content_hash().size(), 64u);
      ++opened;
    });
    if (message == "none") continue;
    ++refused;
    EXPECT_NE(message.find("tiny.gguf"), message.npos) << message;
  }
  EXPECT_GT(refused, 60);
  EXPECT_GT(opened, 60);
}

}  // namespace
}  // namespace kvgauge
