#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

namespace kvgauge::testing {

/// The distribution that a request draws from: tokens in drawing order with their probabilities.
struct SampleReference {
  std::vector<std::int32_t> tokens;
  std::vector<double> probabilities;
  double edge = 1;  ///< distance of the closest top-p or min-p decision, relative: near 0 it may fall either way
};
inline SampleReference reference_sample(const std::vector<float>& logits, double temperature, std::int64_t top_k,
                                        double top_p, double min_p) {
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
  });
  const auto weight = [&](std::int32_t id) {
    return std::exp(
        (double{logits[static_cast<std::size_t>(id)]} - double{logits[static_cast<std::size_t>(order[0])]}) /
        temperature);
  };
  while (!order.empty() && !(weight(order.back()) > 0)) order.pop_back();
  if (top_k > 0 && static_cast<std::size_t>(top_k) < order.size()) order.resize(static_cast<std::size_t>(top_k));
  SampleReference reference;
  if (top_p < 1) {
    double sum = 0, cumulated = 0;
    for (const std::int32_t id : order) sum += weight(id);
    std::size_t kept = 0;
    while (kept < order.size() && (kept == 0 || cumulated < top_p * sum)) {
      cumulated += weight(order[kept++]);
      reference.edge = std::min(reference.edge, std::abs(cumulated / sum - top_p));
    }
    order.resize(kept);
  }
  double sum = 0;
  for (const std::int32_t id : order) {
    reference.edge = std::min(reference.edge, min_p > 0 ? std::abs(weight(id) / min_p - 1) : 1);
    if (!reference.tokens.empty() && weight(id) < min_p) break;
    reference.tokens.push_back(id);
    sum += weight(id);
  }
  for (const std::int32_t id : reference.tokens) reference.probabilities.push_back(weight(id) / sum);
  return reference;
}

}  // namespace kvgauge::testing
