#include "loader/config_json.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/cat.h"
#include "loader/model_files.h"
#include "messages.h"
#include "model_writer.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

using testing::says;
using testing::thrown;
using testing::tiny_folder;

ModelConfig parse(const OrderedJson& config) { return parse_config_json(config.dump(), "config.json"); }
OrderedJson with(const char* architecture, const OrderedJson& changes) {
  OrderedJson config = tiny_folder(architecture).config;
  config.update(changes);
  return config;
}
std::string error_of(const char* architecture, const OrderedJson& changes) {
  return thrown([&] { parse(with(architecture, changes)); });
}

// The shapes of the published configs that CLI.md promises.
TEST(ConfigJson, ReadsThePublishedModels) {
  const auto llama31 =
      parse(OrderedJson::parse(R"({"architectures":["LlamaForCausalLM"],"attention_bias":false,"attention_dropout":0.0,
    "bos_token_id":128000,"eos_token_id":[128001,128008,128009],"hidden_act":"silu","hidden_size":4096,"intermediate_size":14336,
    "max_position_embeddings":131072,"mlp_bias":false,"num_attention_heads":32,"num_hidden_layers":32,"num_key_value_heads":8,
    "pretraining_tp":1,"rms_norm_eps":1e-05,"rope_scaling":{"factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,
    "original_max_position_embeddings":8192,"rope_type":"llama3"},"rope_theta":500000.0,"tie_word_embeddings":false,"vocab_size":128256})"));
  EXPECT_EQ(llama31.head_dim, 128);
  EXPECT_EQ(llama31.rope_scaling->original_max_position, 8192);
  EXPECT_FALSE(llama31.tied_head || llama31.qkv_bias || llama31.qk_norm);
  const auto distill_qwen =
      parse(OrderedJson::parse(R"({"architectures":["Qwen2ForCausalLM"],"bos_token_id":151643,"eos_token_id":151643,
    "hidden_act":"silu","hidden_size":1536,"intermediate_size":8960,"max_position_embeddings":131072,"max_window_layers":21,
    "model_type":"qwen2","num_attention_heads":12,"num_hidden_layers":28,"num_key_value_heads":2,"rms_norm_eps":1e-06,
    "rope_theta":10000,"sliding_window":4096,"tie_word_embeddings":false,"use_mrope":false,"use_sliding_window":false,"vocab_size":151936})"));
  EXPECT_EQ(distill_qwen.architecture, Architecture::kQwen2);
  EXPECT_EQ(distill_qwen.head_dim, 128);
  EXPECT_TRUE(distill_qwen.qkv_bias);
  const auto qwen3 = parse(OrderedJson::parse(
      R"({"architectures":["Qwen3ForCausalLM"],"attention_bias":false,"dtype":"bfloat16","head_dim":128,
    "hidden_act":"silu","hidden_size":1024,"intermediate_size":3072,"layer_types":["full_attention"],"max_position_embeddings":40960,
    "num_attention_heads":16,"num_hidden_layers":28,"num_key_value_heads":8,"rms_norm_eps":1e-06,
    "rope_parameters":{"rope_theta":1000000,"rope_type":"default"},"tie_word_embeddings":true,"use_sliding_window":false,"vocab_size":151936})"));
  EXPECT_TRUE(qwen3.qk_norm && qwen3.tied_head);
  EXPECT_EQ(qwen3.rope_theta, 1e6);
  EXPECT_EQ(qwen3.head_dim, 128);
}

TEST(ConfigJson, RefusesByName) {
  const auto refused = [](const char* architecture, const OrderedJson& changes, const std::string& part) {
    EXPECT_TRUE(says(error_of(architecture, changes), "ConfigError", {"config.json", part, "not supported", "needed"}));
  };
  refused("llama", {{"architectures", {"MixtralForCausalLM"}}}, "architecture 'MixtralForCausalLM'");
  refused("llama", {{"hidden_act", "gelu"}}, "hidden_act 'gelu'");
  refused("llama", {{"attention_bias", true}}, "'attention_bias': true");
  refused("llama", {{"mlp_bias", true}}, "'mlp_bias': true");
  refused("qwen2", {{"use_sliding_window", true}}, "'use_sliding_window': true");
  refused("qwen3", {{"layer_types", {"full_attention", "sliding_attention"}}}, "layer type \"sliding_attention\"");
  refused("llama", {{"partial_rotary_factor", 0.5}}, "partial_rotary_factor");
  refused("llama", {{"quantization_config", {{"quant_method", "gptq"}}}}, "quantization_config 'gptq'");
  refused("llama", {{"rope_scaling", {{"type", "linear"}, {"factor", 2.0}}}}, "rope_scaling: rope type 'linear'");
  refused("qwen2", {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}}}}, "rope type 'yarn'");
  refused("qwen3", {{"rope_parameters", {{"rope_type", "dynamic"}}}}, "rope_parameters: rope type 'dynamic'");
  refused("qwen3", {{"rope_parameters", {{"full_attention", {{"rope_type", "default"}}}}}},
          "the table 'full_attention'");
  refused("llama", {{"hidden_act", "a\nb"}}, "a\\x0ab");
}

