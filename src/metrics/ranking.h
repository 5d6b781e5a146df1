#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "kvgauge/scores.h"

namespace kvgauge {

/// What a row without a finite score counts as (METHOD.md A.5).
enum class NanPolicy : std::uint8_t {
  kWorst,  ///< below every other row; the row is kept
  kDrop,   ///< the row is left out
  kZero,   ///< the score 0
};
const char* name(NanPolicy policy);
/// @throws UsageError for any name but worst, drop, zero
NanPolicy parse_nan_policy(std::string_view text);

/// Scores and labels ready to be ranked: no NaN; -infinity stands for "below all".
struct RankedRows {
  std::vector<double> scores;
  std::vector<std::uint8_t> correct;
  std::vector<std::uint32_t> row;  ///< where each stood in the input
  std::int64_t invalid = 0;        ///< rows whose score was not finite, whatever became of them
};
/// Fewer than 2^31 rows.
RankedRows apply_nan_policy(std::span<const double> scores, std::span<const std::uint8_t> correct, NanPolicy policy);

/// Counts of the rows with the highest scores, up to a threshold.
struct RocVertex {
  std::int64_t fp = 0, tp = 0;  ///< wrong and right rows
};
/// One vertex after each group of equal scores, from the highest score down; the first is (0, 0), the last has all rows.
/// @param scores without NaN
std::vector<RocVertex> roc_vertices(std::span<const double> scores, std::span<const std::uint8_t> correct);

/// How well a score separates right answers (positive class) from wrong ones; higher score = more confident.
/// From the vertices (FP, TP) of the descending scores, equal scores grouped, (0,0) prepended. METHOD.md D.
/// All NaN when one class is absent.
struct RankingMetrics {
  std::int64_t positives = 0, negatives = 0;
  double auroc = kUndefined;              ///< Mann-Whitney: P(s+ > s-) + P(s+ = s-)/2
  double auroc_flipped = kUndefined;      ///< 1 - auroc: that of -score
  double fpr95 = kUndefined;              ///< official: interpolated at TPR 0.95 from the last vertex at or below it
  double fpr95_min = kUndefined;          ///< least FPR with TPR >= 0.95, no interpolation
  double aupr = kUndefined;               ///< official: trapezoid of precision over recall from (0, 1)
  double aupr_wrong = kUndefined;         ///< the same with the wrong class positive and -score
  double average_precision = kUndefined;  ///< sum (R_k - R_{k-1}) P_k
  double kendall = kUndefined;            ///< tau-b of score and label
  double rcc_auc = kUndefined;            ///< mean over k of the share of wrong rows among the k most certain
  double prr = kUndefined;                ///< prediction-rejection ratio (metrics/prr.h) of quality = label
  double prr_half = kUndefined;           ///< the same, at most half of the rows rejected
};

/// @param scores without NaN, as many as `correct`. Cost: one sort.
RankingMetrics ranking_metrics(std::span<const double> scores, std::span<const std::uint8_t> correct);
RankingMetrics ranking_metrics(const std::vector<RocVertex>& vertices);

/// Risk-coverage curve: element k-1 is the share of wrong rows among the k most certain; tied rows count as the mean of
/// their group.
std::vector<double> risk_at_coverage(const std::vector<RocVertex>& vertices);

}  // namespace kvgauge
