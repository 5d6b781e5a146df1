#pragma once
#include "kvgauge/scores.h"

namespace kvgauge {

inline constexpr double kNormal95 = 1.959963984540054;  ///< 97.5 % quantile of the standard normal distribution

/// A central 95 % interval unless its maker says otherwise; NaN where it is undefined.
struct Interval {
  double low = kUndefined, high = kUndefined;
  bool holds(double value) const { return low <= value && value <= high; }
};

struct Estimate {
  double value = kUndefined;
  Interval ci95 = {};
};

}  // namespace kvgauge
