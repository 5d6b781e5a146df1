#include "control/difficulty_head.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>

#include "core/cat.h"
#include "core/json.h"
#include "core/sha256.h"
#include "loader/messages.h"
#include "support/golden_tensors.h"
#include "support/paths.h"

namespace kvgauge::testing {
namespace {

DifficultyHead small_head() {
  DifficultyHead head;
  head.window = {.part = GaugePart::kKV,
                 .layers = {1, 3, 4},
                 .positions = 16,
                 .mean_over_positions = true,
                 .mean_over_heads = false,
                 .mean_over_layers = false};
  head.hidden = 3;
  head.model_layers = 6;
  head.kv_heads = 2;
  head.head_dim = 2;
  for (int i = 0; i < 3 * 8; ++i) head.w1.push_back(0.25f * static_cast<float>(i) - 3);
  head.b1 = {1e-30f, -0.0f, 3.14159274f};
  head.w2 = {1, -2, 0.1f};
  head.b2 = {50};
  head.mean = {0, 1, 2, 3, 4, 5, 6, 7};
  head.deviation = {1, 1, 2, 2, 1e-6f, 1e6f, 1, 1};
  head.model_hash = std::string(64, 'a');
  head.template_set = "native 0123456789ab";
  head.training_data = std::string(64, 'b');
  head.recipe = R"({"epochs": 3, "note": "ü \" "})";
  return head;
}

/// A head file as JSON header and data, to be spoiled.
struct HeadFile {
  Json metadata = {{"format", "kvgauge difficulty head"},
                   {"version", "1"},
                   {"part", "v"},
                   {"layers", "0,1"},
                   {"window", "32"},
                   {"positions", "sum"},
                   {"heads", "mean"},
                   {"over_layers", "mean"},
                   {"model_layers", "2"},
                   {"kv_heads", "3"},
                   {"head_dim", "2"},
                   {"model_hash", "h"},
                   {"template_set", "t"},
                   {"training_data", "d"}};
  std::map<std::string, std::pair<std::vector<std::int64_t>, std::vector<float>>> tensors = {
      {"hidden.weight", {{1, 2}, {1, 2}}}, {"hidden.bias", {{1}, {3}}},     {"output.weight", {{1, 1}, {4}}},
      {"output.bias", {{1}, {5}}},         {"feature.mean", {{2}, {0, 1}}}, {"feature.deviation", {{2}, {1, 2}}}};

  std::string bytes() const {
    Json header = {{"__metadata__", metadata}};
    std::string data;
    for (const auto& [name, tensor] : tensors) {
      const std::size_t begin = data.size();
      data.append(reinterpret_cast<const char*>(tensor.second.data()), tensor.second.size() * sizeof(float));
      header[name] = {{"dtype", "F32"}, {"shape", tensor.first}, {"data_offsets", {begin, data.size()}}};
    }
    const std::string text = header.dump();
    const std::uint64_t length = text.size();
    return std::string(reinterpret_cast<const char*>(&length), sizeof length) + text + data;
  }
  DifficultyHead read() const {
    const std::string file = bytes();
    return parse_difficulty_head(std::as_bytes(std::span(file)), "h.safetensors");
  }
  std::string error() const {
    return thrown([this] { read(); });
  }
};

TEST(DifficultyHead, ReadsBackWhatWasWritten) {
  const TempDir dir;
  const auto path = dir.path() / "head.safetensors";
  const DifficultyHead head = small_head();
  write_difficulty_head(path, head);
  const DifficultyHead got = read_difficulty_head(path);
  EXPECT_EQ(got.window, head.window);
  EXPECT_EQ(got.hidden, head.hidden);
  EXPECT_EQ(got.features(), 8);
  EXPECT_EQ(got.w1, head.w1);
  EXPECT_EQ(got.b1, head.b1);
  EXPECT_EQ(got.w2, head.w2);
  EXPECT_EQ(got.b2, head.b2);
  EXPECT_EQ(got.mean, head.mean);
  EXPECT_EQ(got.deviation, head.deviation);
  EXPECT_EQ(got.model_layers, 6);
  EXPECT_EQ(got.kv_heads, 2);
  EXPECT_EQ(got.head_dim, 2);
  EXPECT_EQ(got.model_hash, head.model_hash);
  EXPECT_EQ(got.template_set, head.template_set);
  EXPECT_EQ(got.training_data, head.training_data);
  EXPECT_EQ(got.recipe, head.recipe);
  EXPECT_EQ(got.id, sha256_hex(read_file(path)).substr(0, 12));
  EXPECT_FALSE(std::filesystem::exists(path.string() + ".tmp"));

  // and another reader of the format finds the same arrays
  const GoldenTensors tensors(path);
  EXPECT_EQ(tensors.shape("hidden.weight"), (std::vector<std::int64_t>{3, 8}));
  EXPECT_EQ(tensors.shape("output.weight"), (std::vector<std::int64_t>{1, 3}));
  EXPECT_EQ(tensors.reals("output.bias"), std::vector<double>{50});
  EXPECT_EQ(tensors.reals("feature.deviation")[5], 1e6f);
}

