#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "metrics/bootstrap.h"
#include "metrics/delong.h"
#include "metrics/length_control.h"
#include "metrics/ranking.h"
#include "metrics/verdict.h"

namespace kvgauge {

/// Graded rows as columns; all of one length.
struct EvaluationInput {
  std::vector<std::uint8_t> correct;   ///< the labels
  std::vector<std::uint8_t> complete;  ///< 1: the answer ended by itself, 0: it was cut off (truncated)
  std::vector<std::int64_t> tokens;    ///< sampled tokens, negative = unknown; the length baseline is -tokens
  std::vector<std::pair<std::string, std::vector<double>>> scores;  ///< dotted path, one value a row (NaN = undefined)
};

struct EvaluationOptions {
  NanPolicy nan_policy = NanPolicy::kWorst;
  BootstrapOptions bootstrap = {};
  std::string against = "neg_length";  ///< every score is compared with this one; empty: none
  std::vector<std::pair<std::string, std::string>> compare = {};  ///< further pairs
};

/// One score over one set of rows.
struct ScoreMetrics {
  std::int64_t n = 0;        ///< rows ranked (without the dropped ones)
  std::int64_t correct = 0;  ///< right ones among them
  std::int64_t invalid = 0;  ///< rows without a finite score
  RankingMetrics ranking = {};
  double spearman = kUndefined;      ///< rank correlation with correctness
  LengthControl length = {};         ///< what is left of it at equal length
  double ece = kUndefined;           ///< of the score read as a probability; NaN if it is none or a row lacks it
  double ece_isotonic = kUndefined;  ///< after isotonic regression, cross-fitted (metrics/calibration.h)
  double brier_isotonic = kUndefined;
  Interval auroc_ci95 = {};
};

struct ScoreEvaluation {
  std::string name;
  bool higher_is_better = true;  ///< else the score was negated before ranking
  ScoreMetrics all = {}, complete_only = {};
  Judgement judgement = {};
};

/// Score a against score b, on the rows that both rank; both oriented so that higher = more confident.
struct Comparison {
  std::string a, b;
  std::int64_t n = 0;
  DeLongComparison delong = {};
  Interval bootstrap_ci95 = {};  ///< of AUROC a - AUROC b on the same resamples
  double bootstrap_p = kUndefined;
};

struct Evaluation {
  std::int64_t rows = 0, correct = 0, truncated = 0;
  std::int64_t complete_correct = 0;  ///< right ones among the rows that ended by themselves
  double mean_tokens = kUndefined;    ///< over the rows whose length is known
  NanPolicy nan_policy = NanPolicy::kWorst;
  BootstrapOptions bootstrap = {};
  std::vector<ScoreEvaluation> scores = {};
  /// neg_length, complete (METHOD.md C): a score that does not beat them shows nothing
  std::vector<ScoreEvaluation> baselines = {};
  std::string against = {};
  std::vector<Comparison> comparisons =
      {};  ///< against the one named above, in the order of the scores; then the pairs
};

/// Whether a higher value is to mean "more likely correct", from the last part of a dotted path. Fixed beforehand,
/// never from data: false for the uncertainties ppl_official, entropy_official, nll, perplexity, entropy_nats and for
/// all names that begin with eigenscore or semantic_entropy; true for everything else.
bool higher_is_better(std::string_view name);

/// The probability that a score claims, or NaN: maxprob_official and min_prob as they are, exp(-nll), exp(seq_logprob).
double claimed_probability(std::string_view name, double value);

/// The oriented column of a score or baseline (higher = more confident).
/// @throws UsageError if there is none of that name
std::vector<double> oriented_column(const EvaluationInput& input, std::string_view name);

/// Pure: the same input and options give the same bits. @throws UsageError for a comparison with an unknown score
Evaluation evaluate(const EvaluationInput& input, const EvaluationOptions& options = {});

}  // namespace kvgauge
