// tokenizer.json: what is read, and what is refused by name.
#include <gtest/gtest.h>

#include "core/json.h"
#include "kvgauge/error.h"
#include "support/paths.h"
#include "text/random_text.h"
#include "text/tokenizer.h"
#include "text/tokenizer_bytes.h"

namespace kvgauge {
namespace {

Json valid_document() {
  Json json = Json::parse(R"({"added_tokens": [{"id": 257, "content": "<s>", "special": true}], "normalizer": null,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}, "post_processor": null,
    "decoder": {"type": "ByteLevel"}, "model": {"type": "BPE", "merges": ["a b"], "vocab": {"ab": 256}}})");
  for (int b = 0; b < 256; ++b) json["model"]["vocab"][to_byte_alphabet(std::string(1, static_cast<char>(b)))] = b;
  return json;
}

std::string message_of(const std::string& text) {
  try {
    const Tokenizer tokenizer(parse_tokenizer_json(text, "t.json"), "t.json");
    tokenizer.encode("text <s> 12");
    return "(no error)";
  } catch (const FormatError& error) {
    return std::string("format: ") + error.what();
  } catch (const ConfigError& error) {
    return std::string("config: ") + error.what();
  }
}

struct Change {
  const char* path;   // JSON pointer
  const char* value;  // JSON; nullptr removes the member
  const char* message;
};
void PrintTo(const Change& change, std::ostream* out) {
  *out << change.path << " " << (change.value ? change.value : "removed");
}

std::string changed(const Change& change) {
  Json json = valid_document();
  const Json::json_pointer pointer(change.path);
  if (change.value)
    json[pointer] = Json::parse(change.value);
  else
    json[pointer.parent_pointer()].erase(pointer.back());
  return message_of(json.dump());
}

class TokenizerJson : public ::testing::TestWithParam<Change> {};

TEST_P(TokenizerJson, IsReadOrRefusedByName) {
  const std::string message = changed(GetParam());
  EXPECT_NE(message.find(GetParam().message), std::string::npos) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
}

constexpr Change kAccepted[] = {
    {"/version", "\"1.0\"", "(no error)"},
    {"/normalizer",
     R"({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Sequence", "normalizers": []}]})",
     "(no error)"},
    {"/pre_tokenizer",
     R"({"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"String": "(["}, "behavior": "Isolated", "invert": false},
       {"type": "Digits", "individual_digits": false}, {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]})",
     "(no error)"},
    {"/model/merges", R"([["a", "b"]])", "(no error)"},
    {"/model/merges", "[]", "(no error)"},
    {"/model/type", nullptr, "(no error)"},
    {"/model/unk_token", "\"<s>\"", "(no error)"},
    {"/model/dropout", "0.0", "(no error)"},
    {"/post_processor",
     R"({"type": "Sequence", "processors": [{"type": "ByteLevel"}, {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}], "special_tokens": {}}]})",
     "(no error)"},
};
constexpr Change kRefused[] = {
    {"/normalizer", R"({"type": "NFKC"})", "config: t.json: normalizer NFKC is not supported, NFC or none was needed"},
    {"/normalizer", R"({"type": "Sequence", "normalizers": [{"type": "Lowercase"}]})", "normalizer Lowercase"},
    {"/normalizer", R"({"type": 3})", "format: t.json: normalizer: 'type' is number"},
    {"/normalizer", "[]", "format: t.json: normalizer: found array"},
    {"/pre_tokenizer", "null", "config: t.json: pre_tokenizer is null"},
    {"/pre_tokenizer", R"({"type": "Metaspace"})", "pre_tokenizer Metaspace is not supported"},
    {"/pre_tokenizer", R"({"type": "Sequence", "pretokenizers": []})", "has no ByteLevel"},
    {"/pre_tokenizer", R"({"type": "Sequence", "pretokenizers": 1})", "pretokenizers is number"},
    {"/pre_tokenizer/add_prefix_space", "true", "ByteLevel with add_prefix_space"},
    {"/pre_tokenizer",
     R"({"type": "Sequence", "pretokenizers": [{"type": "ByteLevel", "add_prefix_space": false}, {"type": "Digits"}]})",
     "Digits after ByteLevel"},
    {"/pre_tokenizer", R"({"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Removed", "invert": false})",
     "Split with behavior Removed"},
    {"/pre_tokenizer", R"({"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Isolated", "invert": true})",
     "Split with invert"},
    {"/pre_tokenizer", R"({"type": "Split", "pattern": {}, "behavior": "Isolated"})", "'String' is missing"},
    {"/decoder", "null", "config: t.json: decoder null is not supported"},
    {"/decoder", R"({"type": "WordPiece"})", "decoder WordPiece is not supported"},
    {"/post_processor", R"({"type": "RobertaProcessing"})", "post_processor RobertaProcessing"},
    {"/post_processor",
     R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}}], "special_tokens": {}})",
     "'x' is missing"},
    {"/post_processor", R"({"type": "TemplateProcessing", "single": [], "special_tokens": {}})",
     "'single' has no Sequence"},
    {"/post_processor",
     R"({"type": "TemplateProcessing", "single": [{"Sequence": {}}, {"SpecialToken": {"id": "x"}}], "special_tokens": {"x": {"ids": [999]}}})",
     "the post-processor adds id 999"},
    {"/post_processor",
     R"({"type": "TemplateProcessing", "single": [{"Sequence": {}}, {"SpecialToken": {"id": "x"}}], "special_tokens": {"x": {"ids": [-1]}}})",
     "is not an id"},
    {"/model/type", "\"Unigram\"", "config: t.json: model type Unigram is not supported, BPE was needed"},
    {"/model/byte_fallback", "true", "model.byte_fallback is not supported"},
    {"/model/dropout", "0.1", "model.dropout is not supported"},
    {"/model/continuing_subword_prefix", "\"##\"", "model.continuing_subword_prefix"},
    {"/model/end_of_word_suffix", "\"</w>\"", "model.end_of_word_suffix"},
    {"/model/vocab", nullptr, "format: t.json: model: 'vocab' is missing"},
    {"/model/vocab", "[]", "'vocab' is missing"},
    {"/model/merges", nullptr, "'merges' is missing"},
    {"/model/vocab/ab", "258", "format: t.json: the largest id is 258 but there are only 258 tokens"},
    {"/model/vocab/ab", "999999999999", "is out of range"},
    {"/model/vocab/ab", "1000000", "the largest id is 1000000 but there are only 258 tokens"},
    {"/model/vocab/ab", "97", "id 97 is both"},
    {"/model/vocab/ab", "-1", "is out of range"},
    {"/model/vocab/ab", "1.5", "the id of 'ab' is not an integer"},
    {"/model/vocab/ab", "{}", "'ab' has no id"},
    {"/model/vocab/ab", "[]", "'ab' has no id"},
    {"/model/merges", R"(["ab"])", "entry 0 is not 2 parts"},
    {"/model/merges", R"(["a b c"])", "entry 0 is not 2 parts"},
    {"/model/merges", R"([["a"]])", "is not 2 strings"},
    {"/model/merges", R"([["a", "b", "c"]])", "is not 2 strings"},
    {"/model/merges", "[7]", "neither text nor a pair"},
    {"/model/merges", "[{}]", "neither text nor a pair"},
    {"/model/merges", R"([["a", []]])", "neither text nor a pair"},
    {"/model/merges", R"(["a c"])", "needs the token 'ac'"},
    {"/added_tokens", "{}", "added_tokens is object"},
    {"/added_tokens/0/id", "\"x\"", "t.json: added_tokens[0]: 'id' is string"},
    {"/added_tokens/0/id", "-1", "id -1 is out of range"},
    {"/added_tokens/0/id", "97", "which the vocabulary gives to 'a'"},
    {"/added_tokens/0/content", nullptr, "'content' is missing"},
    {"/added_tokens/0/content", "\"\"", "added token 257 has 0 bytes"},
    {"/added_tokens/0/special", "1", "'special' is number"},
    {"/model", nullptr, "t.json: 'model' is missing"},
    {"/model", "5", "'type'"},
};
INSTANTIATE_TEST_SUITE_P(Accepted, TokenizerJson, ::testing::ValuesIn(kAccepted));
INSTANTIATE_TEST_SUITE_P(Refused, TokenizerJson, ::testing::ValuesIn(kRefused));

