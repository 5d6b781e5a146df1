#include "text/stream_decoder.h"

#include <gtest/gtest.h>

#include "kvgauge/error.h"
#include "support/paths.h"
#include "text/random_text.h"
#include "text/tokenizer_bytes.h"
#include "text/utf8.h"

namespace kvgauge {
namespace {

using testing::Random;
using testing::random_bytes;
using testing::random_text;
using testing::test_seed;

// Bytes, pieces of characters, whole characters, specials: everything that a stream can cut.
Tokenizer cutting_tokenizer() {
  TokenizerSpec spec;
  for (int b = 0; b < 256; ++b) spec.tokens.push_back(to_byte_alphabet(std::string(1, static_cast<char>(b))));
  for (const std::string_view bytes : {"\xF0\x9F", "\x98\x80", "\xE4\xB8", "\xAD\xE6", "\x96\x87", "\xC3", "\xA9",
                                       "\xE0\xA4", "the", " the", "\xF0\x9F\x98\x80", "x\xE4", "\xED\xA0", "\xF4\x90"})
    if (bytes.size() > 1) spec.tokens.push_back(to_byte_alphabet(bytes));
  for (const auto& [content, special] : {std::pair<std::string, bool>{"<s>", true}, {"<think>", false}, {"中", true}}) {
    AddedToken token;
    token.id = static_cast<std::int32_t>(spec.tokens.size());
    token.content = content;
    token.special = special;
    spec.tokens.push_back(content);
    spec.added.push_back(token);
  }
  apply_gguf_pretokenizer(spec, "gpt-2", "spec");
  return Tokenizer(std::move(spec));
}

TEST(StreamDecoder, EqualsTheWholeDecodeForAnyTokens) {
  const Tokenizer tokenizer = cutting_tokenizer();
  Random random(test_seed(11));
  for (int i = 0; i < 20'000; ++i) {
    std::vector<std::int32_t> ids;
    if (i % 2) {
      for (const char c : random_bytes(random, 8)) ids.push_back(static_cast<unsigned char>(c));
    } else {
      for (int n = random.below(20); n > 0; --n)
        ids.push_back(random.below(4) ? 256 + random.below(20) : random.below(300) - 5);
    }
    const bool skip = random.below(2) != 0;
    StreamDecoder stream(tokenizer, skip);
    std::string text;
    for (const std::int32_t id : ids) {
      const std::string piece = stream.push(id);
      ASSERT_EQ(find_ill_formed_utf8(piece), std::string_view::npos) << "case " << i;
      text += piece;
    }
    text += stream.finish();
    ASSERT_EQ(text, tokenizer.decode(ids, skip)) << "case " << i;
  }
}

TEST(StreamDecoder, HoldsBackOnlyWhatMayBecomeACharacter) {
  const Tokenizer tokenizer = cutting_tokenizer();
  StreamDecoder stream(tokenizer);
  EXPECT_EQ(stream.push(0xF0), "");
  EXPECT_EQ(stream.push(0x9F), "");
  EXPECT_EQ(stream.push(0x98), "");
  EXPECT_EQ(stream.push(0x80), "\U0001F600");
  EXPECT_EQ(stream.push(0xE4), "");
  EXPECT_EQ(stream.push('a'),
            "\uFFFD"
            "a");
  EXPECT_EQ(stream.push(0xFF), "\uFFFD");
  EXPECT_EQ(stream.push(0xC3), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
  EXPECT_EQ(stream.finish(), "");
}

// The definition: the smallest end at which a stop string ends, and of those that end there the longest.
struct NaiveStop {
  bool found = false;
  std::string before, stop;
};
NaiveStop naive_search(const std::string& text, const std::vector<std::string>& stops) {
  for (std::size_t end = 1; end <= text.size(); ++end) {
    NaiveStop best;
    for (const std::string& stop : stops)
      if (stop.size() <= end && text.compare(end - stop.size(), stop.size(), stop) == 0 &&
          (!best.found || stop.size() > best.stop.size()))
        best = {true, text.substr(0, end - stop.size()), stop};
    if (best.found) return best;
  }
  return {false, text, ""};
}

TEST(StopMatcher, EqualsASearchOfTheWholeTextForAnyCuts) {
  Random random(test_seed(12));
  const auto word = [&](std::uint32_t most) {
    std::string text;
    for (int n = 1 + random.below(most); n > 0; --n) text += "abc"[random.below(random.below(3) ? 2 : 3)];
    return text;
  };
  int matches = 0;
  for (int i = 0; i < 30'000; ++i) {
    std::vector<std::string> stops;
    for (int n = random.below(4); n > 0; --n) stops.push_back(word(6));
    const std::string text = word(40);
    StopMatcher matcher(stops);
    std::string shown;
    for (std::size_t at = 0; at < text.size();) {
      const auto size = static_cast<std::size_t>(random.below(6));
      shown += matcher.push(std::string_view(text).substr(at, size));
      at += size;
      // Nothing that belongs to a stop string is shown before it is known whether it does.
      ASSERT_TRUE(naive_search(text, stops).before.starts_with(shown)) << "case " << i;
    }
    if (!matcher.matched()) shown += matcher.finish();
    const NaiveStop want = naive_search(text, stops);
    ASSERT_EQ(matcher.matched(), want.found) << "case " << i;
    ASSERT_EQ(shown, want.before) << "case " << i;
    ASSERT_EQ(want.found ? matcher.match() : "", want.stop) << "case " << i;
    matches += want.found;
  }
  EXPECT_GT(matches, 5000);
}

TEST(StopMatcher, ShowsWhatCannotBeAStopAtOnce) {
  StopMatcher matcher({"</think>", "\n\n"});
  EXPECT_EQ(matcher.push("a<"), "a");
  EXPECT_EQ(matcher.push("/thin"), "");
  EXPECT_EQ(matcher.push("g"), "</thing");
  EXPECT_EQ(matcher.push("\n"), "");
  EXPECT_EQ(matcher.push("x\n"), "\nx");
  EXPECT_EQ(matcher.push("\ny"), "");
  EXPECT_TRUE(matcher.matched());
  EXPECT_EQ(matcher.match(), "\n\n");
  EXPECT_EQ(matcher.push("later"), "");
  EXPECT_EQ(matcher.finish(), "");
}

TEST(StopMatcher, WithoutStopsLetsEverythingPass) {
  StopMatcher matcher({});
  EXPECT_EQ(matcher.push("anything"), "anything");
  EXPECT_EQ(matcher.finish(), "");
  EXPECT_FALSE(matcher.matched());
}

TEST(StopMatcher, RefusesAnEmptyStop) { EXPECT_THROW(StopMatcher({"a", ""}), UsageError); }

}  // namespace
}  // namespace kvgauge
