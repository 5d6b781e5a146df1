#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace kvgauge::math {

/// What a node of an answer's tree is; `parts` are its operands in reading order.
enum class Kind : std::uint8_t {
  kNumber,        ///< digits * 10^exponent; the last `repeating` digits go on for ever
  kSymbol,        ///< text: x, x_1, \alpha, or any command without a meaning here
  kPi,            ///
  kEuler,         ///< the base of natural logarithms
  kImaginary,     ///
  kInfinity,      ///
  kText,          ///< words
  kNamedSet,      ///< text: R, Z, Q, N, C
  kSum,           ///
  kNegative,      ///
  kProduct,       ///
  kQuotient,      ///
  kPower,         ///
  kRoot,          ///< radicand, degree
  kFunction,      ///< text: sin, log, abs, ...; argument, for log also the base
  kFactorial,     ///< text: one ! each
  kBinomial,      ///
  kPlusMinus,     ///< text: + for \pm, - for \mp; one operand
  kPercent,       ///
  kDegree,        ///
  kModulo,        ///< number, modulus
  kBased,         ///< text: digits; the base
  kRatio,         ///< a : b : ..
  kBracket,       ///< text: the two brackets, e.g. (]; a tuple, an interval or a list
  kSet,           ///
  kList,          ///< text: the separator, a comma or "or"; without brackets
  kMatrix,        ///< row by row
  kUnion,         ///
  kIntersection,  ///
  kDifference,    ///< of sets
  kRelation,      ///< text: one sign for each pair of neighbours, of = < > l (<=) g (>=) n (not equal) ~ e (element of)
};

/// A parsed answer. Trees are small and shallow: parse() bounds both.
struct Expr {
  Kind kind = Kind::kText;
  std::string text = {};
  std::vector<Expr> parts = {};
  std::int64_t exponent = 0;
  std::uint32_t repeating = 0;
  std::uint32_t columns = 0;  ///< of a matrix
  bool has_point = false;     ///< a number written with a decimal point
  bool is_grouped = false;    ///< stood in parentheses
};

inline Expr make(Kind kind, std::vector<Expr> parts, std::string text = {}) {
  Expr e;
  e.kind = kind;
  e.parts = std::move(parts);
  e.text = std::move(text);
  return e;
}

}  // namespace kvgauge::math