TEST(ConfigJson, NamesContradictions) {
  const auto wrong = [](const OrderedJson& changes, const std::string& part) {
    EXPECT_TRUE(says(error_of("llama", changes), "FormatError", {"config.json", part}));
  };
  for (const char* key : {"num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size", "vocab_size",
                          "max_position_embeddings"}) {
    wrong({{key, nullptr}}, key);
    wrong({{key, "7"}}, key);
    wrong({{key, 1.5}}, key);
    wrong({{key, 0}}, "is 0");
    wrong({{key, -1}}, "is -1");
    wrong({{key, INT64_MAX}}, "9223372036854775807");
  }
  wrong({{"architectures", nullptr}}, "'architectures'");
  wrong({{"architectures", {"LlamaForCausalLM", "Qwen2ForCausalLM"}}}, "'architectures'");
  wrong({{"num_attention_heads", 3}, {"num_key_value_heads", 2}}, "3 attention heads are no multiple of 2");
  wrong({{"num_attention_heads", 3}, {"num_key_value_heads", 3}, {"head_dim", nullptr}},
        "hidden_size 32 is no multiple of num_attention_heads 3");
  wrong({{"head_dim", 15}}, "the head dimension is 15, an even number");
  wrong({{"rms_norm_eps", 0}}, "epsilon");
  wrong({{"rope_theta", -5}}, "RoPE base");
  wrong({{"rope_scaling", "llama3"}}, "rope_scaling");
  wrong({{"rope_scaling", {{"rope_type", "llama3"}}}}, "'factor' is missing");
  wrong({{"rope_scaling", {{"rope_type", "llama3"}, {"factor", 8}, {"low_freq_factor", 4}, {"high_freq_factor", 4}}}},
        "high_freq_factor is 4, more than");
  EXPECT_TRUE(says(thrown([] { parse_config_json("[1]", "config.json"); }), "FormatError", {"config.json"}));
  EXPECT_TRUE(
      says(thrown([] { parse_config_json("{", "config.json"); }), "FormatError", {"config.json: not valid JSON"}));
}

TEST(ConfigJson, GenerationAndTokenizerSettings) {
  const auto eos = [](const char* text) { return parse_generation_json(text, "g").eos; };
  EXPECT_EQ(eos(R"({"eos_token_id": 3})"), (std::vector<std::int32_t>{3}));
  EXPECT_EQ(eos(R"({"eos_token_id": [3, 5], "bos_token_id": null})"), (std::vector<std::int32_t>{3, 5}));
  EXPECT_TRUE(eos("{}").empty());
  EXPECT_TRUE(
      says(thrown([&] { eos(R"({"eos_token_id": [3, "x"]})"); }), "FormatError", {"g: 'eos_token_id' holds string"}));
  EXPECT_TRUE(says(thrown([&] { eos(R"({"eos_token_id": -1})"); }), "FormatError", {"holds -1"}));
  EXPECT_TRUE(says(thrown([&] { eos(R"({"eos_token_id": 99999999999})"); }), "FormatError", {"holds 99999999999"}));
  const auto tokens = [](const char* text) { return parse_tokenizer_config_json(text, "t"); };
  const auto settings = tokens(R"({"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>",
    "chat_template": [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]})");
  EXPECT_EQ(settings.bos_token, "<s>");
  EXPECT_EQ(settings.eos_token, "</s>");
  EXPECT_EQ(settings.chat_template, "D");
  EXPECT_EQ(tokens(R"({"chat_template": "X", "bos_token": null})").chat_template, "X");
  EXPECT_EQ(tokens("{}").chat_template, std::nullopt);
  EXPECT_TRUE(
      says(thrown([&] { tokens(R"({"chat_template": 3})"); }), "FormatError", {"t: 'chat_template' is number"}));
  EXPECT_TRUE(says(thrown([&] { tokens(R"({"chat_template": [3]})"); }), "FormatError", {"t: chat_template"}));
  EXPECT_TRUE(says(thrown([&] { tokens(R"({"eos_token": {"text": 1}})"); }), "FormatError",
                   {"t: eos_token: 'content' is missing"}));
}

