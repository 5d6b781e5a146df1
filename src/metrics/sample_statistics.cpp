#include "metrics/sample_statistics.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/check.h"

namespace kvgauge {
namespace {

// P(Binomial(n, 1/2) = k), by logarithms: 2^-n alone would vanish for large n.
double binomial_half(std::int64_t n, std::int64_t k) {
  const auto a = static_cast<double>(n), b = static_cast<double>(k);
  return std::exp(std::lgamma(a + 1) - std::lgamma(b + 1) - std::lgamma(a - b + 1) - a * std::log(2.0));
}

}  // namespace

double quantile_of_sorted(std::span<const double> sorted, double q) {
  if (sorted.empty()) return kUndefined;
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (at - static_cast<double>(below));
}

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return quantile_of_sorted(values, q);
}

SampleSummary summarize(std::vector<double> values) {
  SampleSummary out{.n = std::ssize(values)};
  if (values.empty()) return out;
  const auto n = static_cast<double>(values.size());
  double sum = 0, squares = 0;
  for (const double v : values) sum += v;
  out.mean = sum / n;
  for (const double v : values) squares += (v - out.mean) * (v - out.mean);
  out.std = std::sqrt(squares / n);
  std::sort(values.begin(), values.end());
  out.min = values.front();
  out.q25 = quantile_of_sorted(values, 0.25);
  out.median = quantile_of_sorted(values, 0.5);
  out.q75 = quantile_of_sorted(values, 0.75);
  out.max = values.back();
  return out;
}

Interval median_interval(std::vector<double> values, double coverage) {
  const std::int64_t n = std::ssize(values);
  std::int64_t rank = 0;
  for (double below = 0; 2 * rank < n; ++rank) {
    below += binomial_half(n, rank);  // P(B < rank + 1)
    if (below > (1 - coverage) / 2) break;
  }
  if (rank == 0) return {};
  std::sort(values.begin(), values.end());
  return {.low = values[static_cast<std::size_t>(rank - 1)], .high = values[static_cast<std::size_t>(n - rank)]};
}

PairedRatio paired_ratio(std::span<const double> off, std::span<const double> on) {
  KVGAUGE_CHECK(off.size() == on.size(), off.size(), " times without and ", on.size(), " with");
  std::vector<double> ratios, logarithms;
  for (std::size_t i = 0; i < off.size(); ++i) {
    ratios.push_back(on[i] / off[i]);
    logarithms.push_back(std::log(ratios.back()));
  }
  const SampleSummary summary = summarize(std::move(logarithms));
  return {.pairs = summary.n,
          .ratio = std::exp(summary.median),
          .ci95 = median_interval(std::move(ratios)),
          .q25 = std::exp(summary.q25),
          .q75 = std::exp(summary.q75)};
}

}  // namespace kvgauge
