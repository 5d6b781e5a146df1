#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "core/json.h"
#include "core/rng.h"
#include "kvgauge/error.h"
#include "support/paths.h"
#include "text/random_text.h"
#include "text/tokenizer_bpe.h"
#include "text/tokenizer_bytes.h"
#include "text/tokenizer_nfc.h"

namespace kvgauge {
namespace {

using testing::Random;
using testing::random_bytes;
using testing::random_text;
using testing::read_file;
using testing::repo_path;
using testing::test_seed;

// All 256 bytes, then what the merges make; added tokens at the end.
TokenizerSpec byte_spec(const std::vector<std::pair<std::string, std::string>>& merges,
                        const std::vector<AddedToken>& added = {}) {
  TokenizerSpec spec;
  for (int b = 0; b < 256; ++b) spec.tokens.push_back(to_byte_alphabet(std::string(1, static_cast<char>(b))));
  for (const auto& [left, right] : merges) spec.tokens.push_back(left + right);
  spec.merges = merges;
  for (AddedToken token : added) {
    token.id = static_cast<std::int32_t>(spec.tokens.size());
    spec.tokens.push_back(token.content);
    spec.added.push_back(token);
  }
  apply_gguf_pretokenizer(spec, "gpt-2", "spec");
  return spec;
}

AddedToken special(std::string content) { return {.id = -1, .content = std::move(content), .special = true}; }

template <class E>
std::string message_of(const auto& call) {
  try {
    call();
  } catch (const E& error) {
    return error.what();
  }
  return "(no such exception)";
}

#define EXPECT_MESSAGE(type, part, call)                      \
  do {                                                        \
    const std::string said = message_of<type>([&] { call; }); \
    EXPECT_NE(said.find(part), std::string::npos) << said;    \
    EXPECT_EQ(said.find('\n'), std::string::npos) << said;    \
  } while (false)

TEST(Tokenizer, AddedTokensEqualHuggingFace) {
  const Json golden = parse_json(read_file(repo_path("tests/golden/tokenizer/added.json")), "added.json");
  const Tokenizer tokenizer(parse_tokenizer_json(golden.at("tokenizer").dump(), "added.json"), "added.json");
  ASSERT_EQ(golden.at("cases").size(), 600U);
  for (const Json& item : golden.at("cases")) {
    const auto text = item.at("text").get<std::string>();
    EXPECT_EQ(tokenizer.encode(text, {.parse_added = true, .add_special = true}),
              item.at("ids").get<std::vector<std::int32_t>>())
        << text;
  }
}

TEST(Tokenizer, PlainTextNeverBecomesASpecialTokenWhenNotParsed) {
  const Tokenizer tokenizer(byte_spec({{"<", "s"}}, {special("<s>"), special("<think>")}));
  const std::string text = "a<s><think>b";
  EXPECT_EQ(tokenizer.encode(text), (std::vector<std::int32_t>{'a', 257, 258, 'b'}));
  const auto ids = tokenizer.encode(text, {.parse_added = false});
  EXPECT_LT(*std::max_element(ids.begin(), ids.end()), 257);
  EXPECT_EQ(tokenizer.decode(ids), text);
  TokenizerSpec whole_words = byte_spec({}, {special("!")});  // ids 33 and 256 would spell the same
  whole_words.tokens.back() = whole_words.added.back().content = "<|x|>";
  whole_words.ignore_merges = true;
  const Tokenizer ignoring(std::move(whole_words));
  EXPECT_EQ(ignoring.encode("<|x|>", {.parse_added = false}).size(), 5U);
}

TEST(Tokenizer, IgnoreMergesTakesAWholeWordOfTheVocabulary) {
  TokenizerSpec spec = byte_spec({{"a", "b"}, {"b", "c"}});
  spec.tokens.push_back("abc");  // no merge makes it
  EXPECT_EQ(Tokenizer(spec).encode("abc"), (std::vector<std::int32_t>{256, 'c'}));
  spec.ignore_merges = true;
  EXPECT_EQ(Tokenizer(spec).encode("abc"), (std::vector<std::int32_t>{258}));
}

TEST(Tokenizer, DropsBytesThatTheVocabularyLacks) {
  TokenizerSpec spec;
  spec.tokens = {"a", "b", "ab"};
  spec.merges = {{"a", "b"}};
  const Tokenizer tokenizer(spec);
  EXPECT_EQ(tokenizer.encode("axb"), (std::vector<std::int32_t>{2}));  // as Hugging Face: what is left is adjacent
}

TEST(Tokenizer, DecodesIdsOutsideTheVocabularyToNothing) {
  const Tokenizer tokenizer(byte_spec({}, {special("<s>")}));
  const std::vector<std::int32_t> ids = {-1, 'a', 257, INT32_MAX, 256, INT32_MIN, 'b'};
  EXPECT_EQ(tokenizer.decode(ids), "a<s>b");
  EXPECT_EQ(tokenizer.decode(ids, true), "ab");
  EXPECT_EQ(tokenizer.token_bytes(257), "");
  EXPECT_FALSE(tokenizer.is_special(-5));
  EXPECT_EQ(tokenizer.size(), 257);
  EXPECT_EQ(tokenizer.find("<s>"), 256);
  EXPECT_EQ(tokenizer.find("no such token"), std::nullopt);
}

TEST(Tokenizer, DecodesEachMaximalSubpartToOneReplacement) {
  const Tokenizer tokenizer(byte_spec({}));
  const auto decode = [&](std::string_view bytes) {
    std::vector<std::int32_t> ids;
    for (const char c : bytes) ids.push_back(static_cast<unsigned char>(c));
    return tokenizer.decode(ids);
  };
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(decode("\xF0\x9F\x98\x80"), "\xF0\x9F\x98\x80");
  EXPECT_EQ(decode("a\xF0\x9F\x98"), "a" + r);  // cut at the end
  EXPECT_EQ(decode("\xF0\x9F\x98z"), r + "z");
  EXPECT_EQ(decode("\xE0\x80\x80"), r + r + r);          // overlong: no byte belongs to a character
  EXPECT_EQ(decode("\xED\xA0\x80"), r + r + r);          // surrogate
  EXPECT_EQ(decode("\xF4\x90\x80\x80"), r + r + r + r);  // above U+10FFFF
  EXPECT_EQ(decode("\xC0\xAF\xFF\x80"), r + r + r + r);
  EXPECT_EQ(decode("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF"
                   "A"),
            r + r + r + r + "A");  // the Unicode Standard's example, table 3-11
}

TEST(Tokenizer, RefusesIllFormedUtf8) {
  const Tokenizer tokenizer(byte_spec({}));
  EXPECT_MESSAGE(RequestError, "text: found ill-formed UTF-8 at byte 2", tokenizer.encode("ab\xFF"));
  EXPECT_MESSAGE(RequestError, "at byte 21", tokenizer.encode("twelve bytes and more\xE4\xB8"));
  EXPECT_TRUE(tokenizer.encode("").empty());
}

TEST(Tokenizer, RefusesAnInconsistentSpec) {
  const auto with = [](auto&& change) {
    TokenizerSpec spec = byte_spec({{"a", "b"}}, {special("<s>")});
    change(spec);
    return Tokenizer(std::move(spec), "m");
  };
  EXPECT_MESSAGE(FormatError, "m: merge 1 ('a' 'x') needs the token 'ax'", with([](TokenizerSpec& s) {
                   s.merges.push_back({"a", "x"});
                 }));
  EXPECT_MESSAGE(FormatError, "m: merge 1 ('a' 'b') is there twice", with([](TokenizerSpec& s) {
                   s.merges.push_back({"a", "b"});
                 }));
  EXPECT_MESSAGE(FormatError, "m: ids 97 and 98 are both 'a'", with([](TokenizerSpec& s) { s.tokens[98] = "a"; }));
  EXPECT_MESSAGE(FormatError, "m: id 98 has no token", with([](TokenizerSpec& s) { s.tokens[98] = ""; }));
  EXPECT_MESSAGE(FormatError, "m: added token '<s>' has id 300", with([](TokenizerSpec& s) { s.added[0].id = 300; }));
  EXPECT_MESSAGE(FormatError, "m: added token '<s>' has id -7", with([](TokenizerSpec& s) { s.added[0].id = -7; }));
  EXPECT_MESSAGE(FormatError, "which the vocabulary gives to 'a'", with([](TokenizerSpec& s) { s.added[0].id = 97; }));
  EXPECT_MESSAGE(FormatError, "two added tokens have id 257",
                 with([](TokenizerSpec& s) { s.added.push_back(s.added[0]); }));
  EXPECT_MESSAGE(FormatError, "has 600 bytes",
                 with([](TokenizerSpec& s) { s.tokens[257] = s.added[0].content = std::string(600, 'x'); }));
  EXPECT_MESSAGE(FormatError, "ill-formed",
                 with([](TokenizerSpec& s) { s.tokens[257] = s.added[0].content = "\xFF\n"; }));
  EXPECT_MESSAGE(FormatError, "the post-processor adds id 258", with([](TokenizerSpec& s) { s.suffix = {258}; }));
  EXPECT_MESSAGE(FormatError, "the vocabulary is empty", Tokenizer(TokenizerSpec{}, "m"));
  EXPECT_MESSAGE(ConfigError, "'\\w' is not supported", with([](TokenizerSpec& s) { s.splits = {{"\\w+"}}; }));
  EXPECT_MESSAGE(ConfigError, "does not compile", with([](TokenizerSpec& s) { s.splits = {{"(a"}}; }));
}

TEST(Tokenizer, KnowsTheGgufNames) {
  TokenizerSpec spec;
  apply_gguf_pretokenizer(spec, "smollm", "g");
  EXPECT_EQ(spec.splits.size(), 2U);
  apply_gguf_pretokenizer(spec, "llama-bpe", "g");
  EXPECT_TRUE(spec.ignore_merges && !spec.nfc && spec.splits.size() == 1);
  apply_gguf_pretokenizer(spec, "deepseek-r1-qwen", "g");
  EXPECT_TRUE(!spec.ignore_merges && spec.nfc && spec.splits.size() == 1);
  EXPECT_MESSAGE(ConfigError, "g: tokenizer.ggml.pre 'falcon' is not supported (known: gpt-2",
                 apply_gguf_pretokenizer(spec, "falcon", "g"));
  EXPECT_MESSAGE(ConfigError, "''", apply_gguf_pretokenizer(spec, "", "g"));
  EXPECT_MESSAGE(ConfigError, "is not supported", apply_gguf_pretokenizer(spec, "gpt-2 gpt2", "g"));
}

TEST(Tokenizer, TakesTimeInProportionToALongRun) {
  const Tokenizer tokenizer(byte_spec({{"a", "a"}, {"aa", "aa"}, {"b", "a"}, {"Ġ", "Ġ"}}));
  const auto start = std::chrono::steady_clock::now();
  for (const std::string_view unit : {"a", "ba", " ", "-", "\xCC\x81"}) {
    std::string text;
    while (text.size() < 1'000'000) text += unit;
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  EXPECT_LT(seconds.count(),
            30.0);  // quadratic work would take hours; sanitizers and a loaded machine take a few seconds
}

TEST(Tokenizer, OrdersALongRunOfMarksQuickly) {
  std::string text = "a";
  for (int i = 0; i < 200'000; ++i) text += i % 2 ? "\u0323" : "\u0301";  // classes 230 and 220 in turn
  const auto start = std::chrono::steady_clock::now();
  const std::string nfc = to_nfc(text);
  EXPECT_LT((std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()), 10.0);
  EXPECT_EQ(nfc.substr(0, 5), "\u1ea1\u0323");  // one dot below is composed, then the other dots, then the acutes
  EXPECT_EQ(nfc.substr(nfc.size() - 4), "\u0301\u0301");
}

TEST(Tokenizer, IsUsedByManyThreadsAtOnce) {
  const Tokenizer tokenizer(parse_tokenizer_json(read_file(repo_path("models/tiny-reasoner/tokenizer.json")), "tiny"),
                            "tiny");
  std::vector<std::string> texts;
  Random random(test_seed(3));
  for (int i = 0; i < 50; ++i) texts.push_back(random_text(random, 200));
  std::vector<std::vector<std::int32_t>> want;
  for (const std::string& text : texts) want.push_back(tokenizer.encode(text));
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < wrong.size(); ++t)
    threads.emplace_back([&, t] {
      for (int round = 0; round < 5; ++round)
        for (std::size_t i = 0; i < texts.size(); ++i)
          wrong[t] += tokenizer.encode(texts[i]) != want[i] || tokenizer.decode(want[i]) != texts[i];
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

TEST(TokenizerProperty, DecodingWhatWasEncodedGivesTheText) {
  const Tokenizer tokenizer(byte_spec({{"a", "b"}, {"Ġ", "a"}, {"Ġa", "b"}, {"Ã", "©"}, {"ð", "Ł"}, {"Ġ", "Ġ"}},
                                      {special("<s>"), special("<s><s>"), special("é中")}));
  Random random(test_seed(1));
  for (int i = 0; i < 3000; ++i) {
    const std::string text = random_text(random, 60);
    for (const bool parse : {true, false})
      ASSERT_EQ(tokenizer.decode(tokenizer.encode(text, {.parse_added = parse})), text) << "case " << i;
  }
}

// The definition: again and again the leftmost pair of the lowest rank.
std::vector<std::int32_t> reference_merge(std::vector<std::int32_t> symbols,
                                          const std::vector<std::array<std::int32_t, 3>>& merges) {
  for (;;) {
    std::size_t best = merges.size(), at = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i)
      for (std::size_t rank = 0; rank < best; ++rank)
        if (merges[rank][0] == symbols[i] && merges[rank][1] == symbols[i + 1]) best = rank, at = i;
    if (best == merges.size()) return symbols;
    symbols[at] = merges[best][2];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

TEST(TokenizerProperty, MergesByRankThenFromTheLeft) {
  Random random(test_seed(2));
  for (int round = 0; round < 300; ++round) {
    std::vector<std::array<std::int32_t, 3>> merges;
    MergeTable table(40);
    for (std::int32_t next = 3; next < 40; ++next) {
      const std::int32_t left = random.below(static_cast<std::uint32_t>(next)),
                         right = random.below(static_cast<std::uint32_t>(next));
      const std::int32_t merged =
          random.below(4) == 0 && next > 3 ? 3 + random.below(static_cast<std::uint32_t>(next - 3)) : next;
      if (table.add(left, right, merged)) merges.push_back({left, right, merged});
    }
    std::vector<std::int32_t> symbols(random.below(200));  // both the short and the long way
    for (std::int32_t& symbol : symbols) symbol = random.below(3);
    std::vector<std::int32_t> got = symbols;
    table.merge(got);
    ASSERT_EQ(got, reference_merge(symbols, merges)) << "round " << round;
  }
}

}  // namespace
}  // namespace kvgauge
