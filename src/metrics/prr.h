#pragma once
#include <span>

#include "kvgauge/scores.h"

namespace kvgauge {

/// Prediction-rejection ratio: how much of the gain of an oracle that rejects the worst answers first a score brings.
/// METHOD.md D.
///   area  = mean over k = N-m+1..N of the mean quality of the k most certain rows, m = floor(max_rejection * N)
///   oracle: the same, ordered by quality;  random: the mean quality;  prr = (area - random) / (oracle - random)
/// Equal scores share the mean quality of their block, so the order of rows does not matter.
struct RejectionRatio {
  double area = kUndefined, oracle = kUndefined, random = kUndefined;
  double prr = kUndefined;  ///< NaN where the quality is the same everywhere, or no row may be rejected
};

/// @param scores higher = more certain, no NaN. @param quality any finite numbers; min-max normalised first
/// @param max_rejection in (0, 1]
RejectionRatio rejection_ratio(std::span<const double> scores, std::span<const double> quality,
                               double max_rejection = 1);

}  // namespace kvgauge
