#pragma once
// The probability baselines in double, straight line from logits (METHOD.md C).
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <numbers>
#include <span>
#include <vector>

#include "kvgauge/scores.h"

namespace kvgauge::testing {

/// One token's statistics from its logits (-inf allowed, not everywhere). The entries of p are formed and sorted in
/// full.
inline TokenLogitStats reference_logit_stats(std::span<const double> logits, std::size_t chosen) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const double z : logits) sum += std::exp(z - top);
  const double log_sum = top + std::log(sum);
  std::vector<double> p;
  double entropy = 0, logprobs = 0;
  std::size_t finite = 0;
  for (const double z : logits) {
    const double probability = std::exp(z - top) / sum;
    p.push_back(probability);
    if (probability > 0) entropy -= probability * std::log(probability);
    if (!std::isfinite(z)) continue;
    logprobs += z - log_sum;
    ++finite;
  }
  std::sort(p.begin(), p.end(), std::greater<>());
  TokenLogitStats stats;
  stats.max_prob = p.front();
  stats.max_logprob = top - log_sum;
  stats.second_prob = p.size() > 1 ? p[1] : 0;
  stats.entropy = entropy;
  stats.chosen_logprob = logits[chosen] - log_sum;
  stats.mean_logprob = logprobs / static_cast<double>(finite);
  return stats;
}

/// All baselines from logits [tokens, vocab] (every entry finite) and the chosen ids, one formula at a time.
inline ProbScores reference_output_scores(std::span<const double> logits, std::span<const std::size_t> chosen,
                                          std::size_t vocab) {
  ProbScores s;
  s.tokens = static_cast<std::int64_t>(chosen.size());
  if (chosen.empty()) return s;
  const auto n = static_cast<double>(chosen.size());
  const auto mean = [&](auto of) {
    double sum = 0;
    for (std::size_t t = 0; t < chosen.size(); ++t)
      sum += of(reference_logit_stats(logits.subspan(t * vocab, vocab), chosen[t]));
    return sum / n;
  };
  s.maxprob_official = mean([](const TokenLogitStats& x) { return x.max_prob; });
  s.ppl_official = mean([](const TokenLogitStats& x) { return -std::log(x.max_prob); });
  s.entropy_nats = mean([](const TokenLogitStats& x) { return x.entropy; });
  s.entropy_official = mean([](const TokenLogitStats& x) { return x.entropy / std::numbers::ln2; });
  s.nll = mean([](const TokenLogitStats& x) { return -x.chosen_logprob; });
  s.perplexity = std::exp(s.nll);
  s.seq_logprob = -s.nll * n;
  s.margin = mean([](const TokenLogitStats& x) { return x.max_prob - x.second_prob; });
  s.self_certainty =
      mean([&](const TokenLogitStats& x) { return -x.mean_logprob - std::log(static_cast<double>(vocab)); });
  s.min_prob = 1;
  for (std::size_t t = 0; t < chosen.size(); ++t)
    s.min_prob = std::min(s.min_prob,
                          std::exp(reference_logit_stats(logits.subspan(t * vocab, vocab), chosen[t]).chosen_logprob));
  return s;
}

}  // namespace kvgauge::testing
