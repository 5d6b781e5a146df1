#pragma once
#include "text/jinja_ast.h"

namespace kvgauge::jinja {

/// Python's + - * / // % ** on numbers, strings and lists; integers have 64 bits and end the render when they overflow.
Value apply_operator(Heap& heap, ExprKind op, const Value& left, const Value& right);
/// Unary - and +.
Value apply_sign(Heap& heap, const Value& operand, bool negate);

}  // namespace kvgauge::jinja
