#pragma once
#include <string>
#include <string_view>

namespace kvgauge::math {

/// Unicode mathematics as LaTeX: x² -> x^{2}, √ -> \sqrt, − -> -, ≤ -> \le, ½ -> \frac{1}{2}; other bytes are kept.
/// O(length)
std::string ascii_math(std::string_view text);

}  // namespace kvgauge::math
