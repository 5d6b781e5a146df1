#include "metrics/calibration.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <utility>

#include "core/check.h"
#include "core/rng.h"
#include "metrics/correlation.h"

namespace kvgauge {
namespace {

struct Pool {
  double first = 0, last = 0, right = 0, rows = 0;
};

// Neighbours whose means do not rise are merged, from the left.
void push(std::vector<Pool>& pools, Pool next) {
  while (!pools.empty() && pools.back().right * next.rows >= next.right * pools.back().rows) {
    next.first = pools.back().first;
    next.right += pools.back().right;
    next.rows += pools.back().rows;
    pools.pop_back();
  }
  pools.push_back(next);
}

}  // namespace

double IsotonicFit::at(double x) const {
  if (blocks.empty()) return kUndefined;
  const auto above = std::partition_point(blocks.begin(), blocks.end(), [&](const Block& b) { return b.first <= x; });
  if (above == blocks.begin()) return blocks.front().value;
  const Block& below = *(above - 1);
  if (x <= below.last || above == blocks.end()) return below.value;
  return below.value + (above->value - below.value) * (x - below.last) / (above->first - below.last);
}

IsotonicFit isotonic_fit(std::span<const double> x, std::span<const std::uint8_t> correct) {
  KVGAUGE_CHECK(x.size() == correct.size(), x.size(), " values, ", correct.size(), " labels");
  std::vector<std::pair<double, std::uint8_t>> order;
  order.reserve(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) order.emplace_back(x[i], correct[i] != 0);
  if (!std::is_sorted(order.begin(), order.end())) std::sort(order.begin(), order.end());
  std::vector<Pool> pools;
  for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    Pool point{.first = order[begin].first, .last = order[begin].first};
    for (; end < order.size() && order[end].first == order[begin].first; ++end) {
      point.right += order[end].second;
      point.rows += 1;
    }
    push(pools, point);
  }
  IsotonicFit fit;
  for (const Pool& p : pools) fit.blocks.push_back({.first = p.first, .last = p.last, .value = p.right / p.rows});
  return fit;
}

std::vector<double> cross_fitted_probabilities(std::span<const double> scores, std::span<const std::uint8_t> correct,
                                               int folds) {
  KVGAUGE_CHECK(scores.size() == correct.size() && folds >= 2, scores.size(), " scores, ", correct.size(), " labels, ",
                folds, " folds");
  const std::vector<double> ranks = midranks(scores);
  const auto fold_of = [&](std::size_t row) {
    return static_cast<int>(mix64(row) % static_cast<std::uint64_t>(folds));
  };
  // In the order that isotonic_fit sorts by, once for all folds.
  std::vector<std::uint32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return std::pair(ranks[a], correct[a] != 0) < std::pair(ranks[b], correct[b] != 0);
  });
  std::vector<double> out(scores.size());
  for (int fold = 0; fold < folds; ++fold) {
    std::vector<double> x;
    std::vector<std::uint8_t> labels;
    for (const std::uint32_t row : order) {
      if (fold_of(row) == fold) continue;
      x.push_back(ranks[row]);
      labels.push_back(correct[row]);
    }
    const IsotonicFit fit = isotonic_fit(x, labels);
    for (std::size_t i = 0; i < ranks.size(); ++i)
      if (fold_of(i) == fold) out[i] = x.empty() ? 0.5 : fit.at(ranks[i]);  // no other row: nothing is known
  }
  return out;
}

Interval wilson_interval(double successes, double n) {
  if (!(n > 0)) return {};
  const double share = successes / n, z2 = kNormal95 * kNormal95;
  const double centre = (share + z2 / (2 * n)) / (1 + z2 / n);
  const double half = kNormal95 / (1 + z2 / n) * std::sqrt(share * (1 - share) / n + z2 / (4 * n * n));
  return {.low = std::max(0.0, centre - half), .high = std::min(1.0, centre + half)};
}

Reliability reliability(std::span<const double> probabilities, std::span<const std::uint8_t> correct, int bins) {
  KVGAUGE_CHECK(probabilities.size() == correct.size() && bins > 0, probabilities.size(), " probabilities, ",
                correct.size(), " labels, ", bins, " bins");
  Reliability result;
  if (probabilities.empty()) return result;
  std::vector<Reliability::Bin> all(static_cast<std::size_t>(bins));
  double squares = 0;
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    const double p = probabilities[i], label = correct[i] ? 1 : 0;
    KVGAUGE_CHECK(p >= 0 && p <= 1, "a probability of ", p);
    Reliability::Bin& bin = all[std::min(all.size() - 1, static_cast<std::size_t>(p * bins))];
    ++bin.n;
    bin.predicted += p;
    bin.correct += label;
    squares += (p - label) * (p - label);
  }
  const double rows = static_cast<double>(probabilities.size());
  result.brier = squares / rows;
  result.ece = 0;
  for (Reliability::Bin& bin : all) {
    if (bin.n == 0) continue;
    const double n = static_cast<double>(bin.n);
    bin.ci95 = wilson_interval(bin.correct, n);
    bin.predicted /= n;
    bin.correct /= n;
    result.ece += n / rows * std::abs(bin.correct - bin.predicted);
    result.bins.push_back(bin);
  }
  return result;
}

}  // namespace kvgauge
