#include "score/eigenscore.h"

#include <cmath>
#include <numeric>
#include <vector>

#include "core/check.h"
#include "kvgauge/scores.h"

namespace kvgauge {
namespace {

// ln det of a symmetric positive definite matrix [n, n], of which the lower triangle is read and overwritten.
double log_determinant(std::vector<double>& a, std::size_t n) {
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) {
    double* const row = &a[i * n];
    for (std::size_t j = 0; j < i; ++j) {
      const double* const other = &a[j * n];
      row[j] = (row[j] - std::inner_product(row, row + j, other, 0.0)) / other[j];
    }
    const double pivot = row[i] - std::inner_product(row, row + i, row, 0.0);
    if (!(pivot > 0) || !std::isfinite(pivot)) return kUndefined;
    row[i] = std::sqrt(pivot);
    sum += std::log(pivot);
  }
  return sum;
}

}  // namespace

double eigen_score(std::span<const std::span<const float>> vectors, double alpha) {
  const std::size_t count = vectors.size();
  if (count == 0) return kUndefined;
  const std::size_t length = vectors[0].size();
  std::vector<double> centred;
  centred.reserve(count * length);
  for (const std::span<const float> vector : vectors) {
    if (vector.empty()) return kUndefined;
    KVGAUGE_CHECK(vector.size() == length, "vectors of ", length, " and ", vector.size(), " numbers");
    const double mean = std::accumulate(vector.begin(), vector.end(), 0.0) / static_cast<double>(length);
    for (const float value : vector) centred.push_back(value - mean);
  }
  std::vector<double> gram(count * count);
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t j = 0; j <= i; ++j) {
      const double* const a = &centred[i * length];
      gram[i * count + j] = std::inner_product(a, a + length, &centred[j * length], 0.0) + (i == j ? alpha : 0);
    }
  return log_determinant(gram, count) / static_cast<double>(count);
}

}  // namespace kvgauge
