#include "ops/kv_trajectory.h"

#include <algorithm>
#include <cmath>

#include "core/angle.h"
#include "core/check.h"
#include "core/trajectory_sums.h"
#include "cpu/backend.h"

namespace kvgauge::cpu {
namespace {

struct Step {
  double dr, dtheta;
};

Step step_between(const Kernels& kernels, std::span<const float> from, std::span<const float> to) {
  const TrajectoryDistances d = kernels.distances(to.data(), from.data(), static_cast<std::int64_t>(from.size()));
  return {std::sqrt(d.difference_squared), angle(d.difference_squared, std::sqrt(d.a_squared), std::sqrt(d.b_squared))};
}

/// Undoes RoPE on the heads of one position. Products of two f32 are exact in double, so that each value is rounded by
/// its sum and by its conversion only.
void turn_back(std::span<const double> inverse_frequencies, std::int64_t position, int heads, float* k) {
  const auto half = static_cast<std::int64_t>(inverse_frequencies.size());
  for (std::int64_t i = 0; i < half; ++i) {
    const double angle = static_cast<double>(position) * inverse_frequencies[static_cast<std::size_t>(i)];
    const double cosine = static_cast<float>(std::cos(angle)), sine = static_cast<float>(std::sin(angle));
    for (int head = 0; head < heads; ++head) {
      float &low = k[2 * half * head + i], &high = k[2 * half * head + half + i];
      const double x = low, y = high;
      low = static_cast<float>(x * cosine + y * sine);
      high = static_cast<float>(y * cosine - x * sine);
    }
  }
}

/// e of one position: layers ascending, each added to the running f32 sum, one multiplication at the end.
void embed_position(const Kernels& kernels, const KvTrajectoryArgs& args, const TrajectoryItem& item,
                    std::int64_t position, std::span<float> e) {
  const PagedKvView& pages = args.pages;
  const std::int64_t block = item.blocks[position / pages.page_tokens];
  const int slot = static_cast<int>(position % pages.page_tokens);
  const bool with_k = args.spec.part != GaugePart::kV, with_v = args.spec.part != GaugePart::kK;
  const std::int64_t layers =
      args.spec.layers.empty() ? pages.layers : static_cast<std::int64_t>(args.spec.layers.size());
  std::fill(e.begin(), e.end(), 0.f);
  const auto add = [&](const std::byte* row, float* sums) {
    const auto* halves = reinterpret_cast<const std::uint16_t*>(row);
    switch (pages.dtype) {
      case DType::kF32: kernels.add_row_f32(reinterpret_cast<const float*>(row), sums, pages.head_dim); break;
      case DType::kF16: kernels.add_row_f16(halves, sums, pages.head_dim); break;
      case DType::kBF16: kernels.add_row_bf16(halves, sums, pages.head_dim); break;
    }
  };
  for (std::int64_t i = 0; i < layers; ++i) {
    const int layer = args.spec.layers.empty() ? static_cast<int>(i) : args.spec.layers[static_cast<std::size_t>(i)];
    float* sums = e.data();
    if (with_k) {
      for (int head = 0; head < pages.kv_heads; ++head, sums += pages.head_dim)
        add(pages.k(layer, block, head, slot), sums);
    }
    if (with_v) {
      for (int head = 0; head < pages.kv_heads; ++head, sums += pages.head_dim)
        add(pages.v(layer, block, head, slot), sums);
    }
  }
  kernels.scale_row(e.data(), 1.f / static_cast<float>(layers), static_cast<std::int64_t>(e.size()));
  if (with_k && !args.spec.inverse_frequencies.empty())
    turn_back(args.spec.inverse_frequencies, position, pages.kv_heads, e.data());
}

HostTrajectory& host(TrajectoryState& state) { return static_cast<HostTrajectory&>(state); }
const HostTrajectory& host(const TrajectoryState& state) { return static_cast<const HostTrajectory&>(state); }

/// A position of an item whose point is formed in the current wave.
struct WavePoint {
  const TrajectoryItem* item;
  std::int64_t position;
  Step step;  ///< from the point before; unused for the first of a trajectory
};

constexpr std::int64_t kWavePoints = 256;
constexpr std::size_t kScratchBytes = (std::size_t{16} << 20) + kWavePoints * sizeof(WavePoint);

}  // namespace

void CpuBackend::reserve_trajectory() { reserve(trajectory_scratch_, kScratchBytes); }

// Points are formed in waves over all items, then the steps between neighbours, then both are handed to the states in
// order. A point depends on its own position and a step on its two points only, so no cut of the work can be seen in
// the bits.
void CpuBackend::kv_trajectory(const KvTrajectoryArgs& args) {
  const PagedKvView& pages = args.pages;
  const std::int64_t size = std::int64_t{pages.kv_heads} * pages.head_dim * (args.spec.part == GaugePart::kKV ? 2 : 1);
  check_kv_trajectory(args);
  reserve_trajectory();
  auto* wave = trajectory_scratch_.as<WavePoint>();
  auto* points = reinterpret_cast<float*>(wave + kWavePoints);
  const std::int64_t room = std::min(kWavePoints, (std::int64_t{16} << 20) / (size * std::int64_t{sizeof(float)}));
  KVGAUGE_CHECK(room > 0, "points of ", size, " values");
  const auto point = [&](std::int64_t i) { return std::span(points + i * size, static_cast<std::size_t>(size)); };

  std::size_t next_item = 0;
  std::int64_t next_position = args.items.empty() ? 0 : args.items[0].begin;
  while (next_item < args.items.size()) {
    std::int64_t count = 0;
    while (count < room && next_item < args.items.size()) {
      const TrajectoryItem& item = args.items[next_item];
      if (next_position < item.end) {
        wave[count++] = {&item, next_position++, {}};
      } else if (++next_item < args.items.size()) {
        next_position = args.items[next_item].begin;
      }
    }
    const bool tiny = count * size * pages.layers < 16'384;
    parallel(count, tiny,
             [&](std::int64_t i, int) { embed_position(kernels_, args, *wave[i].item, wave[i].position, point(i)); });
    parallel(count, tiny, [&](std::int64_t i, int) {
      const bool follows = i > 0 && wave[i - 1].item == wave[i].item;
      if (follows) {
        wave[i].step = step_between(kernels_, point(i - 1), point(i));
      } else if (wave[i].item->state->points() > 0) {
        wave[i].step = step_between(kernels_, host(*wave[i].item->state).previous, point(i));
      }
    });
    for (std::int64_t i = 0; i < count; ++i) {
      const bool newest = i + 1 == count || wave[i + 1].item != wave[i].item;
      host(*wave[i].item->state).add(point(i), wave[i].step.dr, wave[i].step.dtheta, newest);
    }
  }
}

HostTrajectory::HostTrajectory(std::int64_t values, std::int64_t capacity) {
  first.assign(static_cast<std::size_t>(values), 0.f);
  previous.assign(static_cast<std::size_t>(values), 0.f);
  for (auto* list : {&steps.dr, &steps.dtheta}) list->reserve(static_cast<std::size_t>(capacity));
}

void HostTrajectory::add(std::span<const float> e, double dr, double dtheta, bool keep) {
  KVGAUGE_CHECK(previous.size() == e.size(), "a trajectory of ", previous.size(), " values, pages give ", e.size());
  if (points_ == 0) {
    steps.dr.clear();
    steps.dtheta.clear();
    std::copy(e.begin(), e.end(), first.begin());
  } else {
    steps.dr.push_back(static_cast<float>(dr));
    steps.dtheta.push_back(static_cast<float>(dtheta));
  }
  if (keep || points_ == 0) std::copy(e.begin(), e.end(), previous.begin());
  ++points_;
}

std::unique_ptr<TrajectoryState> CpuBackend::make_trajectory(std::int64_t values, std::int64_t capacity) {
  return std::make_unique<HostTrajectory>(values, capacity);
}

void CpuBackend::copy_trajectory(const TrajectoryState& from, TrajectoryState& to) {
  auto& target = host(to);
  const std::size_t capacity = target.steps.dr.capacity();
  target = host(from);
  for (auto* list : {&target.steps.dr, &target.steps.dtheta}) list->reserve(capacity);
}

TrajectorySums CpuBackend::read_trajectory(const TrajectoryState& state) {
  if (state.points() == 0) return {.sum_m_cos_a = kUndefined, .sum_m_sin_a = kUndefined};
  const HostTrajectory& trajectory = host(state);
  const Step ends = step_between(kernels_, trajectory.first, trajectory.previous);
  return sum_trajectory<float>(trajectory.steps.dr, trajectory.steps.dtheta, ends.dr, ends.dtheta);
}

TrajectorySteps CpuBackend::read_steps(const TrajectoryState& state) {
  return state.points() == 0 ? TrajectorySteps{} : host(state).steps;
}

}  // namespace kvgauge::cpu
