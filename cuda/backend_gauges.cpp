// The gauges: windows, hidden states, trajectories.
#include "cuda/backend.h"

#include <algorithm>

#include "core/ceil_div.h"
#include "core/check.h"
#include "core/trajectory_sums.h"
#include "cuda/kv_pool.h"
#include "cuda/layer_states.h"

namespace kvgauge::cuda {

void CudaBackend::kv_pool(const KvPoolArgs& args) {
  check_kv_pool(args);
  if (args.items.empty()) return;
  std::vector<PoolItem>& items = pool_items_;
  items.assign(args.items.begin(), args.items.end());
  for (PoolItem& item : items) item.blocks = device_table(item.blocks, ceil_div(item.end, args.pages.page_tokens));
  if (tables_) apply_table_changes();
  PoolTable table{.items = staging_.upload(std::span<const PoolItem>(items)),
                  .count = std::ssize(items),
                  .layers = args.spec.layers.empty() ? nullptr : staging_.upload(args.spec.layers),
                  .layer_count = args.spec.layers.empty() ? args.pages.layers : std::ssize(args.spec.layers)};
  KvPoolArgs device = args;
  device.pages = foreign_view(args.pages);
  auto* const out = reinterpret_cast<float*>(scratch(difficulties_, items.size() * sizeof(float), "difficulties"));
  launch_kv_pool(device, table, out, stream_.get());
  if (!args.out.empty()) staging_.fetch(args.out.data(), out, args.out.size_bytes());
}

void CudaBackend::layer_states(const LayerStatesArgs& args) {
  check_layer_states(args);
  if (args.items.empty()) return;
  // Every layer of a step names the same list, or a part of it.
  const LayerStatesItem* const known = current_.states.data();
  const bool of_step =
      known != nullptr && args.items.data() >= known && args.items.data() < known + current_.states.size();
  launch_layer_states(args,
                      of_step ? current_.device_states + (args.items.data() - known) : staging_.upload(args.items),
                      stream_.get());
}

TrajectorySums CudaBackend::read_layer_states(const LayerSums& sums) {
  check_layer_sums(sums);
  std::vector<double> steps(static_cast<std::size_t>(2 * sums.states));
  const std::size_t bytes = steps.size() * sizeof(double);
  std::byte* const out = scratch(layer_steps_, bytes, "layer states");
  launch_layer_steps(sums, reinterpret_cast<double*>(out), stream_.get());
  staging_.fetch(steps.data(), out, bytes);
  wait();
  std::vector<double> dr, dtheta;
  for (std::size_t i = 0; i + 2 < steps.size(); i += 2) {
    dr.push_back(steps[i]);
    dtheta.push_back(steps[i + 1]);
  }
  return sum_trajectory<double>(dr, dtheta, steps[steps.size() - 2], steps[steps.size() - 1]);
}

// ---- trajectories

DeviceTrajectory::DeviceTrajectory(DeviceArena& arena, std::int64_t values, std::int64_t capacity)
    : values(values),
      capacity(std::max<std::int64_t>(capacity, 1)),
      memory_(arena, static_cast<std::size_t>(3 * values + 2 * this->capacity) * sizeof(float), "trajectory") {}

DeviceTrajectoryItem DeviceTrajectory::item(const TrajectoryItem& item, const std::int32_t* device_blocks) const {
  return {.blocks = device_blocks,
          .begin = item.begin,
          .end = item.end,
          .points = points_,
          .first = first(),
          .previous = point(newest),
          .newest = point(1 - newest),
          .dr = dr(),
          .dtheta = dtheta()};
}

void DeviceTrajectory::extended(std::int64_t points) {
  points_ += points;
  newest = 1 - newest;
}

std::unique_ptr<TrajectoryState> CudaBackend::make_trajectory(std::int64_t values, std::int64_t capacity) {
  return std::make_unique<DeviceTrajectory>(arena_, values, capacity);
}

void CudaBackend::copy_trajectory(const TrajectoryState& from, TrajectoryState& to) {
  const auto& source = static_cast<const DeviceTrajectory&>(from);
  auto& target = static_cast<DeviceTrajectory&>(to);
  KVGAUGE_CHECK(target.values == source.values && target.capacity >= source.points() - 1, "a trajectory of ",
                target.values, " values and ", target.capacity, " points for one of ", source.values, " and ",
                source.points());
  target.restart();
  target.extended(source.points());
  target.newest = source.newest;
  if (source.points() == 0) return;
  stream_.copy_on_device(target.first(), source.first(), static_cast<std::size_t>(3 * source.values) * sizeof(float));
  const std::size_t steps = static_cast<std::size_t>(source.points() - 1) * sizeof(float);
  stream_.copy_on_device(target.dr(), source.dr(), steps);
  stream_.copy_on_device(target.dtheta(), source.dtheta(), steps);
}

void CudaBackend::kv_trajectory(const KvTrajectoryArgs& args) {
  check_kv_trajectory(args);
  const std::int64_t parts = args.spec.part == GaugePart::kKV ? 2 : 1;
  const std::int64_t values = parts * args.pages.kv_heads * args.pages.head_dim;
  TrajectoryTable table{.layer_count = args.spec.layers.empty() ? args.pages.layers : std::ssize(args.spec.layers)};
  trajectory_items_.clear();
  for (const TrajectoryItem& item : args.items) {
    if (item.end <= item.begin) continue;
    auto& state = static_cast<DeviceTrajectory&>(*item.state);
    KVGAUGE_CHECK(state.values == values && state.points() + item.end - item.begin <= state.capacity,
                  "a trajectory of ", state.values, " values and room for ", state.capacity, " points, pages give ",
                  values, " and the span ends at ", state.points() + item.end - item.begin);
    trajectory_items_.push_back(
        state.item(item, device_table(item.blocks, ceil_div(item.end, args.pages.page_tokens))));
    state.extended(item.end - item.begin);
    table.longest_span = std::max(table.longest_span, item.end - item.begin);
  }
  if (trajectory_items_.empty()) return;
  if (tables_) apply_table_changes();
  table.count = std::ssize(trajectory_items_);
  table.items = staging_.upload(std::span<const DeviceTrajectoryItem>(trajectory_items_));
  if (!args.spec.layers.empty()) table.layers = staging_.upload(args.spec.layers);
  KvTrajectoryArgs device = args;
  device.pages = foreign_view(args.pages);
  if (const std::span<const double> frequencies = args.spec.inverse_frequencies; !frequencies.empty())
    device.spec.inverse_frequencies = {
        reinterpret_cast<const double*>(constant_or_list(frequencies.data(), frequencies.size_bytes())),
        frequencies.size()};
  launch_kv_trajectory(device, table, stream_.get());
}

TrajectorySums CudaBackend::read_trajectory(const TrajectoryState& state) {
  if (state.points() == 0) return {.sum_m_cos_a = kUndefined, .sum_m_sin_a = kUndefined};
  const auto& trajectory = static_cast<const DeviceTrajectory&>(state);
  launch_trajectory_ends(trajectory.first(), trajectory.point(trajectory.newest), trajectory.values,
                         ends_->as<double>(), stream_.get());
  double ends[2];
  staging_.fetch(ends, ends_->data(), sizeof ends);
  const TrajectorySteps steps = read_steps(state);
  return sum_trajectory<float>(steps.dr, steps.dtheta, ends[0], ends[1]);
}

TrajectorySteps CudaBackend::read_steps(const TrajectoryState& state) {
  TrajectorySteps steps;
  if (state.points() > 1) {
    const auto& trajectory = static_cast<const DeviceTrajectory&>(state);
    const auto count = static_cast<std::size_t>(state.points() - 1);
    steps.dr.resize(count);
    steps.dtheta.resize(count);
    staging_.fetch(steps.dr.data(), trajectory.dr(), count * sizeof(float));
    staging_.fetch(steps.dtheta.data(), trajectory.dtheta(), count * sizeof(float));
  }
  wait();
  return steps;
}

}  // namespace kvgauge::cuda
