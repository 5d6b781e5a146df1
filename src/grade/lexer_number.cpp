#include <algorithm>
#include <cctype>

#include "grade/lexer.h"

namespace kvgauge::math {
namespace {

constexpr std::int64_t kMostExponent = 1'000'000'000;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The shortest block whose repetition makes up the end of the digits at least twice, three times if of one digit.
std::size_t repeating_block(std::string_view decimals) {
  for (std::size_t block = 1; block <= 12 && 2 * block <= decimals.size(); ++block) {
    const std::size_t copies = block == 1 ? 3 : 2;
    if (copies * block > decimals.size()) continue;
    const std::string_view last = decimals.substr(decimals.size() - block);
    bool repeats = true;
    for (std::size_t copy = 2; copy <= copies; ++copy)
      repeats = repeats && decimals.substr(decimals.size() - copy * block, block) == last;
    if (repeats) return block;
  }
  return 0;
}

}  // namespace

// The length of what separates groups of three digits at `i`, 0 for none.
std::size_t Lexer::group_separator(std::size_t i) const {
  std::size_t length = 0;
  for (const std::string_view separator : {"{,}", "\\,", "\\;", "\\ ", "\\:", ",\\!", "\\!", "~"})
    if (starts(i, separator)) length = separator.size();
  if (length == 0 && at(i) == ',' && brackets_ == 0) length = 1;
  if (length == 0 && at(i) == ' ' && is_digits_and_spaces_) length = 1;
  if (length > 1)
    while (at(i + length) == ' ') ++length;
  return length;
}

std::string Lexer::read_integer() {
  const std::size_t begin = pos_;
  while (is_digit(at(pos_))) ++pos_;
  std::string digits(text_.substr(begin, pos_ - begin));
  if (digits.empty() || digits.size() > 3 || digits[0] == '0') return digits;
  while (const std::size_t separator = group_separator(pos_)) {
    const std::size_t group = pos_ + separator;
    if (!is_digit(at(group)) || !is_digit(at(group + 1)) || !is_digit(at(group + 2)) || is_digit(at(group + 3))) break;
    digits += text_.substr(group, 3);
    pos_ = group + 3;
  }
  return digits;
}

void Lexer::read_number() {
  Token number;
  number.type = Token::Type::kNumber;
  number.is_spaced = is_spaced_;
  number.text = read_integer();
  std::size_t decimals = 0;
  const bool leads_repetition =
      starts(pos_, ".\\overline") || starts(pos_, ".\\bar") || starts(pos_, ".\\dot") || starts(pos_, ".(");
  if (at(pos_) == '.' && (is_digit(at(pos_ + 1)) || leads_repetition)) {
    number.has_point = true;
    const std::size_t begin = ++pos_;
    while (is_digit(at(pos_))) ++pos_;
    decimals = pos_ - begin;
    number.text += text_.substr(begin, decimals);
    number.exponent = -static_cast<std::int64_t>(decimals);
    read_repetition(number, decimals);
  }
  if (number.repeating == 0) read_exponent(number);
  if (number.text.empty() || tokens_.size() >= most_tokens_) return fail();
  tokens_.push_back(std::move(number));
  is_spaced_ = false;
}

// 0.\overline{3}, 0.\bar3, 0.(3) at the end of the answer, 0.333...
void Lexer::read_repetition(Token& number, std::size_t decimals) {
  const auto take = [&](std::size_t begin, std::size_t end, std::size_t next) {
    const std::string_view digits = text_.substr(begin, end - begin);
    if (digits.empty() || digits.size() > 1000 || !std::all_of(digits.begin(), digits.end(), is_digit)) return fail();
    number.text += digits;
    number.exponent -= static_cast<std::int64_t>(digits.size());
    number.repeating = static_cast<std::uint32_t>(digits.size());
    pos_ = next;
  };
  for (const std::string_view command : {"\\overline", "\\bar", "\\dot"}) {
    if (!starts(pos_, command)) continue;
    const std::size_t begin = after_spaces(pos_ + command.size());
    if (is_digit(at(begin))) return take(begin, begin + 1, begin + 1);
    const std::size_t close = at(begin) == '{' ? closing_brace(begin) : std::string_view::npos;
    if (close == std::string_view::npos) return fail();
    return take(begin + 1, close, close + 1);
  }
  if (at(pos_) == '(') {
    const std::size_t close = text_.find(')', pos_);
    if (close != std::string_view::npos && after_spaces(close + 1) == text_.size())
      return take(pos_ + 1, close, close + 1);
    if (decimals == 0) fail();
    return;
  }
  for (const std::string_view dots : {"...", "\\ldots", "\\dots", "\\cdots"}) {
    if (!starts(pos_, dots)) continue;
    const std::size_t shown = std::min<std::size_t>(decimals, 64);
    const std::string_view last = std::string_view(number.text).substr(number.text.size() - shown);
    number.repeating = static_cast<std::uint32_t>(repeating_block(last));
    pos_ += dots.size();
    return;
  }
}

// 1.8e1, 5E-3; the e of 2e is the base of logarithms.
void Lexer::read_exponent(Token& number) {
  if (at(pos_) != 'e' && at(pos_) != 'E') return;
  std::size_t i = pos_ + 1;
  const bool is_negative = at(i) == '-';
  if (at(i) == '-' || at(i) == '+') ++i;
  if (!is_digit(at(i))) return;
  std::int64_t exponent = 0;
  for (; is_digit(at(i)); ++i) exponent = std::min(kMostExponent + 1, exponent * 10 + (at(i) - '0'));
  if (exponent > kMostExponent) return fail();
  number.exponent += is_negative ? -exponent : exponent;
  pos_ = i;
}

}  // namespace kvgauge::math
