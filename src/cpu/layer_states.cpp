#include "ops/layer_states.h"

#include <cmath>
#include <vector>

#include "core/angle.h"
#include "core/trajectory_sums.h"
#include "cpu/backend.h"

namespace kvgauge::cpu {
namespace {

struct Step {
  double dr, dtheta;
};

/// Between the means of two states.
Step step_between(const double* from, const double* to, std::int64_t columns, double share) {
  double difference = 0, to_squared = 0, from_squared = 0;
  for (std::int64_t c = 0; c < columns; ++c) {
    const double u = to[c] * share, v = from[c] * share;
    difference += (u - v) * (u - v);
    to_squared += u * u;
    from_squared += v * v;
  }
  return {std::sqrt(difference), angle(difference, std::sqrt(to_squared), std::sqrt(from_squared))};
}

}  // namespace

void CpuBackend::layer_states(const LayerStatesArgs& args) {
  check_layer_states(args);
  const std::int64_t columns = args.states.columns;
  parallel(std::ssize(args.items), std::ssize(args.items) * columns < 8'192, [&](std::int64_t i, int) {
    const LayerStatesItem& item = args.items[static_cast<std::size_t>(i)];
    for (std::int64_t r = item.first_row; r < item.first_row + item.rows; ++r) {
      const float* row = static_cast<const float*>(args.states.data) + r * args.states.stride;
      for (std::int64_t c = 0; c < columns; ++c) item.sums[c] += static_cast<double>(row[c]);
    }
  });
}

TrajectorySums CpuBackend::read_layer_states(const LayerSums& sums) {
  check_layer_sums(sums);
  const double share = 1 / static_cast<double>(sums.positions);
  std::vector<double> dr, dtheta;
  for (std::int64_t s = 1; s < sums.states; ++s) {
    const Step step = step_between(sums.sums + (s - 1) * sums.columns, sums.sums + s * sums.columns, sums.columns, share);
    dr.push_back(step.dr);
    dtheta.push_back(step.dtheta);
  }
  const Step ends = step_between(sums.sums, sums.sums + (sums.states - 1) * sums.columns, sums.columns, share);
  return sum_trajectory<double>(dr, dtheta, ends.dr, ends.dtheta);
}

}  // namespace kvgauge::cpu
