#include "score/scores.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/trajectory_sums.h"

namespace kvgauge {
namespace {

double finite_or_undefined(double value) { return std::isfinite(value) ? value : kUndefined; }

}  // namespace

const char* name(GaugePart part) {
  switch (part) {
    case GaugePart::kV: return "v";
    case GaugePart::kK: return "k";
    case GaugePart::kKV: return "kv";
  }
  return "?";
}

const char* name(GaugeSpan span) {
  switch (span) {
    case GaugeSpan::kResponse: return "response";
    case GaugeSpan::kBoundary: return "boundary";
    case GaugeSpan::kAll: return "all";
    case GaugeSpan::kPrompt: return "prompt";
  }
  return "?";
}

TrajectorySums trajectory_sums(std::span<const float> dr, std::span<const float> dtheta, double end_dr,
                               double end_dtheta) {
  return sum_trajectory(dr, dtheta, end_dr, end_dtheta);
}

TrajectorySums trajectory_sums(std::span<const double> dr, std::span<const double> dtheta, double end_dr,
                               double end_dtheta) {
  return sum_trajectory(dr, dtheta, end_dr, end_dtheta);
}

KvCoeScores kv_coe_scores(const TrajectorySums& sums, KvCoeWeights weights) {
  KvCoeScores scores{.tokens = sums.tokens};
  if (sums.tokens <= 1) return scores;
  scores.valid = true;
  const auto differences = static_cast<double>(sums.tokens - 1);
  const double mean_dr = sums.sum_dr / differences, mean_dtheta = sums.sum_dtheta / differences;
  scores.mean_dr = finite_or_undefined(mean_dr);
  scores.mean_dtheta = finite_or_undefined(mean_dtheta);
  scores.end_dr = finite_or_undefined(sums.end_dr);
  scores.end_dtheta = finite_or_undefined(sums.end_dtheta);
  scores.paper_r = finite_or_undefined(weights.alpha * mean_dr + weights.beta * mean_dtheta);
  scores.paper_c = finite_or_undefined(std::hypot(mean_dr, mean_dtheta));
  scores.diff_r = finite_or_undefined(mean_dr - mean_dtheta);
  scores.polar_raw_c = finite_or_undefined(std::hypot(sums.sum_dr_cos / differences, sums.sum_dr_sin / differences));
  if (!(sums.end_dr > kNoDistance && sums.end_dtheta > kNoDistance)) return scores;
  const double mean_m = mean_dr / sums.end_dr, mean_a = mean_dtheta / sums.end_dtheta;
  scores.normalized_r = finite_or_undefined(mean_m - mean_a);
  scores.normalized_c = finite_or_undefined(std::hypot(sums.sum_m_cos_a / differences, sums.sum_m_sin_a / differences));
  scores.normalized_cart_c = finite_or_undefined(std::hypot(mean_m, mean_a));
  return scores;
}

CoePair coe_pair(const TrajectorySums& over_layers) {
  const KvCoeScores scores = kv_coe_scores(over_layers);
  return {.r = scores.normalized_r, .c = scores.normalized_c};
}

ProbScores prob_scores(std::span<const TokenLogitStats> tokens, std::int64_t vocab) {
  ProbScores scores{.tokens = static_cast<std::int64_t>(tokens.size())};
  if (tokens.empty()) return scores;
  double max_prob = 0, max_logprob = 0, margin = 0, entropy = 0, chosen_logprob = 0, mean_logprob = 0;
  double least_logprob = tokens.front().chosen_logprob;
  for (const TokenLogitStats& token : tokens) {
    max_prob += token.max_prob;
    max_logprob += token.max_logprob;
    margin += token.max_prob - token.second_prob;
    entropy += token.entropy;
    chosen_logprob += token.chosen_logprob;
    mean_logprob += token.mean_logprob;
    least_logprob = std::min(least_logprob, token.chosen_logprob);
  }
  const auto count = static_cast<double>(tokens.size());
  scores.maxprob_official = finite_or_undefined(max_prob / count);
  scores.ppl_official = finite_or_undefined(-max_logprob / count);
  scores.entropy_nats = finite_or_undefined(entropy / count);
  scores.entropy_official = finite_or_undefined(entropy / count / std::numbers::ln2);
  scores.seq_logprob = finite_or_undefined(chosen_logprob);
  scores.nll = finite_or_undefined(-chosen_logprob / count);
  scores.perplexity = finite_or_undefined(std::exp(-chosen_logprob / count));
  scores.min_prob = finite_or_undefined(std::exp(least_logprob));
  scores.margin = finite_or_undefined(margin / count);
  if (vocab > 0)
    scores.self_certainty = finite_or_undefined(-mean_logprob / count - std::log(static_cast<double>(vocab)));
  return scores;
}

}  // namespace kvgauge
