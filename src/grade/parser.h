#pragma once
#include <optional>
#include <string_view>

#include "grade/expression.h"

namespace kvgauge::math {

/// Reads an answer as mathematics: LaTeX or plain text, numbers, closed forms, polynomials, tuples, lists, sets,
/// intervals, unions, matrices, relations, units and words (docs/cli/grade.md). Decoration, units after a number and
/// currency are gone from the tree.
/// @return nullopt for text that is no mathematics, more than 1024 tokens, or nesting deeper than 50 brackets.
/// O(length)
std::optional<Expr> parse(std::string_view text);

}  // namespace kvgauge::math
