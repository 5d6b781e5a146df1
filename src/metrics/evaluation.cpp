#include "metrics/evaluation.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <map>
#include <utility>

#include "core/cat.h"
#include "core/check.h"
#include "core/printable.h"
#include "kvgauge/error.h"
#include "metrics/calibration.h"
#include "metrics/correlation.h"

namespace kvgauge {
namespace {

constexpr const char* kNegLength = "neg_length";
constexpr const char* kComplete = "complete";

template <class T>
std::vector<T> at_rows(const std::vector<T>& values, const std::vector<std::uint32_t>& rows) {
  std::vector<T> out;
  out.reserve(rows.size());
  for (const std::uint32_t row : rows) out.push_back(values[row]);
  return out;
}

// Everything but the interval, which needs all scores together. `values` are the unoriented scores of these rows.
ScoreMetrics measure(std::string_view name, const RankedRows& rows, const std::vector<double>& values,
                     const std::vector<std::int64_t>& tokens) {
  ScoreMetrics metrics{.n = static_cast<std::int64_t>(rows.scores.size()), .invalid = rows.invalid};
  metrics.ranking = ranking_metrics(rows.scores, rows.correct);
  metrics.correct = metrics.ranking.positives;
  if (metrics.ranking.positives == 0 || metrics.ranking.negatives == 0) return metrics;
  const std::vector<double> labels(rows.correct.begin(), rows.correct.end());
  metrics.spearman = pearson(midranks(rows.scores), labels);  // two labels: their ranks are a straight line of them
  metrics.length = control_for_length(rows.scores, rows.correct, tokens);
  const Reliability fitted = reliability(cross_fitted_probabilities(rows.scores, rows.correct), rows.correct);
  metrics.ece_isotonic = fitted.ece;
  metrics.brier_isotonic = fitted.brier;
  std::vector<double> claimed;
  for (const double value : values) claimed.push_back(claimed_probability(name, value));
  if (std::all_of(claimed.begin(), claimed.end(), [](double p) { return p >= 0 && p <= 1; }))
    metrics.ece = reliability(claimed, rows.correct).ece;
  return metrics;
}

RankedRows only_complete(const RankedRows& rows, const std::vector<std::uint8_t>& complete,
                         const std::vector<double>& oriented) {
  RankedRows out;
  for (std::size_t i = 0; i < rows.row.size(); ++i) {
    if (!complete[rows.row[i]]) continue;
    out.scores.push_back(rows.scores[i]);
    out.correct.push_back(rows.correct[i]);
    out.row.push_back(rows.row[i]);
  }
  for (std::size_t row = 0; row < oriented.size(); ++row) out.invalid += complete[row] && !std::isfinite(oriented[row]);
  return out;
}

/// Measures one score after the other and keeps what the joint bootstrap needs of each.
class Evaluator {
 public:
  Evaluator(const EvaluationInput& input, const EvaluationOptions& options) : input_(input), options_(options) {}

  ScoreEvaluation measure_both(const std::string& name, bool higher) {
    const std::vector<double> oriented = oriented_column(input_, name);
    const RankedRows all = apply_nan_policy(oriented, input_.correct, options_.nan_policy);
    const RankedRows complete = only_complete(all, input_.complete, oriented);
    ScoreEvaluation result{.name = name, .higher_is_better = higher};
    all_rows_of_[name] = {.sample = samples_.size(), .rows = all.row.size()};
    result.all = measure_part(name, all, oriented, higher);
    result.complete_only = measure_part(name, complete, oriented, higher);
    return result;
  }

  Comparison compare(const std::string& a, const std::string& b) {
    const std::vector<double> values_a = oriented_column(input_, a), values_b = oriented_column(input_, b);
    RankedRows of_a = apply_nan_policy(values_a, input_.correct, options_.nan_policy);
    RankedRows of_b = apply_nan_policy(values_b, input_.correct, options_.nan_policy);
    keep_common(of_a, of_b);
    keep_common(of_b, of_a);
    Comparison result{.a = a, .b = b, .n = static_cast<std::int64_t>(of_a.scores.size())};
    result.delong = compare_aurocs(of_a.scores, of_b.scores, of_a.correct);
    compared_.emplace_back(sample_of(a, of_a), sample_of(b, of_b));
    return result;
  }

  void add_intervals(Evaluation& evaluation) const {
    const auto rows = static_cast<std::int64_t>(input_.correct.size());
    const auto values = resampled_aurocs(samples_, rows, options_.bootstrap);
    std::size_t next = 0;
    const auto interval_of = [&](ScoreMetrics& metrics) {
      const std::vector<double>& resampled = values[next++];
      if (metrics.ranking.positives > 0 && metrics.ranking.negatives > 0)
        metrics.auroc_ci95 = percentile_interval(resampled, options_.bootstrap.coverage);
    };
    for (auto* const scores : {&evaluation.scores, &evaluation.baselines})
      for (ScoreEvaluation& score : *scores) {
        interval_of(score.all);
        interval_of(score.complete_only);
        score.judgement = judge(score);
      }
    for (std::size_t i = 0; i < evaluation.comparisons.size(); ++i) {
      Comparison& comparison = evaluation.comparisons[i];
      std::vector<double> gaps = values[compared_[i].first];
      const std::vector<double>& of_b = values[compared_[i].second];
      std::transform(gaps.begin(), gaps.end(), of_b.begin(), gaps.begin(), std::minus<>());
      if (std::isnan(comparison.delong.difference)) continue;
      comparison.bootstrap_p = bootstrap_p(gaps);
      comparison.bootstrap_ci95 = percentile_interval(std::move(gaps), options_.bootstrap.coverage);
    }
  }

