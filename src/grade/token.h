#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kvgauge::math {

/// A word of LaTeX or plain mathematical text in its canonical spelling.
struct Token {
  enum class Type : std::uint8_t {
    kNumber,    ///< text: its digits; see Expr
    kSymbol,    ///< a letter with its subscript and primes, or a command: x_1, \alpha
    kText,      ///< words, a unit
    kFunction,  ///< sin, ln, ...
    kSign,      ///< an operator or bracket: + - * / ^ _ ! , ; : = < > <= >= != ~ pm mp cup cap minus in frac sqrt ...
    kEnd,
  };
  Type type = Type::kEnd;
  std::string text = {};
  std::int64_t exponent = 0;
  std::uint32_t repeating = 0;
  bool has_point = false;
  bool is_spaced = false;  ///< white space stands before it
};

/// Splits an answer into tokens; decoration that changes no answer is dropped: $ and other currency, \left, thin
/// spaces, bold marks, a final period. Digits are grouped by threes only: 70,000 or 70{,}000 or 70\,000, a bare comma
/// inside brackets always separates. The last token is kEnd.
/// @return nullopt for more than `most_tokens`, or a character that has no place in an answer. O(length)
std::optional<std::vector<Token>> tokenize(std::string_view text, std::size_t most_tokens);

}  // namespace kvgauge::math
