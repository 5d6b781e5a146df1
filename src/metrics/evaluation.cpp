#include "metrics/evaluation.h"

#include <algorithm>
#include <numeric>

#include "core/check.h"
#include "metrics/prr.h"

namespace kvgauge {
namespace {

ScoreMetrics measure(const std::vector<double>& scores, const std::vector<std::uint8_t>& correct,
                     const EvaluationOptions& options) {
  const RankedRows rows = apply_nan_policy(scores, correct, options.nan_policy);
  ScoreMetrics metrics{.n = static_cast<std::int64_t>(rows.scores.size()), .invalid = rows.invalid};
  metrics.ranking = ranking_metrics(rows.scores, rows.correct);
  metrics.correct = metrics.ranking.positives;
  if (metrics.ranking.positives == 0 || metrics.ranking.negatives == 0) return metrics;
  const std::vector<double> quality(rows.correct.begin(), rows.correct.end());
  metrics.prr = rejection_ratio(rows.scores, quality).prr;
  metrics.prr_half = rejection_ratio(rows.scores, quality, 0.5).prr;
  metrics.auroc_ci95 = auroc_interval(rows.scores, rows.correct, options.bootstrap);
  return metrics;
}

ScoreEvaluation measure_both(std::string name, std::vector<double> scores, bool higher, const EvaluationInput& input,
                             const EvaluationOptions& options) {
  KVGAUGE_CHECK(scores.size() == input.correct.size(), name, ": ", scores.size(), " values for ", input.correct.size(),
                " rows");
  ScoreEvaluation result{.name = std::move(name), .higher_is_better = higher};
  if (!higher)
    for (double& score : scores) score = -score;
  result.all = measure(scores, input.correct, options);
  std::vector<double> kept_scores;
  std::vector<std::uint8_t> kept_correct;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (!input.complete[i]) continue;
    kept_scores.push_back(scores[i]);
    kept_correct.push_back(input.correct[i]);
  }
  result.complete_only = measure(kept_scores, kept_correct, options);
  return result;
}

}  // namespace

bool higher_is_better(std::string_view name) {
  const std::string_view last = name.substr(name.rfind('.') + 1);  // npos + 1 == 0: the whole name
  constexpr std::string_view kUncertainties[] = {"ppl_official", "entropy_official", "nll", "perplexity",
                                                 "entropy_nats"};
  return std::find(std::begin(kUncertainties), std::end(kUncertainties), last) == std::end(kUncertainties);
}

Evaluation evaluate(const EvaluationInput& input, const EvaluationOptions& options) {
  KVGAUGE_CHECK(input.complete.size() == input.correct.size() && input.tokens.size() == input.correct.size(),
                input.correct.size(), " labels, ", input.complete.size(), " completions, ", input.tokens.size(),
                " lengths");
  Evaluation result{.rows = static_cast<std::int64_t>(input.correct.size()), .nan_policy = options.nan_policy};
  std::vector<double> neg_length, complete;
  std::int64_t tokens = 0, known_lengths = 0;
  for (std::size_t i = 0; i < input.correct.size(); ++i) {
    const bool right = input.correct[i] != 0, ended = input.complete[i] != 0;
    result.correct += right;
    result.truncated += !ended;
    result.complete_correct += right && ended;
    if (input.tokens[i] >= 0) tokens += input.tokens[i], ++known_lengths;
    neg_length.push_back(input.tokens[i] < 0 ? kUndefined : -static_cast<double>(input.tokens[i]));
    complete.push_back(ended ? 1 : 0);
  }
  if (known_lengths > 0) result.mean_tokens = static_cast<double>(tokens) / static_cast<double>(known_lengths);
  for (const auto& entry : input.scores)
    result.scores.push_back(measure_both(entry.first, entry.second, higher_is_better(entry.first), input, options));
  result.baselines.push_back(measure_both("neg_length", std::move(neg_length), true, input, options));
  result.baselines.push_back(measure_both("complete", std::move(complete), true, input, options));
  return result;
}

}  // namespace kvgauge
