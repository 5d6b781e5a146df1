#include "metrics/prr.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <vector>

#include "core/check.h"

namespace kvgauge {
namespace {

double area(std::span<const double> certainty, const std::vector<double>& quality, std::size_t rejections) {
  const std::size_t n = quality.size();
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return certainty[a] > certainty[b]; });
  double kept_quality = 0, sum = 0;
  for (std::size_t begin = 0, end = 0; begin < n; begin = end) {
    double block = 0;
    while (end < n && certainty[order[end]] == certainty[order[begin]]) block += quality[order[end++]];
    const double each = block / static_cast<double>(end - begin);
    for (std::size_t k = begin + 1; k <= end; ++k) {
      kept_quality += each;
      if (k > n - rejections) sum += kept_quality / static_cast<double>(k);
    }
  }
  return sum / static_cast<double>(rejections);
}

}  // namespace

RejectionRatio rejection_ratio(std::span<const double> scores, std::span<const double> quality, double max_rejection) {
  KVGAUGE_CHECK(scores.size() == quality.size(), scores.size(), " scores, ", quality.size(), " qualities");
  KVGAUGE_CHECK(max_rejection > 0 && max_rejection <= 1, "max_rejection ", max_rejection);
  RejectionRatio result;
  const auto rejections = static_cast<std::size_t>(max_rejection * static_cast<double>(scores.size()));
  if (rejections == 0) return result;
  const auto extremes = std::minmax_element(quality.begin(), quality.end());
  const double low = *extremes.first, range = *extremes.second - low;
  std::vector<double> normalised(quality.begin(), quality.end());
  for (double& q : normalised) q = range > 0 ? (q - low) / range : 0.5;
  result.area = area(scores, normalised, rejections);
  result.oracle = area(normalised, normalised, rejections);
  result.random = std::accumulate(normalised.begin(), normalised.end(), 0.0) / static_cast<double>(normalised.size());
  if (range > 0 && result.oracle != result.random)
    result.prr = (result.area - result.random) / (result.oracle - result.random);
  return result;
}

}  // namespace kvgauge
