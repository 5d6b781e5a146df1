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
Step step_between(const LayerSums& all, std::int64_t from, std::int64_t to) {
  const double share = 1 / static_cast<double>(all.positions);
  const auto mean = [&](std::int64_t state, std::int64_t column) {
    const std::int64_t at = state * all.columns + column;
    return (all.more == nullptr ? all.sums[at] : all.sums[at] + all.more[at]) * share;
  };
  double difference = 0, to_squared = 0, from_squared = 0;
  for (std::int64_t c = 0; c < all.columns; ++c) {
    const double u = mean(to, c), v = mean(from, c);
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
    double* const sums = item.sums + args.state * columns;
    for (std::int64_t r = item.first_row; r < item.first_row + item.rows; ++r) {
      const float* row = static_cast<const float*>(args.states.data) + r * args.states.stride;
      for (std::int64_t c = 0; c < columns; ++c) sums[c] += static_cast<double>(row[c]);
    }
  });
}

TrajectorySums CpuBackend::read_layer_states(const LayerSums& sums) {
  check_layer_sums(sums);
  std::vector<double> dr, dtheta;
  for (std::int64_t s = 1; s < sums.states; ++s) {
    const Step step = step_between(sums, s - 1, s);
    dr.push_back(step.dr);
    dtheta.push_back(step.dtheta);
  }
  const Step ends = step_between(sums, 0, sums.states - 1);
  return sum_trajectory<double>(dr, dtheta, ends.dr, ends.dtheta);
}

}  // namespace kvgauge::cpu
