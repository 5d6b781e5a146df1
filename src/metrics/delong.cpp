#include "metrics/delong.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <numeric>

#include "core/check.h"

namespace kvgauge {
namespace {

struct Placements {
  std::vector<double> right, wrong;  // in the order of the rows
};

Placements placements_of(std::span<const double> scores, std::span<const std::uint8_t> correct) {
  KVGAUGE_CHECK(scores.size() == correct.size(), scores.size(), " scores, ", correct.size(), " labels");
  std::vector<std::uint32_t> order(scores.size()), place(scores.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return scores[a] < scores[b]; });
  Placements out;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    std::vector<double>& side = correct[i] ? out.right : out.wrong;
    place[i] = static_cast<std::uint32_t>(side.size());
    side.push_back(0);
  }
  const double rights = static_cast<double>(out.right.size()), wrongs = static_cast<double>(out.wrong.size());
  double right_below = 0, wrong_below = 0;
  for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    double right = 0, wrong = 0;
    for (; end < order.size() && scores[order[end]] == scores[order[begin]]; ++end)
      ++(correct[order[end]] ? right : wrong);
    for (std::size_t i = begin; i < end; ++i) {
      const std::uint32_t row = order[i];
      if (correct[row])
        out.right[place[row]] = (wrong_below + wrong / 2) / wrongs;
      else
        out.wrong[place[row]] = (rights - right_below - right / 2) / rights;
    }
    right_below += right;
    wrong_below += wrong;
  }
  return out;
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// Sample covariance over n, the term of one class.
double class_covariance(const std::vector<double>& a, const std::vector<double>& b) {
  const double n = static_cast<double>(a.size()), mean_a = mean(a), mean_b = mean(b);
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - mean_a) * (b[i] - mean_b);
  return sum / (n - 1) / n;
}

double covariance(const Placements& a, const Placements& b) {
  if (a.right.size() < 2 || a.wrong.size() < 2) return kUndefined;
  return class_covariance(a.right, b.right) + class_covariance(a.wrong, b.wrong);
}

Placements minus(Placements a, const Placements& b) {
  std::transform(a.right.begin(), a.right.end(), b.right.begin(), a.right.begin(), std::minus<>());
  std::transform(a.wrong.begin(), a.wrong.end(), b.wrong.begin(), a.wrong.begin(), std::minus<>());
  return a;
}

AurocEstimate estimate(const Placements& placements) {
  if (placements.right.empty() || placements.wrong.empty()) return {};
  return {.auroc = mean(placements.right), .variance = covariance(placements, placements)};
}

}  // namespace

AurocEstimate auroc_estimate(std::span<const double> scores, std::span<const std::uint8_t> correct) {
  return estimate(placements_of(scores, correct));
}

DeLongComparison compare_aurocs(std::span<const double> a, std::span<const double> b,
                                std::span<const std::uint8_t> correct) {
  const Placements of_a = placements_of(a, correct), of_b = placements_of(b, correct);
  DeLongComparison result{.a = estimate(of_a), .b = estimate(of_b)};
  result.difference = result.a.auroc - result.b.auroc;
  if (std::isnan(result.a.variance)) return result;
  result.covariance = covariance(of_a, of_b);
  const Placements gap = minus(of_a, of_b);  // its variance is var a + var b - 2 cov, without the cancellation
  result.standard_error = std::sqrt(covariance(gap, gap));
  const double half = kNormal95 * result.standard_error;
  result.ci95 = {.low = std::max(-1.0, result.difference - half), .high = std::min(1.0, result.difference + half)};
  if (result.standard_error > 0) {
    result.z = result.difference / result.standard_error;
    result.p = std::erfc(std::abs(result.z) / std::sqrt(2.0));
  } else if (result.difference == 0) {
    result.p = 1;
  }
  return result;
}

}  // namespace kvgauge
