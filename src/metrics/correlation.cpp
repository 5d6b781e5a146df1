#include "metrics/correlation.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <utility>

#include "core/check.h"

namespace kvgauge {
namespace {

double pairs(double items) { return items * (items - 1) / 2; }

// Exchanges of neighbours that sort the values: pairs i < j with values[i] > values[j]. Sorts them.
double sort_counting(std::vector<double>& values) {
  std::vector<double> merged(values.size());
  double exchanges = 0;
  for (std::size_t width = 1; width < values.size(); width *= 2) {
    for (std::size_t begin = 0; begin < values.size(); begin += 2 * width) {
      const std::size_t middle = std::min(begin + width, values.size());
      const std::size_t end = std::min(begin + 2 * width, values.size());
      std::size_t left = begin, right = middle;
      for (std::size_t to = begin; to < end; ++to) {
        const bool take_left = right == end || (left < middle && values[left] <= values[right]);
        if (!take_left) exchanges += static_cast<double>(middle - left);
        merged[to] = values[take_left ? left++ : right++];
      }
    }
    values.swap(merged);
  }
  return exchanges;
}

// Pairs that are equal, of a sorted range.
template <class Range>
double tied_pairs(const Range& sorted) {
  double ties = 0;
  for (std::size_t begin = 0, end = 0; begin < sorted.size(); begin = end) {
    while (end < sorted.size() && sorted[end] == sorted[begin]) ++end;
    ties += pairs(static_cast<double>(end - begin));
  }
  return ties;
}

}  // namespace

std::vector<double> midranks(std::span<const double> values) {
  std::vector<std::pair<double, std::uint32_t>> order;
  order.reserve(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) order.emplace_back(values[i], static_cast<std::uint32_t>(i));
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<double> ranks(values.size());
  for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    while (end < order.size() && order[end].first == order[begin].first) ++end;
    const double rank = static_cast<double>(begin + 1 + end) / 2;
    for (std::size_t i = begin; i < end; ++i) ranks[order[i].second] = rank;
  }
  return ranks;
}

double pearson(std::span<const double> x, std::span<const double> y) {
  KVGAUGE_CHECK(x.size() == y.size(), x.size(), " and ", y.size(), " values");
  if (x.size() < 2) return kUndefined;
  const double n = static_cast<double>(x.size());
  const double mean_x = std::accumulate(x.begin(), x.end(), 0.0) / n;
  const double mean_y = std::accumulate(y.begin(), y.end(), 0.0) / n;
  double xx = 0, yy = 0, xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double dx = x[i] - mean_x, dy = y[i] - mean_y;
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  if (!(xx > 0) || !(yy > 0)) return kUndefined;
  return std::clamp(xy / (std::sqrt(xx) * std::sqrt(yy)), -1.0, 1.0);
}

double spearman(std::span<const double> x, std::span<const double> y) { return pearson(midranks(x), midranks(y)); }

double kendall_tau_b(std::span<const double> x, std::span<const double> y) {
  KVGAUGE_CHECK(x.size() == y.size(), x.size(), " and ", y.size(), " values");
  std::vector<std::pair<double, double>> order;
  for (std::size_t i = 0; i < x.size(); ++i) order.emplace_back(x[i], y[i]);
  std::sort(order.begin(), order.end());
  std::vector<double> first, second;
  for (const auto& [a, b] : order) {
    first.push_back(a);
    second.push_back(b);
  }
  const double all = pairs(static_cast<double>(order.size()));
  const double ties_x = tied_pairs(first), ties_both = tied_pairs(order);
  const double discordant = sort_counting(second);
  const double ties_y = tied_pairs(second);
  const double scale = std::sqrt(all - ties_x) * std::sqrt(all - ties_y);
  return scale > 0 ? (all - ties_x - ties_y + ties_both - 2 * discordant) / scale : kUndefined;
}

PartialCorrelation partial_correlation(std::span<const double> x, std::span<const double> y,
                                       std::span<const double> z) {
  PartialCorrelation result{
      .n = static_cast<std::int64_t>(x.size()), .xy = pearson(x, y), .xz = pearson(x, z), .yz = pearson(y, z)};
  const double xz = std::isnan(result.xz) ? 0 : result.xz;  // a constant z explains nothing
  const double yz = std::isnan(result.yz) ? 0 : result.yz;
  const double left_of_x = 1 - xz * xz, left_of_y = 1 - yz * yz;
  constexpr double kNothingLeft = 1e-12;
  if (std::isnan(result.xy) || left_of_x < kNothingLeft || left_of_y < kNothingLeft) return result;
  result.partial = std::clamp((result.xy - xz * yz) / std::sqrt(left_of_x * left_of_y), -1.0, 1.0);
  if (result.n > 4) {
    const double centre = std::atanh(result.partial);
    const double half = kNormal95 * std::sqrt(1.06 / static_cast<double>(result.n - 4));
    result.ci95 = {.low = std::tanh(centre - half), .high = std::tanh(centre + half)};
  }
  return result;
}

PartialCorrelation partial_spearman(std::span<const double> x, std::span<const double> y, std::span<const double> z) {
  KVGAUGE_CHECK(x.size() == z.size(), x.size(), " and ", z.size(), " values");
  return partial_correlation(midranks(x), midranks(y), midranks(z));
}

}  // namespace kvgauge
