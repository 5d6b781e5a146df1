#pragma once
#include <cstdint>
#include <vector>

namespace kvgauge::testing {

/// out[r, n] = sum_k x[r, k] w[n, k], and the sum of |x w| for the tolerance.
struct LinearReference {
  std::vector<double> out, magnitude;
};
inline LinearReference reference_linear(const std::vector<float>& x, const std::vector<float>& w, std::int64_t rows,
                                        std::int64_t columns, std::int64_t depth) {
  LinearReference reference;
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t n = 0; n < columns; ++n) {
      double sum = 0, magnitude = 0;
      for (std::int64_t k = 0; k < depth; ++k) {
        const double term =
            double{x[static_cast<std::size_t>(r * depth + k)]} * double{w[static_cast<std::size_t>(n * depth + k)]};
        sum += term;
        magnitude += term < 0 ? -term : term;
      }
      reference.out.push_back(sum);
      reference.magnitude.push_back(magnitude);
    }
  }
  return reference;
}

}  // namespace kvgauge::testing