TEST(DifficultyHead, MayLackFeatureStatistics) {
  const TempDir dir;
  DifficultyHead head = small_head();
  head.mean.clear();
  head.deviation.clear();
  head.window.part = GaugePart::kK;
  head.window.mean_over_heads = true;
  head.window.positions = 0;
  head.w1.resize(3 * 2);
  write_difficulty_head(dir.path() / "h", head);
  const DifficultyHead got = read_difficulty_head(dir.path() / "h");
  EXPECT_TRUE(got.mean.empty() && got.deviation.empty());
  EXPECT_EQ(got.window, head.window);
  EXPECT_EQ(got.features(), 2);
}

TEST(DifficultyHead, SaysWhereAFileIsUnfit) {
  EXPECT_EQ(HeadFile().read().features(), 2);  // mean over heads: V of one head
  const auto with = [](const char* key, const char* value) {
    HeadFile file;
    file.metadata[key] = value;
    return file.error();
  };
  EXPECT_TRUE(says(with("format", "kvgauge embeddings"), "FormatError", {"h.safetensors: metadata 'format'"}));
  EXPECT_TRUE(says(with("version", "2"), "FormatError", {"metadata 'version' is '2', 1 was needed"}));
  EXPECT_TRUE(says(with("part", "kvv"), "FormatError", {"metadata 'part' is 'kvv', kv, k or v was needed"}));
  for (const char* const layers : {"", "2", "0,0", "1,0", "0,", ",0", "-1", "0 1", "99999999999", "0x1"})
    EXPECT_TRUE(says(with("layers", layers), "FormatError", {"metadata 'layers'", "ascending layers below 2"}))
        << layers;
  EXPECT_TRUE(says(with("window", "-1"), "FormatError", {"metadata 'window'"}));
  EXPECT_TRUE(says(with("window", "1e3"), "FormatError", {"metadata 'window'"}));
  EXPECT_TRUE(says(with("positions", "last"), "FormatError", {"'positions' is 'last', sum or mean was needed"}));
  EXPECT_TRUE(says(with("model_layers", "0"), "FormatError", {"'model_layers' is '0', 1 to 4096"}));
  EXPECT_TRUE(says(with("head_dim", "1000000"), "FormatError", {"'head_dim'", "at most"}));
  EXPECT_TRUE(says(with("head_dim", "3"), "FormatError", {"'hidden.weight': found F32[1,2], F32[1,3] was needed"}));
  const HeadFile whole;
  for (const auto& [key, value] : whole.metadata.items()) {
    HeadFile file;
    file.metadata.erase(key);
    EXPECT_TRUE(says(file.error(), "FormatError", {cat("metadata '", key, "' is not there")}));
  }
  for (const auto& [name, tensor] : whole.tensors) {
    HeadFile without, misshapen, not_finite;
    without.tensors.erase(name);
    EXPECT_TRUE(says(without.error(), "FormatError", {cat("tensor '", name, "' is not there")}));
    misshapen.tensors[name].first.insert(misshapen.tensors[name].first.begin(), 1);
    EXPECT_TRUE(says(misshapen.error(), "FormatError", {cat("tensor '", name, "'"), "needed"}));
    not_finite.tensors[name].second[0] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(says(not_finite.error(), "FormatError", {cat("tensor '", name, "': found nan at 0")}));
  }
  HeadFile flat, unknown;
  flat.tensors["feature.deviation"].second[1] = 0;
  EXPECT_TRUE(says(flat.error(), "FormatError", {"'feature.deviation': found 0 at 1"}));
  unknown.tensors["classifier.0.weight"] = {{1}, {1}};
  EXPECT_TRUE(says(unknown.error(), "FormatError", {"tensor 'classifier.0.weight' is not known"}));
}

TEST(DifficultyHead, IsRefusedForAnotherModelByName) {
  const DifficultyHead head = small_head();
  ModelConfig config;
  config.layers = 6;
  config.kv_heads = 2;
  config.head_dim = 2;
  EXPECT_EQ(reason_to_refuse(head, config, head.model_hash), "");
  EXPECT_EQ(reason_to_refuse(head, config, std::string(64, 'c')),
            "model hash: the head was made for aaaaaaaaaaaa, this model has cccccccccccc");
  config.head_dim = 64;
  EXPECT_EQ(reason_to_refuse(head, config, head.model_hash), "head dim: the head was made for 2, this model has 64");
  config.kv_heads = 8;
  EXPECT_EQ(reason_to_refuse(head, config, head.model_hash), "KV heads: the head was made for 2, this model has 8");
  config.layers = 36;
  EXPECT_EQ(reason_to_refuse(head, config, head.model_hash), "layers: the head was made for 6, this model has 36");
}

TEST(DifficultyHead, AFileThatCannotBeReadOrWrittenIsNamed) {
  const TempDir dir;
  EXPECT_TRUE(says(thrown([&] { read_difficulty_head(dir.path() / "none"); }), "InputError", {"none"}));
  EXPECT_THROW(write_difficulty_head(dir.path() / "no" / "h", small_head()), OutputError);
  write_file(dir.path() / "short", "abc");
  EXPECT_TRUE(says(thrown([&] { read_difficulty_head(dir.path() / "short"); }), "FormatError", {"short: found 3"}));
}

}  // namespace
}  // namespace kvgauge::testing
