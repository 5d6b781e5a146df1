#pragma once
#include "grade/expression.h"

namespace kvgauge::math {

/// The tree in the form that comparison expects:
///   a plus-minus b is the list (in a set: the elements) a + b, a - b;
///   lists in lists are one list; P(1,2) is the point (1,2); a number times a matrix is a matrix;
///   a list of inequalities joined by "or" is a union. O(size)
Expr rewritten(Expr e);

/// Whether the left side of an equation only names what the right side says: x, f(x), \text{Area}, (x, y).
bool is_label(const Expr& e);

/// For x = 5, 2 + 3 = 5 or x \in S: what is said in the end, else nullptr. Points into `e`.
const Expr* said_by(const Expr& e);

bool contains(const Expr& e, Kind kind);
bool is_constant(const Expr& e);  ///< without symbols and words

}  // namespace kvgauge::math
