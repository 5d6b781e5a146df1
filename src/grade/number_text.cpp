#include "grade/number_text.h"

#include <algorithm>

namespace kvgauge {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::size_t digits_at(std::string_view text, std::size_t at) {
  std::size_t end = at;
  while (end < text.size() && is_digit(text[end])) ++end;
  return end - at;
}

std::size_t skip_spaces(std::string_view text, std::size_t at) {
  while (at < text.size() && text[at] == ' ') ++at;
  return at;
}

// Digits, or groups of three after one to three: 70,000 but not 7,00 nor 1,2
std::size_t integer_length(std::string_view text) {
  std::size_t at = digits_at(text, 0);
  if (at == 0 || at > 3) return at;
  while (at < text.size() && text[at] == ',' && digits_at(text, at + 1) == 3) at += 4;
  return at;
}

// The power of ten after a mantissa, e1 or \times 10^{1}
std::size_t power_length(std::string_view text) {
  const auto signed_length = [&](std::size_t at) -> std::size_t {
    if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
    const std::size_t count = digits_at(text, at);
    return count == 0 ? 0 : at + count;
  };
  if (!text.empty() && (text[0] == 'e' || text[0] == 'E')) return signed_length(1);
  std::size_t at = skip_spaces(text, 0);
  for (const std::string_view sign : {"\\times", "*", "x"}) {
    if (text.substr(at, sign.size()) != sign) continue;
    at = skip_spaces(text, at + sign.size());
    if (text.substr(at, 3) != "10^") return 0;
    at += 3;
    const bool is_braced = at < text.size() && text[at] == '{';
    const std::size_t end = signed_length(at + is_braced);
    if (end == 0 || (is_braced && (end >= text.size() || text[end] != '}'))) return 0;
    return end + is_braced;
  }
  return 0;
}

struct Plain {
  std::size_t length = 0;
  bool is_integer = false;  // digits only
};

Plain plain_number(std::string_view text) {
  std::size_t at = integer_length(text);
  const std::size_t decimals = at < text.size() && text[at] == '.' ? digits_at(text, at + 1) : 0;
  if (decimals > 0) at += 1 + decimals;
  if (at == 0) return {};
  const std::size_t power = power_length(text.substr(at));
  return {at + power, decimals == 0 && power == 0};
}

// {a} or one digit, of \frac
std::size_t argument_length(std::string_view text) {
  const std::size_t begin = skip_spaces(text, 0);
  if (begin < text.size() && is_digit(text[begin])) return begin + 1;
  if (begin >= text.size() || text[begin] != '{') return 0;
  std::size_t at = skip_spaces(text, begin + 1);
  if (at < text.size() && text[at] == '-') ++at;
  const std::size_t length = plain_number(text.substr(at)).length;
  if (length == 0) return 0;
  at = skip_spaces(text, at + length);
  return at < text.size() && text[at] == '}' ? at + 1 : 0;
}

std::size_t frac_length(std::string_view text) {
  constexpr std::string_view kFrac = "\\frac";
  if (text.substr(0, kFrac.size()) != kFrac) return 0;
  const std::size_t first = argument_length(text.substr(kFrac.size()));
  if (first == 0) return 0;
  const std::size_t second = argument_length(text.substr(kFrac.size() + first));
  return second == 0 ? 0 : kFrac.size() + first + second;
}

// a/b, unsigned and without spaces
std::size_t slashed_length(std::string_view text) {
  const std::size_t a = plain_number(text).length;
  if (a == 0 || a >= text.size() || text[a] != '/') return 0;
  const std::size_t b = plain_number(text.substr(a + 1)).length;
  return b == 0 ? 0 : a + 1 + b;
}

}  // namespace

std::size_t number_length(std::string_view text) {
  const std::size_t sign = !text.empty() && (text[0] == '-' || text[0] == '+');
  text.remove_prefix(sign);
  for (const std::size_t length : {frac_length(text), slashed_length(text)})
    if (length > 0) return sign + length;
  const Plain plain = plain_number(text);
  if (plain.length == 0) return 0;
  if (plain.is_integer) {
    const std::size_t at = skip_spaces(text, plain.length);
    std::size_t part = frac_length(text.substr(at));
    if (part == 0 && at == plain.length + 1) part = slashed_length(text.substr(at));
    if (part > 0) return sign + at + part;
  }
  return sign + plain.length;
}

std::string_view first_number(std::string_view text) {
  for (std::size_t at = text.find_first_of("0123456789+-.\\"); at != std::string_view::npos;
       at = text.find_first_of("0123456789+-.\\", at + 1))
    if (const std::size_t length = number_length(text.substr(at))) return text.substr(at, length);
  return {};
}

std::string_view last_number(std::string_view text) {
  std::string_view last;
  for (std::size_t at = text.find_first_of("0123456789+-.\\"); at != std::string_view::npos;
       at = text.find_first_of("0123456789+-.\\", at)) {
    const std::size_t length = number_length(text.substr(at));
    if (length > 0) last = text.substr(at, length);
    at += std::max<std::size_t>(length, 1);
  }
  return last;
}

}  // namespace kvgauge
