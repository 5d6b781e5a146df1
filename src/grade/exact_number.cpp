#include "grade/exact_number.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "core/cat.h"

namespace kvgauge {
namespace {

constexpr std::size_t kMostFractionDigits = 1000;
constexpr std::int64_t kMostExponent = 1'000'000'000;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::size_t digits_at(std::string_view text, std::size_t at) {
  std::size_t end = at;
  while (end < text.size() && is_digit(text[end])) ++end;
  return end - at;
}

Decimal normalised(bool negative, std::string digits, std::int64_t exponent) {
  const std::size_t first = digits.find_first_not_of('0');
  if (first == std::string::npos) return {};
  const std::size_t last = digits.find_last_not_of('0');
  exponent += static_cast<std::int64_t>(digits.size() - 1 - last);
  return {.negative = negative, .digits = digits.substr(first, last - first + 1), .exponent = exponent};
}

bool is_zero(const Decimal& a) { return a.digits.empty(); }

std::string product(const std::string& a, const std::string& b) {
  std::string out(a.size() + b.size(), '\0');
  for (std::size_t i = a.size(); i-- > 0;) {
    int carry = 0;
    for (std::size_t j = b.size(); j-- > 0;) {
      const int sum = out[i + j + 1] + (a[i] - '0') * (b[j] - '0') + carry;
      out[i + j + 1] = static_cast<char>(sum % 10);
      carry = sum / 10;
    }
    out[i] = static_cast<char>(out[i] + carry);
  }
  for (char& c : out) c = static_cast<char>(c + '0');
  return out;
}

Decimal product(const Decimal& a, const Decimal& b) {
  if (is_zero(a) || is_zero(b)) return {};
  return normalised(a.negative != b.negative, product(a.digits, b.digits), a.exponent + b.exponent);
}

std::string sum(const std::string& a, const std::string& b) {
  std::string out;
  int carry = 0;
  for (std::size_t i = 0; i < std::max(a.size(), b.size()) || carry; ++i) {
    const int digit =
        carry + (i < a.size() ? a[a.size() - 1 - i] - '0' : 0) + (i < b.size() ? b[b.size() - 1 - i] - '0' : 0);
    out += static_cast<char>('0' + digit % 10);
    carry = digit / 10;
  }
  std::reverse(out.begin(), out.end());
  return out;
}

bool fits_fraction(const Decimal& a) {
  return a.digits.size() <= kMostFractionDigits &&
         std::abs(a.exponent) <= static_cast<std::int64_t>(kMostFractionDigits);
}

// digits, or groups of three after one to three: 70,000 but not 7,00 nor 1,2
std::size_t read_integer(std::string_view text, std::string& digits) {
  const std::size_t first = digits_at(text, 0);
  digits.assign(text.substr(0, first));
  if (first == 0 || first > 3) return first;
  std::size_t at = first;
  std::string grouped = digits;
  while (at < text.size() && text[at] == ',' && digits_at(text, at + 1) == 3) {
    grouped += text.substr(at + 1, 3);
    at += 4;
  }
  digits = grouped;
  return at;
}

std::size_t skip_spaces(std::string_view text, std::size_t at) {
  while (at < text.size() && text[at] == ' ') ++at;
  return at;
}

// The power of ten after a mantissa, e1 or \times 10^{1}; returns the characters read, 0 if there is none.
std::size_t read_power(std::string_view text, std::int64_t& power) {
  const auto read_signed = [&](std::size_t at) -> std::size_t {
    const bool negative = at < text.size() && text[at] == '-';
    if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
    const std::size_t count = digits_at(text, at);
    if (count == 0) return 0;
    power = 0;
    for (std::size_t i = at; i < at + count; ++i) power = std::min(kMostExponent + 1, power * 10 + (text[i] - '0'));
    if (negative) power = -power;
    return at + count;
  };
  if (!text.empty() && (text[0] == 'e' || text[0] == 'E')) return read_signed(1);
  std::size_t at = skip_spaces(text, 0);
  for (const std::string_view sign : {"\\times", "*", "x"}) {
    if (text.substr(at, sign.size()) != sign) continue;
    at = skip_spaces(text, at + sign.size());
    if (text.substr(at, 3) != "10^") return 0;
    at += 3;
    const bool braced = at < text.size() && text[at] == '{';
    const std::size_t end = read_signed(at + braced);
    if (end == 0 || (braced && (end >= text.size() || text[end] != '}'))) return 0;
    return end + braced;
  }
  return 0;
}

struct Plain {
  Decimal value;
  bool has_point = false;
  bool is_integer = false;  // digits only
  std::size_t used = 0;     // 0: none
};

Plain read_plain(std::string_view text) {
  Plain plain;
  std::string digits;
  std::size_t at = read_integer(text, digits);
  std::int64_t exponent = 0;
  if (const std::size_t decimals = at < text.size() && text[at] == '.' ? digits_at(text, at + 1) : 0; decimals > 0) {
    digits += text.substr(at + 1, decimals);
    exponent = -static_cast<std::int64_t>(decimals);
    at += 1 + decimals;
    plain.has_point = true;
  }
  if (at == 0) return plain;
  std::int64_t power = 0;
  const std::size_t power_length = read_power(text.substr(at), power);
  if (power_length > 0 && std::abs(power) > kMostExponent) return plain;
  plain.is_integer = !plain.has_point && power_length == 0;
  plain.value = normalised(false, std::move(digits), exponent + (power_length > 0 ? power : 0));
  plain.used = at + power_length;
  return plain;
}

// {a} or one digit, of \frac; an inner sign is allowed in braces.
std::size_t read_argument(std::string_view text, Decimal& value) {
  const std::size_t begin = skip_spaces(text, 0);
  if (begin < text.size() && is_digit(text[begin])) {
    value = normalised(false, std::string(1, text[begin]), 0);
    return begin + 1;
  }
  if (begin >= text.size() || text[begin] != '{') return 0;
  std::size_t at = skip_spaces(text, begin + 1);
  const bool negative = at < text.size() && text[at] == '-';
  if (negative) ++at;
  const Plain plain = read_plain(text.substr(at));
  if (plain.used == 0) return 0;
  at = skip_spaces(text, at + plain.used);
  if (at >= text.size() || text[at] != '}') return 0;
  value = plain.value;
  value.negative = negative && !is_zero(value);
  return at + 1;
}

std::optional<Rational> fraction(Decimal numerator, Decimal denominator) {
  if (is_zero(denominator) || !fits_fraction(numerator) || !fits_fraction(denominator)) return std::nullopt;
  numerator.negative = !is_zero(numerator) && numerator.negative != denominator.negative;
  denominator.negative = false;
  return Rational{.numerator = std::move(numerator), .denominator = std::move(denominator), .is_fraction = true};
}

// \frac{a}{b}
std::optional<Rational> read_frac(std::string_view text, std::size_t& used) {
  constexpr std::string_view kFrac = "\\frac";
  if (text.substr(0, kFrac.size()) != kFrac) return std::nullopt;
  Decimal numerator, denominator;
  const std::size_t first = read_argument(text.substr(kFrac.size()), numerator);
  if (first == 0) return std::nullopt;
  const std::size_t second = read_argument(text.substr(kFrac.size() + first), denominator);
  if (second == 0) return std::nullopt;
  used = kFrac.size() + first + second;
  return fraction(std::move(numerator), std::move(denominator));
}

// a/b, unsigned and without spaces
std::optional<Rational> read_slashed(std::string_view text, std::size_t& used) {
  const Plain a = read_plain(text);
  if (a.used == 0 || a.used >= text.size() || text[a.used] != '/') return std::nullopt;
  const Plain b = read_plain(text.substr(a.used + 1));
  if (b.used == 0) return std::nullopt;
  used = a.used + 1 + b.used;
  return fraction(a.value, b.value);
}

// whole + part, whole an unsigned integer: (whole * d + n) / d
std::optional<Rational> mixed(const Decimal& whole, const Rational& part) {
  if (!fits_fraction(whole) || part.numerator.negative) return std::nullopt;
  const auto as_integer = [](const Decimal& a) {
    return a.digits + std::string(static_cast<std::size_t>(a.exponent), '0');
  };
  const Decimal scaled = product(whole, part.denominator);
  if (scaled.exponent < 0 || part.numerator.exponent < 0) return std::nullopt;
  return fraction(normalised(false, sum(as_integer(scaled), as_integer(part.numerator)), 0), part.denominator);
}

std::optional<Rational> read_unsigned(std::string_view text, std::size_t& used) {
  if (auto frac = read_frac(text, used)) return frac;
  if (auto slashed = read_slashed(text, used)) return slashed;
  const Plain plain = read_plain(text);
  if (plain.used == 0) return std::nullopt;
  if (plain.is_integer) {
    const std::size_t at = skip_spaces(text, plain.used);
    std::size_t part_used = 0;
    auto part = read_frac(text.substr(at), part_used);
    if (!part && at == plain.used + 1) part = read_slashed(text.substr(at), part_used);
    if (part)
      if (auto whole_and_part = mixed(plain.value, *part)) {
        used = at + part_used;
        return whole_and_part;
      }
  }
  used = plain.used;
  Rational number;
  number.numerator = plain.value;
  number.has_point = plain.has_point;
  return number;
}

double approximate(const Decimal& a) {
  if (is_zero(a)) return 0;
  constexpr std::size_t kMostDigits = 30;  // a double tells 17 apart
  const std::string digits = a.digits.substr(0, kMostDigits);
  const auto dropped = static_cast<std::int64_t>(a.digits.size() - digits.size());
  return std::strtod(cat(a.negative ? "-" : "", digits, 'e', a.exponent + dropped).c_str(), nullptr);
}

}  // namespace

