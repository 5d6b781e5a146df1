#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace kvgauge::testing {

/// One query over `tokens` keys and values of one KV head: softmax(scale q K^T) V.
inline std::vector<double> reference_attention(const std::vector<double>& q,
                                               const std::vector<std::vector<double>>& keys,
                                               const std::vector<std::vector<double>>& values, double scale) {
  std::vector<double> scores;
  for (const auto& key : keys) {
    double score = 0;
    for (std::size_t j = 0; j < q.size(); ++j) score += q[j] * key[j];
    scores.push_back(score * scale);
  }
  const double maximum = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  std::vector<double> out(q.size(), 0.0);
  for (std::size_t t = 0; t < scores.size(); ++t) {
    const double weight = std::exp(scores[t] - maximum);
    sum += weight;
    for (std::size_t j = 0; j < q.size(); ++j) out[j] += weight * values[t][j];
  }
  for (double& x : out) x /= sum;
  return out;
}

}  // namespace kvgauge::testing
