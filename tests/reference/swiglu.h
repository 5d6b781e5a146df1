#pragma once
#include <cmath>

namespace kvgauge::testing {

inline double reference_swiglu(double gate, double up) { return gate / (1 + std::exp(-gate)) * up; }

}  // namespace kvgauge::testing
