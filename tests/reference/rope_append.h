#pragma once
#include <cmath>
#include <cstdint>
#include <vector>

namespace kvgauge::testing {

/// One head of one token: RMS norm (if `norm` is given), then rotation by position.
inline std::vector<double> reference_rope(std::vector<double> x, const std::vector<double>* norm, double eps,
                                          bool rotate, std::int64_t position,
                                          const std::vector<double>& inverse_frequencies) {
  if (norm != nullptr) {
    double squares = 0;
    for (const double v : x) squares += v * v;
    const double factor = 1 / std::sqrt(squares / static_cast<double>(x.size()) + eps);
    for (std::size_t j = 0; j < x.size(); ++j) x[j] = x[j] * factor * (*norm)[j];
  }
  if (!rotate) return x;
  const std::size_t half = x.size() / 2;
  std::vector<double> out(x.size());
  for (std::size_t i = 0; i < half; ++i) {
    const double angle = static_cast<double>(position) * inverse_frequencies[i];
    out[i] = x[i] * std::cos(angle) - x[i + half] * std::sin(angle);
    out[i + half] = x[i + half] * std::cos(angle) + x[i] * std::sin(angle);
  }
  return out;
}

}  // namespace kvgauge::testing
