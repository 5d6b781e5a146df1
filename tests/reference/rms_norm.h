#pragma once
#include <cmath>
#include <vector>

namespace kvgauge::testing {

/// residual / sqrt(mean(residual^2) + eps) * weight of one row.
inline std::vector<double> reference_rms_norm(const std::vector<double>& residual, const std::vector<double>& weight,
                                              double eps) {
  double squares = 0;
  for (const double x : residual) squares += x * x;
  const double factor = 1 / std::sqrt(squares / static_cast<double>(residual.size()) + eps);
  std::vector<double> out;
  for (std::size_t i = 0; i < residual.size(); ++i) out.push_back(residual[i] * factor * weight[i]);
  return out;
}

}  // namespace kvgauge::testing