// As transformers: either flag replaces both ends that tokenizer.json gives.
TEST(ConfigJson, FlagsDecideWhatIsAddedAroundAText) {
  const auto ends = [](const Json& changes) {
    auto model = tiny_folder("llama");
    for (const auto& token : model.tokenizer.at("added_tokens"))
      if (token.at("content") == "<|endoftext|>")
        model.tokenizer["post_processor"] =
            Json::parse(cat(R"({"type": "TemplateProcessing", "pair": [],
          "single": [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
          "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [)",
                            token.at("id").get<int>(), R"(], "tokens": ["<|endoftext|>"]}}})"));
    model.tokenizer_config =
        parse_json(testing::read_file(testing::repo_path("tests/golden/models/llama31/tokenizer_config.json")), "t");
    for (const char* key : {"add_bos_token", "add_eos_token"}) model.tokenizer_config.erase(key);
    model.tokenizer_config.update(changes);
    const testing::TempDir folder;
    model.write(folder.path());
    const auto opened = ModelFiles::open(folder.path());
    return std::pair(opened.tokenizer().prefix.size(), opened.tokenizer().suffix.size());
  };
  EXPECT_EQ(ends(Json::object()), std::pair(std::size_t{1}, std::size_t{0}));  // what tokenizer.json says
  EXPECT_EQ(ends({{"add_bos_token", nullptr}}), std::pair(std::size_t{1}, std::size_t{0}));
  EXPECT_EQ(ends({{"add_eos_token", true}}), std::pair(std::size_t{0}, std::size_t{1}));
  EXPECT_EQ(ends({{"add_bos_token", true}}), std::pair(std::size_t{1}, std::size_t{0}));
  EXPECT_EQ(ends({{"add_bos_token", false}}), std::pair(std::size_t{0}, std::size_t{0}));
  EXPECT_EQ(ends({{"add_bos_token", true}, {"add_eos_token", true}}), std::pair(std::size_t{1}, std::size_t{1}));
  EXPECT_EQ(ends({{"add_bos_token", true}, {"bos_token", nullptr}}), std::pair(std::size_t{0}, std::size_t{0}));
  EXPECT_TRUE(says(thrown([&] {
                     ends({{"add_bos_token", true}, {"bos_token", "<none>"}});
                   }),
                   "FormatError", {"tokenizer_config.json: the token '<none>'"}));
}

// The folder as a whole: what one file says against another.
TEST(ConfigJson, FoldersThatContradictThemselves) {
  const auto opened = [](auto change, const char* architecture = "qwen2") {
    auto model = tiny_folder(architecture);
    change(model);
    const testing::TempDir folder;
    model.write(folder.path());
    return thrown([&] { ModelFiles::open(folder.path()); });
  };
  for (const char* architecture : {"llama", "qwen2", "qwen3"}) EXPECT_EQ(opened([](auto&) {}, architecture), "none");
  EXPECT_TRUE(says(opened([](auto& m) { m.config["num_hidden_layers"] = 3; }), "FormatError",
                   {"model.safetensors: tensor 'model.layers.2.input_layernorm.weight': is missing, a qwen2 model with "
                    "3 layers needs it"}));
  EXPECT_TRUE(says(opened([](auto& m) { m.config["num_hidden_layers"] = 1; }), "ConfigError",
                   {"tensor 'model.layers.1.", "is no part of a qwen2 model with 1 layers"}));
  EXPECT_TRUE(says(opened([](auto& m) { m.config["vocab_size"] = 301; }), "FormatError",
                   {"'model.embed_tokens.weight': its shape is [300, 32], the config needs [301, 32]"}));
  EXPECT_TRUE(says(opened([](auto& m) { m.config["tie_word_embeddings"] = false; }), "FormatError",
                   {"tensor 'lm_head.weight': is missing"}));
  EXPECT_EQ(opened([](auto& m) {
              m.tensors.emplace_back("lm_head.weight", std::vector<std::int64_t>{300, 32});
            }),
            "none");  // a copy beside a tied head
  EXPECT_EQ(opened([](auto& m) {
              m.tensors.emplace_back("model.layers.0.self_attn.rotary_emb.inv_freq", std::vector<std::int64_t>{8});
            }),
            "none");
  EXPECT_TRUE(says(opened([](auto& m) {
                     m.tensors.emplace_back("model.layers.0.self_attn.o_proj.bias", std::vector<std::int64_t>{32});
                   }),
                   "ConfigError", {"'model.layers.0.self_attn.o_proj.bias': is no part"}));
  EXPECT_TRUE(says(opened([](auto& m) { m.tensors.back().second = {48}; }), "FormatError",
                   {"its shape is [48], the config needs"}));
  EXPECT_TRUE(says(opened([](auto& m) { m.generation_config["eos_token_id"] = 300; }), "FormatError",
                   {"generation_config.json: the end-of-text id is 300"}));
  EXPECT_TRUE(says(opened([](auto& m) {
                     m.config["vocab_size"] = 270;
                     m.tensors[0].second = {270, 32};
                   }),
                   "FormatError", {"tokenizer.json: the tokenizer has 280 tokens"}));
}

TEST(ConfigJson, ShardsAndTheirIndex) {
  const auto source = testing::repo_path("tests/golden/models/qwen3");
  const auto opened = [&](auto change) {
    const testing::TempDir folder;
    std::filesystem::copy(source, folder.path(), std::filesystem::copy_options::recursive);
    const auto index_path = folder.path() / "model.safetensors.index.json";
    Json index = parse_json(testing::read_file(index_path), "index");
    change(index, folder.path());
    testing::write_file(index_path, index.dump());
    return thrown([&] { ModelFiles::open(folder.path()); });
  };
  using Path = std::filesystem::path;
  EXPECT_EQ(opened([](Json&, const Path&) {}), "none");
  EXPECT_TRUE(says(
      opened([](Json&, const Path& folder) { std::filesystem::remove(folder / "model-00002-of-00002.safetensors"); }),
      "InputError", {"model-00002-of-00002.safetensors: is missing", "download all shards"}));
  EXPECT_TRUE(says(opened([](Json& index, const Path&) { index.erase("weight_map"); }), "FormatError",
                   {"'weight_map' is missing"}));
  EXPECT_TRUE(says(opened([](Json& index, const Path&) { index["weight_map"]["model.norm.weight"] = "../x"; }),
                   "FormatError", {"'../x' is no plain name"}));
  EXPECT_TRUE(says(opened([](Json& index, const Path&) { index["weight_map"]["model.norm.weight"] = 7; }),
                   "FormatError", {"'model.norm.weight'", "number"}));
  EXPECT_TRUE(
      says(opened([](Json& index, const Path&) { index["weight_map"]["more"] = "model-00001-of-00002.safetensors"; }),
           "FormatError", {"'more' is not in"}));
  EXPECT_TRUE(says(opened([](Json& index, const Path&) { index["weight_map"].erase("model.norm.weight"); }),
                   "FormatError", {"'model.norm.weight'", "the index says otherwise"}));
}

// The closed form against the definition: at the ends of the interpolation the factor and 1, in between monotone.
TEST(RopeFrequencies, Llama3InterpolatesBetweenTheTwoEnds) {
  ModelConfig config;
  config.head_dim = 128;
  config.rope_theta = 500000;
  const auto plain = rope_inverse_frequencies(config);
  EXPECT_EQ(plain[0], 1);
  EXPECT_NEAR(plain[32], std::sqrt(1 / 500000.0), 1e-18);
  config.rope_scaling = Llama3RopeScaling{};
  const auto scaled = rope_inverse_frequencies(config);
  constexpr double kTurn = 6.283185307179586;
  double previous = 1;
  for (std::size_t i = 0; i < 64; ++i) {
    const double rotations = 8192 * plain[i] / kTurn, ratio = scaled[i] / plain[i];  // over the original context
    if (rotations > 4)
      EXPECT_EQ(ratio, 1);
    else if (rotations < 1)
      EXPECT_NEAR(ratio, 0.125, 1e-15);
    else
      EXPECT_NEAR(ratio, 0.125 + 0.875 * (rotations - 1) / 3, 1e-14);
    EXPECT_LE(ratio, previous);
    previous = ratio;
  }
  config.rope_scaling.reset();
  config.rope_factors.assign(64, 4.0f);
  EXPECT_EQ(rope_inverse_frequencies(config)[5], plain[5] / 4);
}

}  // namespace
}  // namespace kvgauge
