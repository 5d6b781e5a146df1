#pragma once
#include <string_view>

#include "grade/evaluate.h"

namespace kvgauge::math {

/// Whether two answers, as text, say the same: numbers and functions by value, tuples and intervals in order and with
/// their brackets, lists and sets in any order, unions as sets of numbers, matrices by element, equations up to a
/// constant factor, x = 5 as 5, words without regard to case (docs/cli/grade.md). Symmetric, safe for any bytes, work
/// bounded by Budget. Empty text equals nothing.
bool same_answer(std::string_view a, std::string_view b);

/// The same of two rewritten trees.
bool same(const Expr& a, const Expr& b, Budget& budget);

}  // namespace kvgauge::math
