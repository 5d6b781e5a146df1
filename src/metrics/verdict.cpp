#include "metrics/verdict.h"

#include <algorithm>

#include "metrics/evaluation.h"

namespace kvgauge {
namespace {

bool too_few(std::int64_t right, std::int64_t wrong) { return std::min(right, wrong) < kFewestOfAClass; }

// On the same side of `nothing` as the signal, and the whole interval is.
bool stands(const Interval& interval, double nothing, bool reversed) {
  return reversed ? interval.high < nothing : interval.low > nothing;  // false for NaN
}

}  // namespace

Judgement judge(const ScoreEvaluation& score) {
  const ScoreMetrics& all = score.all;
  const ScoreMetrics& complete = score.complete_only;
  if (too_few(all.ranking.positives, all.ranking.negatives)) return {.verdict = Verdict::kTooFew};
  const bool some_truncated = complete.n < all.n && complete.n > 0;
  const LengthControl& length = some_truncated ? complete.length : all.length;
  const bool few_lengths = too_few(length.right, length.wrong);
  const auto left_at_equal_length = [&](bool side) {
    return stands(length.spearman.ci95, 0, side) && stands(length.matched_ci95, 0.5, side);
  };
  const bool reversed = all.ranking.auroc < 0.5;
  if (!stands(all.auroc_ci95, 0.5, reversed)) {
    for (const bool side : {false, true})
      if (!few_lengths && left_at_equal_length(side)) return {.verdict = Verdict::kMasked, .reversed = side};
    return {.verdict = Verdict::kNoSignal};
  }
  if (some_truncated) {
    if (too_few(complete.ranking.positives, complete.ranking.negatives))
      return {.verdict = Verdict::kTruncationOpen, .reversed = reversed};
    if (!stands(complete.auroc_ci95, 0.5, reversed)) return {.verdict = Verdict::kTruncation, .reversed = reversed};
  }
  if (few_lengths) return {.verdict = Verdict::kLengthUnknown, .reversed = reversed};
  return {.verdict = left_at_equal_length(reversed) ? Verdict::kBeyondLength : Verdict::kLength, .reversed = reversed};
}

const char* key(Verdict verdict) {
  switch (verdict) {
    case Verdict::kTooFew: return "too_few";
    case Verdict::kNoSignal: return "no_signal";
    case Verdict::kMasked: return "masked_by_length";
    case Verdict::kTruncation: return "truncation";
    case Verdict::kTruncationOpen: return "truncation_open";
    case Verdict::kLength: return "length";
    case Verdict::kLengthUnknown: return "length_unknown";
    case Verdict::kBeyondLength: return "beyond_length";
  }
  return "?";
}

std::string words(const Judgement& judgement) {
  std::string text;
  switch (judgement.verdict) {
    case Verdict::kTooFew: return "too few of one class";
    case Verdict::kNoSignal: return "no signal (interval holds 50)";
    case Verdict::kMasked: text = "no signal overall, some at equal length"; break;
    case Verdict::kTruncation: text = "explained by truncation"; break;
    case Verdict::kTruncationOpen: text = "cannot be told from truncation"; break;
    case Verdict::kLength: text = "explained by length"; break;
    case Verdict::kLengthUnknown: text = "carries signal; lengths unknown"; break;
    case Verdict::kBeyondLength: text = "carries signal beyond length"; break;
  }
  return judgement.reversed ? "wrong way round: " + text : text;
}

}  // namespace kvgauge
