#pragma once
#include <cstdint>
#include <span>

#include "kvgauge/scores.h"

namespace kvgauge {

struct KvCoeWeights {
  double alpha = 1, beta = 1;  ///< of `paper_r`; the paper never gives them
};

/// METHOD.md A.3 from the sums of a span. Pure. Edge cases as A.5: T <= 1 is invalid, a closed loop or parallel ends
/// leave `normalized*` undefined and the rest defined.
KvCoeScores kv_coe_scores(const TrajectorySums& sums, KvCoeWeights weights = {});

/// METHOD.md B.2: `normalized` of a trajectory over layers; a single state or none leaves it undefined.
CoePair coe_pair(const TrajectorySums& over_layers);

/// The sums from stored differences and the end-to-end distance and angle, in ascending token order.
/// @param dr, dtheta T-1 values each
TrajectorySums trajectory_sums(std::span<const float> dr, std::span<const float> dtheta, double end_dr,
                               double end_dtheta);
TrajectorySums trajectory_sums(std::span<const double> dr, std::span<const double> dtheta, double end_dr,
                               double end_dtheta);

/// METHOD.md C. @param vocab V, for self_certainty. Empty input gives all NaN.
ProbScores prob_scores(std::span<const TokenLogitStats> tokens, std::int64_t vocab);

}  // namespace kvgauge