TEST(TokenizerJsonFile, ReadsPrefixAndSuffixOfSeveralTemplates) {
  Json json = valid_document();
  json["post_processor"] = Json::parse(R"({"type": "Sequence", "processors": [
    {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}}, {"Sequence": {"id": "A"}}], "special_tokens": {"x": {"ids": [1, 2]}}},
    {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "y"}}, {"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "y"}}], "special_tokens": {"y": {"ids": [3]}}}]})");
  const TokenizerSpec spec = parse_tokenizer_json(json.dump(), "t");
  EXPECT_EQ(spec.prefix, (std::vector<std::int32_t>{3, 1, 2}));
  EXPECT_EQ(spec.suffix, (std::vector<std::int32_t>{3}));
}

TEST(TokenizerJsonFile, SeesWhatIsThereTwice) {
  const std::string text = valid_document().dump();
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string copy = text;
    return copy.replace(copy.find(from), from.size(), to);
  };
  EXPECT_NE(message_of(replaced("\"ab\":256", "\"ab\":256,\"ab\":256")).find("id 256 is both 'ab' and 'ab'"),
            std::string::npos);
  EXPECT_NE(message_of(replaced("\"merges\":", "\"merges\":[],\"merges\":")).find("model.merges is there twice"),
            std::string::npos);
  EXPECT_NE(message_of(replaced("\"vocab\":", "\"vocab\":{},\"vocab\":")).find("model.vocab is there twice"),
            std::string::npos);
}

TEST(TokenizerJsonFile, SurvivesTruncationNestingAndFlippedBytes) {
  const std::string text = valid_document().dump();
  for (std::size_t size = 0; size < text.size(); size += 7)
    EXPECT_NE(message_of(text.substr(0, size)).find("format: t.json"), std::string::npos) << size;
  EXPECT_NE(message_of(std::string(100'000, '[')).find("nested deeper than 64"), std::string::npos);
  EXPECT_NE(message_of("[]").find("found array, an object was needed"), std::string::npos);
  testing::Random random(testing::test_seed(21));
  for (int i = 0; i < 2000; ++i) {
    std::string copy = text;
    copy[static_cast<std::size_t>(random.below(static_cast<std::uint32_t>(copy.size())))] =
        static_cast<char>(random.below(256));
    EXPECT_EQ(message_of(copy).find('\n'), std::string::npos);  // loads or throws one line
  }
}

}  // namespace
}  // namespace kvgauge
