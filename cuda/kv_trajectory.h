#pragma once
#include "cuda/stream_handle.h"
#include "ops/kv_trajectory.h"

namespace kvgauge::cuda {

/// A TrajectoryItem with its state in device memory. `previous` alternates between two buffers, because blocks that
/// begin a span read what the block that ends it writes.
struct DeviceTrajectoryItem {
  const std::int32_t* blocks = nullptr;  ///< covers `end` positions
  std::int64_t begin = 0, end = 0;
  std::int64_t points = 0;          ///< seen before this call
  float* first = nullptr;           ///< [values]; written when points == 0
  const float* previous = nullptr;  ///< [values]; read when points > 0
  float* newest = nullptr;          ///< [values]; written: e of position end - 1; not the buffer of `previous`
  float* dr = nullptr;              ///< [capacity]; written at [max(points, 1) - 1, points + end - begin - 1)
  float* dtheta = nullptr;
};

/// The items in device memory and the bounds that shape the grid.
struct TrajectoryTable {
  const DeviceTrajectoryItem* items = nullptr;
  std::int64_t count = 0;
  std::int64_t longest_span = 0;         ///< end - begin of the longest item
  const std::int32_t* layers = nullptr;  ///< device, ascending; nullptr: all
  std::int64_t layer_count = 0;          ///< always given
};

/// @param args only `pages`, spec.part and spec.inverse_frequencies are read; these and the base arrays of `pages` lie
/// in device memory
void launch_kv_trajectory(const KvTrajectoryArgs& args, const TrajectoryTable& table, StreamHandle stream);

/// out[0..2) = distance and angle between `first` and `previous` of a trajectory, in double: the ends that its sums are
/// divided by.
void launch_trajectory_ends(const float* first, const float* previous, std::int64_t values, double* out,
                            StreamHandle stream);

}  // namespace kvgauge::cuda
