#include "text/pretokenizer.h"

#include <gtest/gtest.h>

#include "kvgauge/error.h"
#include "support/paths.h"
#include "text/random_text.h"
#include "text/tokenizer_patterns.h"

namespace kvgauge {
namespace {

using Pieces = std::vector<std::string>;

Pieces split(const std::vector<std::string>& patterns, std::string_view text) {
  std::vector<std::string_view> pieces;
  Pretokenizer(patterns, "test").split(text, pieces);
  return {pieces.begin(), pieces.end()};
}

TEST(Pretokenizer, MatchesAndGapsArePieces) {
  EXPECT_EQ(split({"b+"}, "abbcab"), (Pieces{"a", "bb", "ca", "b"}));
  EXPECT_EQ(split({"\\d", "b"}, "ab1b2"), (Pieces{"a", "b", "1", "b", "2"}));
  EXPECT_EQ(split({}, "as it is"), (Pieces{"as it is"}));
  EXPECT_EQ(split({"x"}, ""), Pieces{});
  EXPECT_EQ(split({"x*"}, "aéxxb"), (Pieces{"a", "é", "xx", "b"}));  // an empty match cuts between characters
}

TEST(Pretokenizer, EachPatternSeesItsPieceAsTheWholeText) {
  EXPECT_EQ(split({"\\d", "\\s+(?!\\S)"}, "a  1"),
            (Pieces{"a", "  ", "1"}));  // at the end of the piece nothing follows
}

TEST(Pretokenizer, MongolianVowelSeparatorIsNoSpace) {
  const std::string gpt2(patterns::kGpt2);
  EXPECT_EQ(split({gpt2}, "a \u180e b"), (Pieces{"a", " \u180e", " b"}));
  EXPECT_EQ(split({"\\S+"}, "\u180e\u3000\u180e"), (Pieces{"\u180e", "\u3000", "\u180e"}));
  EXPECT_EQ(split({"[^\\S]+"}, "a\u0085\u180e"), (Pieces{"a", "\u0085", "\u180e"}));
  EXPECT_EQ(split({"[[:space:]x]+"}, "\u180e x\u180e"), (Pieces{"\u180e", " x", "\u180e"}));
}

TEST(Pretokenizer, SplitsAsTheModelsPublish) {
  EXPECT_EQ(split({std::string(patterns::kGpt2)}, "He's 42  times\n\nthere!"),
            (Pieces{"He", "'s", " 42", " ", " times", "\n", "\n", "there", "!"}));
  EXPECT_EQ(split({std::string(patterns::kLlama3)}, "HE'S 12345\n\n x"),
            (Pieces{"HE", "'S", " ", "123", "45", "\n\n", " x"}));
  EXPECT_EQ(split({std::string(patterns::kQwen2)}, "$x=12;\n"), (Pieces{"$x", "=", "1", "2", ";\n"}));
  EXPECT_EQ(split({std::string(patterns::kDigit), std::string(patterns::kGpt2)}, " 42 a"),
            (Pieces{" ", "4", "2", " a"}));
}

TEST(Pretokenizer, ALiteralMatchesItself) {
  for (const std::string text : {"a.b", "([", "\\", "é|", " \n", "^$"})
    EXPECT_EQ(split({literal_pattern(text)}, "x" + text + "y"), (Pieces{"x", text, "y"})) << text;
}

TEST(Pretokenizer, RefusesWhatTheEnginesReadDifferently) {
  for (const char* const pattern : {"\\w+", "[\\W]", "a\\b", "\\h", "[a[bc]]", "[a&&b]", "(*ACCEPT)", "(?C1)", "\\X",
                                    "(a", "[b-a]", "\\p{Nope}", "\xFF"})
    EXPECT_THROW(split({pattern}, "text"), Error) << pattern;
  EXPECT_THROW(split({std::string(20'000, 'a')}, "text"), ConfigError);
  EXPECT_THROW(split(Pieces(17, "a"), "text"), ConfigError);
  EXPECT_NO_THROW(split({"[]x]", "[^]x]", "\\[", "[\\]\\[]", "a{1,3}+", "^a$"}, "text"));
}

TEST(Pretokenizer, GivesUpOnAPatternThatTriesEverything) {
  EXPECT_THROW(split({"(a|aa)+[bc]"}, std::string(60, 'a')), RequestError);
}

TEST(PretokenizerProperty, PiecesAreTheText) {
  const Pretokenizer splitters[] = {{{std::string(patterns::kGpt2)}, "t"},
                                    {{std::string(patterns::kLlama3)}, "t"},
                                    {{std::string(patterns::kDigit), std::string(patterns::kQwen2)}, "t"}};
  testing::Random random(testing::test_seed(31));
  for (int i = 0; i < 3000; ++i) {
    const std::string text = testing::random_text(random, 40);
    for (const Pretokenizer& splitter : splitters) {
      std::vector<std::string_view> pieces;
      splitter.split(text, pieces);
      std::string joined;
      for (const std::string_view piece : pieces) {
        ASSERT_FALSE(piece.empty());
        joined += piece;
      }
      ASSERT_EQ(joined, text) << "case " << i;
    }
  }
}

}  // namespace
}  // namespace kvgauge
