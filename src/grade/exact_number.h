#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kvgauge {

/// +-digits * 10^exponent in its only normal form: no leading or trailing zero digit; zero is no digits, exponent 0,
/// not negative.
struct Decimal {
  bool negative = false;
  std::string digits;
  std::int64_t exponent = 0;
  friend bool operator==(const Decimal&, const Decimal&) = default;
};

/// An exact number as answers write it; the denominator is positive and not zero.
struct Rational {
  Decimal numerator;
  Decimal denominator{.negative = false, .digits = "1", .exponent = 0};
  bool is_fraction = false;  ///< written with a fraction bar
  bool has_point = false;    ///< a plain decimal written with a point
};

/// Reads the longest number at the start of `text` (after clean_math, answer_text.h): 18, -5, +3, .5, 18.00, 70,000
/// (grouping by threes only), 1.8e1, 1.8 \times 10^{1}, 1/2, \frac{1}{2}, \frac12, -\frac{a}{b}, 18\frac{1}{2}, 18 1/2.
/// @param used receives the characters read. nullopt: no number starts here
/// Any length is safe; fractions of more than 1000 digits and exponents beyond 10^9 are no numbers. O(length) for
/// decimals.
std::optional<Rational> read_number(std::string_view text, std::size_t& used);

/// Exact comparison: 0.5 == 1/2, 18.00 == 18, -0 == 0.
bool equal(const Rational& a, const Rational& b);

/// Equal after rounding to six decimals, for a plain decimal against a fraction (0.333333 is 1/3); false for all other
/// pairs.
bool equal_to_six_decimals(const Rational& a, const Rational& b);

}  // namespace kvgauge
