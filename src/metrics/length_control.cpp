#include "metrics/length_control.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "core/check.h"
#include "metrics/delong.h"

namespace kvgauge {
namespace {

constexpr std::int64_t kMostStrata = 10, kRowsOfAClass = 5;

struct Stratum {
  std::vector<double> scores;
  std::vector<std::uint8_t> correct;
};

std::vector<Stratum> strata_of(const std::vector<double>& scores, const std::vector<std::uint8_t>& correct,
                               const std::vector<double>& length_ranks, std::int64_t strata) {
  std::vector<Stratum> out(static_cast<std::size_t>(strata));
  const double per_stratum = static_cast<double>(scores.size()) / static_cast<double>(strata);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const auto at = std::min(out.size() - 1, static_cast<std::size_t>((length_ranks[i] - 0.5) / per_stratum));
    out[at].scores.push_back(scores[i]);
    out[at].correct.push_back(correct[i]);
  }
  return out;
}

void add_matched(LengthControl& result, const std::vector<Stratum>& strata) {
  double pairs = 0, area = 0, variance = 0;
  for (const Stratum& s : strata) {
    const auto right = std::count(s.correct.begin(), s.correct.end(), std::uint8_t{1});
    const auto wrong = static_cast<std::ptrdiff_t>(s.correct.size()) - right;
    if (right < 2 || wrong < 2) continue;
    const AurocEstimate estimate = auroc_estimate(s.scores, s.correct);
    const double here = static_cast<double>(right) * static_cast<double>(wrong);
    ++result.strata;
    pairs += here;
    area += here * estimate.auroc;
    variance += here * here * estimate.variance;
  }
  if (result.strata == 0) return;
  result.matched_auroc = area / pairs;
  const double half = kNormal95 * std::sqrt(variance) / pairs;
  result.matched_ci95 = {.low = std::max(0.0, result.matched_auroc - half),
                         .high = std::min(1.0, result.matched_auroc + half)};
}

}  // namespace

LengthControl control_for_length(std::span<const double> scores, std::span<const std::uint8_t> correct,
                                 std::span<const std::int64_t> tokens) {
  KVGAUGE_CHECK(scores.size() == correct.size() && scores.size() == tokens.size(), scores.size(), " scores, ",
                correct.size(), " labels, ", tokens.size(), " lengths");
  std::vector<double> known, lengths;
  std::vector<std::uint8_t> labels;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (tokens[i] < 0) continue;
    known.push_back(scores[i]);
    labels.push_back(correct[i] != 0);
    lengths.push_back(static_cast<double>(tokens[i]));
  }
  LengthControl result{.n = static_cast<std::int64_t>(known.size())};
  result.right = std::count(labels.begin(), labels.end(), std::uint8_t{1});
  result.wrong = result.n - result.right;
  const std::vector<double> length_ranks = midranks(lengths);
  const std::vector<double> label_values(labels.begin(), labels.end());  // two values: a straight line of their ranks
  result.spearman = partial_correlation(midranks(known), label_values, length_ranks);
  const std::int64_t strata =
      std::clamp<std::int64_t>(std::min(result.right, result.wrong) / kRowsOfAClass, 1, kMostStrata);
  add_matched(result, strata_of(known, labels, length_ranks, strata));
  return result;
}

}  // namespace kvgauge