std::optional<Rational> read_number(std::string_view text, std::size_t& used) {
  const bool has_sign = !text.empty() && (text[0] == '-' || text[0] == '+');
  auto number = read_unsigned(text.substr(has_sign), used);
  if (!number) return std::nullopt;
  used += has_sign;
  if (has_sign && text[0] == '-' && !is_zero(number->numerator))
    number->numerator.negative = !number->numerator.negative;
  return number;
}

bool equal(const Rational& a, const Rational& b) {
  if (a.denominator == b.denominator) return a.numerator == b.numerator;
  // A fraction's parts are short; a decimal longer than a fraction's parts can give is no fraction's value unless its
  // trailing zeros hide in the exponent, and products of thousands of digits stay cheap.
  constexpr std::size_t kMostDigits = 8 * kMostFractionDigits;
  if (a.numerator.digits.size() > kMostDigits || b.numerator.digits.size() > kMostDigits) return false;
  return product(a.numerator, b.denominator) == product(b.numerator, a.denominator);
}

bool equal_to_six_decimals(const Rational& a, const Rational& b) {
  if (!((a.is_fraction && b.has_point) || (a.has_point && b.is_fraction))) return false;
  const double x = approximate(a.numerator) / approximate(a.denominator),
               y = approximate(b.numerator) / approximate(b.denominator);
  constexpr double kLargest = 1e9;  // beyond it, six decimals are below a double's last digit
  return std::abs(x) < kLargest && std::abs(y) < kLargest && std::nearbyint(x * 1e6) == std::nearbyint(y * 1e6);
}

}  // namespace kvgauge
