#include "score/semantic_entropy.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/check.h"

namespace kvgauge {
namespace {

// ln sum exp(x), NaN if one is.
double log_sum_exp(std::span<const double> values) {
  double most = -std::numeric_limits<double>::infinity();
  for (const double value : values) {
    if (std::isnan(value)) return kUndefined;
    most = std::max(most, value);
  }
  if (!std::isfinite(most)) return most;
  double sum = 0;
  for (const double value : values) sum += std::exp(value - most);
  return most + std::log(sum);
}

// -q ln q, 0 for a share that is too small for a double.
double entropy_term(double log_share) {
  const double share = std::exp(log_share);
  return share == 0 ? 0 : -share * log_share;
}

}  // namespace

SemanticEntropy semantic_entropy(std::span<const std::int32_t> cluster_of, std::span<const double> seq_logprob) {
  KVGAUGE_CHECK(cluster_of.size() == seq_logprob.size(), cluster_of.size(), " clusters, ", seq_logprob.size(),
                " answers");
  SemanticEntropy entropy;
  if (cluster_of.empty()) return entropy;
  const auto answers = static_cast<double>(cluster_of.size());
  entropy.clusters = *std::max_element(cluster_of.begin(), cluster_of.end()) + 1;
  std::vector<std::vector<double>> members(static_cast<std::size_t>(entropy.clusters));
  for (std::size_t j = 0; j < cluster_of.size(); ++j)
    members[static_cast<std::size_t>(cluster_of[j])].push_back(seq_logprob[j]);
  const double log_all = log_sum_exp(seq_logprob);
  entropy.majority = entropy.mean = entropy.normalized = entropy.counts = 0;
  for (const std::vector<double>& cluster : members) {
    const double share = static_cast<double>(cluster.size()) / answers, log_mass = log_sum_exp(cluster);
    entropy.majority = std::max(entropy.majority, share);
    entropy.mean -= share * log_mass;
    entropy.normalized += entropy_term(log_mass - log_all);
    entropy.counts += entropy_term(std::log(share));
  }
  for (double* const value : {&entropy.mean, &entropy.normalized})
    if (!std::isfinite(*value)) *value = kUndefined;
  return entropy;
}

}  // namespace kvgauge
