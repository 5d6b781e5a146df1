// Real vocabularies against Hugging Face tokenizers: 2,000 lines each (tests/golden/tokenizer, see PROVENANCE.md).
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>

#include "core/cat.h"
#include "core/json.h"
#include "support/paths.h"
#include "text/published_tokenizers.h"
#include "text/stream_decoder.h"
#include "text/tokenizer.h"

namespace kvgauge {
namespace {

using testing::missing_model;
using testing::model_path;
using testing::read_file;
using testing::repo_path;

std::string fnv1a(std::string_view bytes) {
  std::uint64_t hash = 0xCBF29CE484222325ULL;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  return fmt::format("{:016x}", hash);
}

std::vector<std::string> golden_text() {
  const std::string file = read_file(repo_path("tests/golden/tokenizer/text.jsonl"));
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < file.size();) {
    const std::size_t end = file.find('\n', at);
    lines.push_back(parse_json(std::string_view(file).substr(at, end - at), "text.jsonl").get<std::string>());
    at = end + 1;
  }
  return lines;
}

// Each row: number of ids, their hash (32-bit little-endian), the hash of what they decode to without special tokens.
void expect_goldens(const Tokenizer& tokenizer, const std::string& name) {
  const Json golden = parse_json(read_file(repo_path("tests/golden/tokenizer/" + name + ".json")), name);
  const std::vector<std::string> lines = golden_text();
  ASSERT_EQ(lines.size(), 2000U);
  ASSERT_EQ(golden.at("rows").size(), lines.size());
  int wrong = 0;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::vector<std::int32_t> ids = tokenizer.encode(lines[i], {.parse_added = true, .add_special = true});
    if (i < golden.at("first_ids").size()) {
      EXPECT_EQ(ids, golden.at("first_ids")[i].get<std::vector<std::int32_t>>()) << lines[i];
    }
    const std::string_view bytes(reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(std::int32_t));
    const std::string row = cat(ids.size(), " ", fnv1a(bytes), " ", fnv1a(tokenizer.decode(ids, true)));
    if (row == golden.at("rows")[i].get<std::string>()) continue;
    if (++wrong <= 5)
      ADD_FAILURE() << name << " line " << i + 1 << " '" << lines[i] << "'\n got " << row << " [" << join(ids)
                    << "]\nwant " << golden.at("rows")[i];
  }
  EXPECT_EQ(wrong, 0) << "of " << lines.size() << " lines";
}

void expect_goldens_and_json(const TokenizerSpec& spec, const std::string& name) {
  expect_goldens(Tokenizer(spec, name), name);
  for (const bool pairs : {false, true}) {
    const std::string json = testing::to_tokenizer_json(spec, pairs);
    const auto start = std::chrono::steady_clock::now();
    const Tokenizer tokenizer(parse_tokenizer_json(json, name), name);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    std::printf("%s: tokenizer.json of %.1f MB, %d tokens, %zu merges: loaded in %.3f s\n", name.c_str(),
                static_cast<double>(json.size()) / 1e6, tokenizer.size(), spec.merges.size(), seconds.count());
    expect_goldens(tokenizer, name);
  }
}

TEST(PublishedTokenizer, SmolLm2EqualsHuggingFace) {
  const auto path = model_path("SmolLM2-135M-Instruct.Q4_1.gguf");
  if (!exists(path)) GTEST_SKIP() << missing_model(path.string());
  expect_goldens_and_json(testing::smollm2_spec(path), "smollm2");
}

TEST(PublishedTokenizer, Qwen3EqualsHuggingFace) {
  const auto path = model_path("qwen.tiktoken"), special = model_path("qwen3.special");
  if (!exists(path) || !exists(special)) GTEST_SKIP() << missing_model(path.string());
  expect_goldens_and_json(testing::qwen3_spec(path, special), "qwen3");
}

TEST(PublishedTokenizer, Llama3EqualsHuggingFace) {
  const auto path = model_path("llama3.vocab"), special = model_path("llama3.special");
  if (!exists(path) || !exists(special)) GTEST_SKIP() << missing_model(path.string());
  expect_goldens_and_json(testing::llama3_spec(path, special), "llama3");
}

}  // namespace
}  // namespace kvgauge
