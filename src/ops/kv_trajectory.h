#pragma once
#include <vector>

#include "kvgauge/scores.h"
#include "ops/args.h"

namespace kvgauge {

/// Which cache entries the gauge averages. METHOD.md A.1.
struct TrajectorySpec {
  GaugePart part = GaugePart::kV;
  std::span<const std::int32_t> layers;  ///< ascending; empty = all
};

/// What one sequence keeps of its trajectory between steps: e_1, the newest e, and the arrays dr and dtheta, in memory
/// of the back end that made it (Backend::make_trajectory) and that alone may extend, copy or read it.
/// e vectors: kv_heads * head_dim f32 (twice that for kKV), index head * head_dim + j, K before V.
class TrajectoryState {
 public:
  virtual ~TrajectoryState() = default;
  std::int64_t points() const { return points_; }  ///< e_1 .. e_points have been seen; known without waiting
  void restart() { points_ = 0; }                  ///< forgets every point

 protected:
  std::int64_t points_ = 0;
};

/// A trajectory's arrays on the host: points - 1 values each (0 if there are none).
struct TrajectorySteps {
  std::vector<float> dr, dtheta;
};

/// Extends trajectories by positions [begin, end) of each sequence, reading the pages (values that attention reads):
///   e_t = (1/L) sum_l part(l, t)            f32, layers ascending, one multiplication by 1/L at the end
///   dr_t = |e_{t+1} - e_t|, dtheta_t = angle(e_{t+1}, e_t)   reductions in double, fixed order; METHOD.md A.2, A.5;
///   stored as f32
/// Equal page contents give equal bits, for any split of the span into calls and any page order, on every instruction
/// set.
struct TrajectoryItem {
  const std::int32_t* blocks = nullptr;  ///< covers `end` positions
  std::int64_t begin = 0, end = 0;       ///< begin follows the last position seen by `state`
  TrajectoryState* state = nullptr;
};

struct KvTrajectoryArgs {
  PagedKvView pages;
  TrajectorySpec spec;
  std::span<const TrajectoryItem> items;
};

}  // namespace kvgauge
