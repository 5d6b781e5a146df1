#pragma once
#include "grade/evaluate.h"

namespace kvgauge::math {

Value undefined();
Value exact(std::int64_t n);
/// digits * 10^exponent, the last `repeating` digits for ever. Any length.
Value decimal(const Expr& number);
Value inexact(std::complex<double> z, double error);

Value sum(const Value& a, const Value& b);
Value negative(const Value& a);
Value product(const Value& a, const Value& b);
Value quotient(const Value& a, const Value& b);
/// Exact for integer exponents up to 10^6 in magnitude.
Value power(const Value& a, const Value& b);
/// The real root of a negative real number for odd degrees, else the principal one.
Value root(const Value& a, const Value& degree);
/// Of integers, exact; up to 2000 factors.
Value factorial(const Value& n, std::size_t marks, Budget& budget);
Value binomial(const Value& n, const Value& k, Budget& budget);

}  // namespace kvgauge::math
