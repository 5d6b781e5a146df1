#pragma once
#include <complex>
#include <cstdint>

#include "grade/expression.h"
#include "grade/residue.h"

namespace kvgauge::math {

/// How signs that are read in two ways are read.
struct Reading {
  bool percent_is_hundredth = false;  ///< 50% as 0.5, else as 50
  bool degree_is_angle = false;       ///< 90° as pi/2, else as 90; in arguments of functions always an angle
  bool log_is_decimal = false;        ///< log without a base: to base 10, else natural
};

/// A number in two forms at once: exact, modulo two primes, as long as it is rational (or a rational function of the
/// symbols); and as a complex double with a bound of its rounding error.
struct Value {
  std::complex<double> z = 0;
  double error = 0;  ///< of z, absolute
  Residue residue;
  bool is_exact = false;    ///< `residue` is valid
  bool is_defined = false;  ///< false for 1/0, log 0, words, ...
  bool is_finite = true;    ///< z did not overflow
  int infinity = 0;         ///< +1 or -1 for the infinities
};

/// Work that may still be done for one answer; evaluation stops, undefined, when it is used up.
struct Budget {
  std::int64_t steps = 30'000;
  bool spend(std::int64_t n) { return (steps -= n) >= 0; }
};

/// What evaluation meets in a tree.
struct Features {
  bool has_symbols = false, has_percent = false, has_degree = false, has_open_log = false, has_absolute = false;
};
Features features_of(const Expr& e);

inline constexpr int kPoints = 8;

/// The value where every symbol stands for a number fixed by its name and `point` in [0, kPoints): positive reals, at
/// points 6 and 7 of either sign if `with_negatives`.
Value evaluate(const Expr& e, int point, const Reading& reading, bool with_negatives, Budget& budget);

/// n if the value is exactly the integer n, |n| < 2^53.
bool is_integer(const Value& v, std::int64_t& n);

}  // namespace kvgauge::math
