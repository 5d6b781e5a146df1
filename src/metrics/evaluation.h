#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "metrics/bootstrap.h"
#include "metrics/ranking.h"

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
};

/// One score over one set of rows.
struct ScoreMetrics {
  std::int64_t n = 0;        ///< rows ranked (without the dropped ones)
  std::int64_t correct = 0;  ///< right ones among them
  std::int64_t invalid = 0;  ///< rows without a finite score
  RankingMetrics ranking = {};
  double prr = kUndefined, prr_half = kUndefined;  ///< all rows, at most half of them rejected
  Interval auroc_ci95 = {};
};

struct ScoreEvaluation {
  std::string name;
  bool higher_is_better = true;  ///< else the score was negated before ranking
  ScoreMetrics all = {}, complete_only = {};
};

struct Evaluation {
  std::int64_t rows = 0, correct = 0, truncated = 0;
  std::int64_t complete_correct = 0;  ///< right ones among the rows that ended by themselves
  double mean_tokens = kUndefined;    ///< over the rows whose length is known
  NanPolicy nan_policy = NanPolicy::kWorst;
  std::vector<ScoreEvaluation> scores = {};
  std::vector<ScoreEvaluation> baselines =
      {};  ///< neg_length, complete (METHOD.md C): a score that does not beat them shows nothing
};

/// Whether a higher value is to mean "more likely correct", from the last part of a dotted path. Fixed beforehand,
/// never from data: false for the uncertainties ppl_official, entropy_official, nll, perplexity, entropy_nats; true for
/// everything else.
bool higher_is_better(std::string_view name);

/// Pure: the same input and options give the same bits.
Evaluation evaluate(const EvaluationInput& input, const EvaluationOptions& options = {});

}  // namespace kvgauge
