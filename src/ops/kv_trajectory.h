#pragma once
#include <vector>

#include "core/check.h"
#include "kvgauge/scores.h"
#include "ops/args.h"

namespace kvgauge {

/// Which cache entries the gauge averages. METHOD.md A.1.
struct TrajectorySpec {
  GaugePart part = GaugePart::kV;
  std::span<const std::int32_t> layers;  ///< ascending; empty = all
  /// On the host, [head_dim / 2]: those that RoPE turned K by (scaled ones where the model scales them). K's rotation is
  /// undone in e_t (METHOD.md A.1, k_rope=pre); V has none. Empty: K as it is cached.
  std::span<const double> inverse_frequencies = {};
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
///         with inverse_frequencies: K's heads turned back by angle_i = t * inverse_frequency[i], i < head_dim/2, which
///         is the same for all layers:  (x_i, x_{i+d/2}) -> (x_i cos + x_{i+d/2} sin,  x_{i+d/2} cos - x_i sin)
///         angle in double, cos and sin rounded to f32, each value rounded once
///   dr_t = |e_{t+1} - e_t|, dtheta_t = angle(e_{t+1}, e_t)   reductions in double, fixed order; METHOD.md A.2, A.5;
///   stored as f32
/// Pages may be f32, f16 or bf16. Equal page contents give equal bits, for any split of the span into calls and any page order, on every instruction
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

/// What every back end requires of its caller.
inline void check_kv_trajectory(const KvTrajectoryArgs& args) {
  const PagedKvView& pages = args.pages;
  KVGAUGE_CHECK(pages.kv_heads > 0 && pages.head_dim > 0 && pages.layers > 0, "pages of ", pages.layers, " layers, ",
                pages.kv_heads, " heads of ", pages.head_dim);
  for (std::size_t i = 0; i < args.spec.layers.size(); ++i)
    KVGAUGE_CHECK(args.spec.layers[i] >= 0 && args.spec.layers[i] < pages.layers &&
                      (i == 0 || args.spec.layers[i - 1] < args.spec.layers[i]),
                  "layer ", args.spec.layers[i], " of ", pages.layers);
  const std::size_t frequencies = args.spec.inverse_frequencies.size();
  KVGAUGE_CHECK(frequencies == 0 || 2 * frequencies == static_cast<std::size_t>(pages.head_dim), frequencies,
                " inverse frequencies for heads of ", pages.head_dim);
}

}  // namespace kvgauge