 private:
  ScoreMetrics measure_part(const std::string& name, const RankedRows& rows, const std::vector<double>& oriented,
                            bool higher) {
    samples_.emplace_back(rows);
    std::vector<double> values = at_rows(oriented, rows.row);
    if (!higher)
      for (double& value : values) value = -value;
    return measure(name, rows, values, at_rows(input_.tokens, rows.row));
  }

  // The sample of a score on these rows; on all its rows it has been measured before.
  std::size_t sample_of(const std::string& name, const RankedRows& rows) {
    const auto measured = all_rows_of_.find(name);
    if (measured != all_rows_of_.end() && measured->second.rows == rows.row.size()) return measured->second.sample;
    samples_.emplace_back(rows);
    return samples_.size() - 1;
  }

  // Both list rows in ascending order.
  static void keep_common(RankedRows& rows, const RankedRows& other) {
    RankedRows kept;
    for (std::size_t i = 0, j = 0; i < rows.row.size(); ++i) {
      while (j < other.row.size() && other.row[j] < rows.row[i]) ++j;
      if (j == other.row.size() || other.row[j] != rows.row[i]) continue;
      kept.scores.push_back(rows.scores[i]);
      kept.correct.push_back(rows.correct[i]);
      kept.row.push_back(rows.row[i]);
    }
    rows = std::move(kept);
  }

  const EvaluationInput& input_;
  const EvaluationOptions& options_;
  struct Measured {
    std::size_t sample = 0, rows = 0;
  };
  std::vector<AurocSample> samples_;  // all and complete rows of each score and baseline, then what comparisons add
  std::map<std::string, Measured> all_rows_of_;
  std::vector<std::pair<std::size_t, std::size_t>> compared_;  // samples of each comparison
};

Evaluation counts_of(const EvaluationInput& input, const EvaluationOptions& options) {
  Evaluation result{.rows = static_cast<std::int64_t>(input.correct.size()),
                    .nan_policy = options.nan_policy,
                    .bootstrap = options.bootstrap};
  double tokens = 0;
  std::int64_t known_lengths = 0;
  for (std::size_t i = 0; i < input.correct.size(); ++i) {
    const bool right = input.correct[i] != 0, ended = input.complete[i] != 0;
    result.correct += right;
    result.truncated += !ended;
    result.complete_correct += right && ended;
    if (input.tokens[i] >= 0) tokens += static_cast<double>(input.tokens[i]), ++known_lengths;
  }
  if (known_lengths > 0) result.mean_tokens = tokens / static_cast<double>(known_lengths);
  return result;
}

}  // namespace

bool higher_is_better(std::string_view name) {
  const std::string_view last = name.substr(name.rfind('.') + 1);  // npos + 1 == 0: the whole name
  constexpr std::string_view kUncertainties[] = {"ppl_official", "entropy_official", "nll", "perplexity",
                                                 "entropy_nats"};
  if (last.starts_with("eigenscore") || last.starts_with("semantic_entropy")) return false;
  return std::find(std::begin(kUncertainties), std::end(kUncertainties), last) == std::end(kUncertainties);
}

double claimed_probability(std::string_view name, double value) {
  const std::string_view last = name.substr(name.rfind('.') + 1);
  if (last == "maxprob_official" || last == "min_prob") return value;
  if (last == "nll") return std::exp(-value);
  if (last == "seq_logprob") return std::exp(value);
  return kUndefined;
}

std::vector<double> oriented_column(const EvaluationInput& input, std::string_view name) {
  std::vector<double> out;
  if (name == kNegLength) {
    for (const std::int64_t tokens : input.tokens)
      out.push_back(tokens < 0 ? kUndefined : -static_cast<double>(tokens));
    return out;
  }
  if (name == kComplete) return {input.complete.begin(), input.complete.end()};
  const auto found =
      std::find_if(input.scores.begin(), input.scores.end(), [&](const auto& score) { return score.first == name; });
  if (found == input.scores.end())
    throw UsageError(cat("no score '", printable(name), "', a path under 'scores', neg_length or complete was needed"));
  KVGAUGE_CHECK(found->second.size() == input.correct.size(), name, ": ", found->second.size(), " values for ",
                input.correct.size(), " rows");
  out = found->second;
  if (!higher_is_better(name))
    for (double& value : out) value = -value;
  return out;
}

Evaluation evaluate(const EvaluationInput& input, const EvaluationOptions& options) {
  KVGAUGE_CHECK(input.complete.size() == input.correct.size() && input.tokens.size() == input.correct.size(),
                input.correct.size(), " labels, ", input.complete.size(), " completions, ", input.tokens.size(),
                " lengths");
  Evaluation result = counts_of(input, options);
  Evaluator evaluator(input, options);
  for (const auto& entry : input.scores)
    result.scores.push_back(evaluator.measure_both(entry.first, higher_is_better(entry.first)));
  for (const char* const name : {kNegLength, kComplete}) result.baselines.push_back(evaluator.measure_both(name, true));
  result.against = options.against;
  if (!options.against.empty())
    for (const auto& entry : input.scores)
      if (entry.first != options.against) result.comparisons.push_back(evaluator.compare(entry.first, options.against));
  for (const auto& pair : options.compare) result.comparisons.push_back(evaluator.compare(pair.first, pair.second));
  evaluator.add_intervals(result);
  return result;
}

}  // namespace kvgauge
