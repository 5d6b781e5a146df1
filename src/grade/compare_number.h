#pragma once
#include <optional>

#include "grade/evaluate.h"

namespace kvgauge::math {

/// Equal as numbers or as functions of their symbols: exact where both are rational, else doubles to a relative 1e-9;
/// a plain decimal equals a closed form whose first six decimals it gives. Percent, degree and log signs count as equal
/// under any of their readings.
bool same_number(const Expr& a, const Expr& b, Budget& budget);

/// a = c * b for a constant c other than 0. @param positive c > 0 is needed
bool same_up_to_factor(const Expr& a, const Expr& b, bool positive, Budget& budget);

/// The value of a real constant under `reading`; nullopt: none, or too large for a double. The infinities have one.
std::optional<double> real_constant(const Expr& e, const Reading& reading, Budget& budget);

/// A number written out: digits, perhaps with a sign.
bool is_literal(const Expr& e, bool with_point);

}  // namespace kvgauge::math
