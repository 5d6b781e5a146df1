#include "metrics/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <vector>

#include "core/check.h"
#include "core/rng.h"

namespace kvgauge {
namespace {

// Row -> 2 * (rank of its score among the distinct ones, ascending) + label: the counter that a draw of it increments.
std::vector<std::uint32_t> counter_of_row(std::span<const double> scores, std::span<const std::uint8_t> correct) {
  std::vector<std::uint32_t> order(scores.size()), counter(scores.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return scores[a] < scores[b]; });
  std::uint32_t group = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i > 0 && scores[order[i]] != scores[order[i - 1]]) ++group;
    counter[order[i]] = 2 * group + (correct[order[i]] ? 1 : 0);
  }
  return counter;
}

// Mann-Whitney over groups of equal scores, ascending: wrong rows below plus half of those level with each right one.
double auroc_of_counts(const std::vector<std::uint32_t>& counts) {
  double wrong_below = 0, right = 0, twice_pairs = 0;
  for (std::size_t group = 0; group < counts.size(); group += 2) {
    const double wrong_here = counts[group], right_here = counts[group + 1];
    twice_pairs += right_here * (2 * wrong_below + wrong_here);
    wrong_below += wrong_here;
    right += right_here;
  }
  return wrong_below > 0 && right > 0 ? twice_pairs / (2 * wrong_below * right) : kUndefined;
}

double quantile(const std::vector<double>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (at - static_cast<double>(below));
}

}  // namespace

Interval auroc_interval(std::span<const double> scores, std::span<const std::uint8_t> correct,
                        const BootstrapOptions& options) {
  KVGAUGE_CHECK(scores.size() == correct.size(), scores.size(), " scores, ", correct.size(), " labels");
  const auto right = std::count_if(correct.begin(), correct.end(), [](std::uint8_t label) { return label != 0; });
  if (right == 0 || right == static_cast<std::ptrdiff_t>(correct.size()) || options.resamples < 1) return {};
  KVGAUGE_CHECK(scores.size() < (std::size_t{1} << 31), scores.size(), " rows");
  const std::vector<std::uint32_t> counter = counter_of_row(scores, correct);
  std::vector<std::uint32_t> counts(*std::max_element(counter.begin(), counter.end()) / 2 * 2 + 2);
  std::vector<double> values;
  const std::uint64_t rows = counter.size();
  for (int resample = 0; resample < options.resamples; ++resample) {
    std::fill(counts.begin(), counts.end(), 0);
    for (std::uint64_t drawn = 0; drawn < rows; drawn += 4) {  // a call of philox gives four draws
      const auto words = philox(options.seed, drawn / 4, static_cast<std::uint64_t>(resample));
      const std::uint64_t take = std::min<std::uint64_t>(4, rows - drawn);
      for (std::uint64_t i = 0; i < take; ++i)
        ++counts[counter[(words[i] * rows) >> 32]];  // off uniform by rows / 2^32 at most
    }
    if (const double value = auroc_of_counts(counts); !std::isnan(value)) values.push_back(value);
  }
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const double tail = (1 - options.coverage) / 2;
  return {.low = quantile(values, tail), .high = quantile(values, 1 - tail)};
}

}  // namespace kvgauge
