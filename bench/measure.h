#pragma once
#include <algorithm>
#include <chrono>
#include <vector>

namespace kvgauge::bench {

/// Of a clock that only goes forward.
inline double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// The upper one of the middle two of an even number of values. At least one value.
inline double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace kvgauge::bench
