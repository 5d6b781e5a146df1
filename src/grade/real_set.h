#pragma once
#include <optional>
#include <vector>

#include "grade/evaluate.h"

namespace kvgauge::math {

/// One end of an interval.
struct End {
  double at = 0;
  const Expr* exact = nullptr;  ///< points into the tree the set was read from; nullptr: infinite
  bool is_closed = false;
};

struct Interval {
  End low, high;
};

/// A set of real numbers as disjoint intervals from left to right; touching ones are merged.
using RealSet = std::vector<Interval>;

/// Reads intervals, unions, finite sets, \mathbb{R}, differences, intersections and inequalities in one symbol
/// (2 <= x < 5) as a set of real numbers; nullopt for anything else. The result points into `e`.
std::optional<RealSet> real_set(const Expr& e, Budget& budget);

bool same_set(const RealSet& a, const RealSet& b, Budget& budget);

}  // namespace kvgauge::math
