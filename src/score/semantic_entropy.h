#pragma once
#include <cstdint>
#include <span>

#include "kvgauge/scores.h"

namespace kvgauge {

/// Semantic entropy of K sampled answers in clusters of equal meaning (METHOD.md I; Kuhn, Gal, Farquhar, "Semantic
/// Uncertainty", 2023). With l_j = ln p of answer j's tokens and P(c) = sum of exp(l_j) over a cluster:
///   mean       = -(1/K) sum_j ln P(c(j))           not normalised: the mean over answers, as lm-polygraph has it
///   normalized = -sum_c q(c) ln q(c),  q = P / sum of all P
///   counts     = -sum_c f(c) ln f(c),  f(c) = share of the answers: no probabilities
/// in nats, higher = more uncertain. Sums are formed from logarithms: answers of any length are safe.
struct SemanticEntropy {
  std::int64_t clusters = 0;
  double majority = kUndefined;  ///< share of the answers in the largest cluster; higher = more certain
  double mean = kUndefined, normalized = kUndefined, counts = kUndefined;
};

/// @param cluster_of the cluster of each answer, numbered from 0 without gaps
/// @param seq_logprob l_j of each answer; a NaN leaves mean and normalized undefined
SemanticEntropy semantic_entropy(std::span<const std::int32_t> cluster_of, std::span<const double> seq_logprob);

}  // namespace kvgauge
