// PCRE2 with our rewriting against Oniguruma, the engine that the patterns were written for (Hugging Face tokenizers
// uses it).
#include <gtest/gtest.h>

// Two of its names are also POSIX's, which GoogleTest includes.
#define ONIG_ESCAPE_REGEX_T_COLLISION
#define re_registers oniguruma_registers
#include <oniguruma.h>
#undef re_registers

#include "support/paths.h"
#include "text/pretokenizer.h"
#include "text/random_text.h"
#include "text/tokenizer_patterns.h"
#include "text/utf8.h"

namespace kvgauge {
namespace {

class Oniguruma {
 public:
  explicit Oniguruma(std::string_view pattern) {
    OnigErrorInfo error;
    const auto bytes = reinterpret_cast<const OnigUChar*>(pattern.data());
    if (onig_new(&regex_, bytes, bytes + pattern.size(), ONIG_OPTION_NONE, ONIG_ENCODING_UTF8, ONIG_SYNTAX_RUBY,
                 &error) != ONIG_NORMAL)
      ADD_FAILURE() << pattern;
  }
  ~Oniguruma() {
    onig_free(regex_);
    onig_region_free(region_, 1);
  }
  Oniguruma(const Oniguruma&) = delete;
  Oniguruma& operator=(const Oniguruma&) = delete;

  std::vector<std::string> split(std::string_view text) {
    const auto begin = reinterpret_cast<const OnigUChar*>(text.data());
    const auto end = begin + text.size();
    std::vector<std::string> pieces;
    std::size_t done = 0;
    while (done < text.size() && onig_search(regex_, begin, end, begin + done, end, region_, ONIG_OPTION_NONE) >= 0) {
      const auto first = static_cast<std::size_t>(region_->beg[0]), last = static_cast<std::size_t>(region_->end[0]);
      if (first > done) pieces.emplace_back(text.substr(done, first - done));
      pieces.emplace_back(text.substr(first, last - first));
      done = last;
    }
    if (done < text.size()) pieces.emplace_back(text.substr(done));
    return pieces;
  }

 private:
  OnigRegex regex_ = nullptr;
  OnigRegion* region_ = onig_region_new();
};

class AgainstOniguruma : public ::testing::TestWithParam<std::string_view> {};

TEST_P(AgainstOniguruma, EveryRandomTextIsSplitAlike) {
  const Pretokenizer ours({std::string(GetParam())}, "test");
  Oniguruma theirs(GetParam());
  testing::Random random(testing::test_seed(41));
  int with_separator = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::string text = testing::random_text(random, 20);
    with_separator += text.find("\u180e") != std::string::npos;
    std::vector<std::string_view> pieces;
    ours.split(text, pieces);
    ASSERT_EQ(std::vector<std::string>(pieces.begin(), pieces.end()), theirs.split(text))
        << "case " << i << ": " << text;
  }
  EXPECT_GT(with_separator, 1000);
}

// Every code point that both engines' Unicode versions know alike, between neighbours that show its class.
TEST_P(AgainstOniguruma, EveryCodePointBelowTheEmojiIsSplitAlike) {
  const Pretokenizer ours({std::string(GetParam())}, "test");
  Oniguruma theirs(GetParam());
  std::string text;
  for (char32_t c = 1; c < 0x20000; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    text += "a ";
    append_utf8(text, c);
    text += "1";
    if (text.size() < 4000) continue;
    std::vector<std::string_view> pieces;
    ours.split(text, pieces);
    ASSERT_EQ(std::vector<std::string>(pieces.begin(), pieces.end()), theirs.split(text))
        << "before U+" << std::hex << static_cast<std::uint32_t>(c);
    text.clear();
  }
}

INSTANTIATE_TEST_SUITE_P(Published, AgainstOniguruma,
                         ::testing::Values(patterns::kGpt2, patterns::kLlama3, patterns::kQwen2, patterns::kDigit,
                                           patterns::kDigits));

}  // namespace
}  // namespace kvgauge
