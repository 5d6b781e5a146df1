// Layer averages of cached K and V, and the steps between neighbouring positions (METHOD.md A.1, A.2, A.5):
//   e_t = (1/L) sum_l part(l, t)   f32, layers ascending, one product, K's rotation undone on demand;   dr_t = |e_{t+1}
//   - e_t|,  dtheta_t = angle(e_{t+1}, e_t)
// A block takes kTile consecutive positions of one item, several at a time. The values of a position are dealt to
// `lanes` threads in groups of kGroup: every thread sums its groups over the layers, and the squares of e and of its
// difference from the position before in double. Which thread holds which value, and the order of every sum, depend on
// the number of values only: no tiling, page order or batch shows in the bits. The position before a tile is in the
// item's state, or is formed again. Read: (span + span / kTile) * layers * values * sizeof(T), once; state 2 * values
// floats and 2 floats a position written.
#include "cuda/kv_trajectory.h"

#include <algorithm>
#include <bit>
#include <iterator>

#include "core/angle.h"
#include "core/check.h"
#include "cuda/device.cuh"
#include "cuda/rotation.cuh"
#include "cuda/step_between.cuh"

namespace kvgauge::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarpSize;
constexpr int kTile = 32;
constexpr int kGroup = 8;  ///< values of one 16-byte load of bf16; a row of e is padded with zeros to whole groups
constexpr int kBytesInFlight = 256;  ///< that a thread has asked for at a time
constexpr int kMostLayers = kBytesInFlight / kGroup / static_cast<int>(sizeof(bf16_t));  ///< that it reads at a time

}  // namespace

struct KvTrajectoryKernelArgs {
  PagedKvView pages;
  TrajectoryTable table;
  GaugePart part = GaugePart::kV;
  int values = 0, padded_values = 0;            ///< of e; in whole groups
  int padded_layers = 0;                        ///< in whole rounds of reads
  int lanes = 0, slots = 0;                     ///< threads of a position, in whole warps; positions at a time
  const double* inverse_frequencies = nullptr;  ///< [head_dim / 2]; nullptr: K as it is cached
};

namespace {

/// Where a group of values lies in every layer, of the page slot of one position.
struct GroupPlace {
  const std::byte* const* bases;  ///< of the group's part, [padded_layers] in shared memory
  std::int64_t offset;            ///< in elements
};

using FourFloats = Pack<float, 4>;

/// K's values come before V's.
__device__ __forceinline__ GroupPlace place_of(const KvTrajectoryKernelArgs& a, const std::byte* const* bases,
                                               int index, std::int64_t block, int slot) {
  const int part_values = a.pages.kv_heads * a.pages.head_dim;
  const int part = index / part_values, inside = index % part_values;
  const int head = inside / a.pages.head_dim;
  return {bases + part * a.padded_layers, block * a.pages.block_stride + head * a.pages.head_stride +
                                              slot * a.pages.token_stride + inside % a.pages.head_dim};
}

/// sums += the group's values of all layers, ascending. Adding the zeros that stand for layers behind the last changes
/// no bit: a sum that begins with +0 never is -0.
template <class T>
__device__ __forceinline__ void add_layers(const GroupPlace& place, int layers, float (&sums)[kGroup]) {
  constexpr int kDepth = kBytesInFlight / (kGroup * static_cast<int>(sizeof(T))), kCount = kPackCount<T>;
  for (int first = 0; first < layers; first += kDepth) {
    SixteenBytes raw[kDepth][kGroup / kCount];
#pragma unroll
    for (int i = 0; i < kDepth; ++i) {
      const T* const from = reinterpret_cast<const T*>(place.bases[first + i]) + place.offset;
#pragma unroll
      for (int p = 0; p < kGroup / kCount; ++p) raw[i][p] = load_constant_16(from + p * kCount, first + i < layers);
    }
#pragma unroll
    for (int i = 0; i < kDepth; ++i) {
#pragma unroll
      for (int j = 0; j < kGroup; ++j)
        sums[j] += widened(std::bit_cast<Pack<T, kCount>>(raw[i][j / kCount]).values[j % kCount]);
    }
  }
}

/// The same for one value: heads that are no multiple of a group, strides and bases that are not aligned.
template <class T>
__device__ __forceinline__ float sum_of_layers(const GroupPlace& place, int layers) {
  constexpr int kDepth = 8;
  float sum = 0;
  for (int first = 0; first < layers; first += kDepth) {
    T raw[kDepth];
#pragma unroll
    for (int i = 0; i < kDepth; ++i)
      raw[i] = first + i < layers ? reinterpret_cast<const T*>(place.bases[first + i])[place.offset] : T{};
#pragma unroll
    for (int i = 0; i < kDepth; ++i) sum += widened(raw[i]);
  }
  return sum;
}

/// Undoes RoPE on K's heads at the start of a row of e, each lane on pairs of its own. Products of two f32 are exact in
/// double.
__device__ __forceinline__ void turn_back(const KvTrajectoryKernelArgs& a, std::int64_t position, float* row,
                                          int lane) {
  const int half = a.pages.head_dim / 2;
  for (int i = lane; i < half; i += a.lanes) {
    const Rotation rotation = rotation_by(static_cast<double>(position) * a.inverse_frequencies[i]);
    const double cosine = rotation.cosine, sine = rotation.sine;
    for (int head = 0; head < a.pages.kv_heads; ++head) {
      float* const low = row + head * a.pages.head_dim + i;
      const double x = low[0], y = low[half];
      low[0] = static_cast<float>(x * cosine + y * sine);
      low[half] = static_cast<float>(y * cosine - x * sine);
    }
  }
}

struct Squares {
  double norm = 0, difference = 0;
};

/// This thread's part of |e|^2 and, if there is a row before, of |e - before|^2; both rows in shared memory.
__device__ __forceinline__ Squares squares_of(const float* e, const float* before, int lane, int lanes,
                                              int padded_values) {
  Squares sums;
  for (int index = lane * kGroup; index < padded_values; index += lanes * kGroup) {
#pragma unroll
    for (int half = 0; half < kGroup; half += 4) {
      const auto now = load_pack(e + index + half);
      FourFloats then = {};
      if (before != nullptr) then = load_pack(before + index + half);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const double u = now.values[j], apart = u - static_cast<double>(then.values[j]);
        sums.norm =
            fma(u, u, sums.norm);  // spelled out: rows read back and rows just formed go through the same roundings
        sums.difference = fma(apart, apart, sums.difference);
      }
    }
  }
  return sums;
}

}  // namespace

// Entry k of a tile is position first - 1 + k: entry 0 is the position before the tile, taken from the state
// (`from_state`), formed again
// (`formed_again`), or not there at all. Its row of e is k % (slots + 1) of a ring, so that the row before stays while
// the next `slots` rows are formed.
template <class T>
__global__ void __launch_bounds__(kThreads, 2) kv_trajectory_kernel(KvTrajectoryKernelArgs a) {
  __shared__ std::uint64_t item_words[sizeof(DeviceTrajectoryItem) / sizeof(std::uint64_t)];
  __shared__ double norms[kTile + 1][kWarps], differences[kTile + 1][kWarps];  // each warp's part of an entry's sums
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  const int layers = static_cast<int>(a.table.layer_count);
  const int parts = a.part == GaugePart::kKV ? 2 : 1;
  auto** bases = shared<const std::byte*>();
  auto* ring = reinterpret_cast<float*>(bases + parts * a.padded_layers);

  if (thread < static_cast<int>(std::size(item_words)))
    item_words[thread] = reinterpret_cast<const std::uint64_t*>(a.table.items + blockIdx.y)[thread];
  for (int i = thread; i < parts * a.padded_layers; i += threads) {
    const bool value = a.part == GaugePart::kV || i >= a.padded_layers;
    const int at = i % a.padded_layers;
    const int known =
        at < layers ? at : layers - 1;  // entries behind the last layer are not read through, but added to
    bases[i] = (value ? a.pages.v_base : a.pages.k_base)[a.table.layers == nullptr ? known : a.table.layers[known]];
  }
  __syncthreads();
  const DeviceTrajectoryItem item = *reinterpret_cast<const DeviceTrajectoryItem*>(item_words);
  const std::int64_t first = item.begin + static_cast<std::int64_t>(blockIdx.x) * kTile;
  if (first >= item.end) return;  // whole blocks leave
  const int count = static_cast<int>(item.end - first < kTile ? item.end - first : kTile);
  const bool from_state = first == item.begin && item.points > 0, formed_again = first > item.begin;

  constexpr std::int64_t kAlignment = 16;
  const std::int64_t strides = a.pages.block_stride | a.pages.head_stride | a.pages.token_stride;
  bool whole_groups =
      a.pages.head_dim % kGroup == 0 && strides * static_cast<std::int64_t>(sizeof(T)) % kAlignment == 0;
  for (int i = lane_index(); i < parts * a.padded_layers; i += kWarpSize)
    whole_groups = whole_groups && reinterpret_cast<std::uintptr_t>(bases[i]) % kAlignment == 0;
  whole_groups = __all_sync(kAllLanes, whole_groups);

  const int slot = thread / a.lanes, lane = thread % a.lanes, warp = lane / kWarpSize;  // a warp is of one slot
  const int rows = a.slots + 1;
  if (from_state) {
    for (int i = thread; i < a.padded_values; i += threads) ring[i] = i < a.values ? item.previous[i] : 0.f;
    __syncthreads();
    if (slot == 0) {
      const double norm = warp_sum(squares_of(ring, nullptr, lane, a.lanes, a.padded_values).norm);
      if (lane_index() == 0) norms[0][warp] = norm;
    }
  }

  const float share = 1.f / static_cast<float>(layers);
  const int first_entry = formed_again ? 0 : 1;
  for (int wave = first_entry; wave <= count; wave += a.slots) {
    const int entry = wave + slot;
    const bool active = slot < a.slots && entry <= count;
    float* const row = ring + static_cast<std::int64_t>(entry % rows) * a.padded_values;
    if (active) {
      const std::int64_t position = first - 1 + entry;
      const int page = static_cast<int>(position / a.pages.page_tokens),
                page_slot = static_cast<int>(position % a.pages.page_tokens);
      const std::int64_t block = __shfl_sync(kAllLanes, lane_index() == 0 ? item.blocks[page] : 0, 0);
      for (int index = lane * kGroup; index < a.padded_values; index += a.lanes * kGroup) {
        float sums[kGroup] = {};
        if (whole_groups) {
          add_layers<T>(place_of(a, bases, index, block, page_slot), layers, sums);
        } else {
#pragma unroll
          for (int j = 0; j < kGroup; ++j)
            if (index + j < a.values)
              sums[j] = sum_of_layers<T>(place_of(a, bases, index + j, block, page_slot), layers);
        }
#pragma unroll
        for (int half = 0; half < kGroup; half += 4)
          store_pack(row + index + half, FourFloats{{sums[half] * share, sums[half + 1] * share, sums[half + 2] * share,
                                                     sums[half + 3] * share}});
      }
    }
    __syncthreads();
    if (a.inverse_frequencies != nullptr) {
      if (active) turn_back(a, first - 1 + entry, row, lane);
      __syncthreads();
    }
    if (active) {
      const bool steps = entry > first_entry || from_state;
      const float* const before = ring + static_cast<std::int64_t>((entry + a.slots) % rows) * a.padded_values;
      Squares sums = squares_of(row, steps ? before : nullptr, lane, a.lanes, a.padded_values);
      sums.norm = warp_sum(sums.norm);
      sums.difference = warp_sum(sums.difference);
      if (lane_index() == 0) {
        norms[entry][warp] = sums.norm;
        differences[entry][warp] = sums.difference;
      }
      const std::int64_t position = first - 1 + entry;
      if (position == item.end - 1)
        for (int i = lane; i < a.values; i += a.lanes) item.newest[i] = row[i];
      if (position == item.begin && item.points == 0)
        for (int i = lane; i < a.values; i += a.lanes) item.first[i] = row[i];
    }
    __syncthreads();
  }

  // Entry k's step is number points + (position - begin) - 1 of the trajectory.
  const std::int64_t step = item.points + (first - item.begin) - 2;
  for (int entry = 1 + thread; entry <= count; entry += threads) {
    if (step + entry < 0) continue;
    double norm = 0, norm_before = 0, difference = 0;
    for (int w = 0; w < a.lanes / kWarpSize; ++w) {
      norm += norms[entry][w];
      norm_before += norms[entry - 1][w];
      difference += differences[entry][w];
    }
    item.dr[step + entry] = static_cast<float>(sqrt(difference));
    item.dtheta[step + entry] = static_cast<float>(angle(difference, sqrt(norm), sqrt(norm_before)));
  }
}

struct TrajectoryEndsKernelArgs {
  const float* first = nullptr;
  const float* previous = nullptr;
  std::int64_t values = 0;
  double* out = nullptr;
};

__global__ void __launch_bounds__(kThreads) trajectory_ends_kernel(TrajectoryEndsKernelArgs a) {
  __shared__ double scratch[kWarpSize];
  store_step_between(a.first, a.previous, a.values, 1.0, scratch, a.out);
}

void launch_kv_trajectory(const KvTrajectoryArgs& args, const TrajectoryTable& table, StreamHandle stream) {
  if (table.count == 0 || table.longest_span == 0) return;
  const PagedKvView& pages = args.pages;
  const int parts = args.spec.part == GaugePart::kKV ? 2 : 1;
  KVGAUGE_CHECK(table.layer_count > 0, "a trajectory of ", table.layer_count, " layers");
  KvTrajectoryKernelArgs a;
  a.pages = pages;
  a.table = table;
  a.part = args.spec.part;
  if (args.spec.part != GaugePart::kV && !args.spec.inverse_frequencies.empty())
    a.inverse_frequencies = args.spec.inverse_frequencies.data();
  a.values = parts * pages.kv_heads * pages.head_dim;
  a.padded_values = static_cast<int>(ceil_div(a.values, kGroup)) * kGroup;
  a.padded_layers = static_cast<int>(ceil_div(table.layer_count, kMostLayers)) * kMostLayers;
  a.lanes = std::min(kThreads, static_cast<int>(ceil_div(a.padded_values / kGroup, kWarpSize)) * kWarpSize);
  a.slots = static_cast<int>(std::min<std::int64_t>(kThreads / a.lanes, table.longest_span));
  LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(ceil_div(table.longest_span, kTile)), static_cast<unsigned>(table.count));
  shape.block = dim3(static_cast<unsigned>(a.lanes * a.slots));
  shape.shared_bytes = static_cast<unsigned>(static_cast<std::size_t>(parts * a.padded_layers) * sizeof(std::byte*) +
                                             static_cast<std::size_t>((a.slots + 1) * a.padded_values) * sizeof(float));
  switch (pages.dtype) {
    case DType::kF32: launch(stream, shape, kv_trajectory_kernel<float>, a); break;
    case DType::kF16: launch(stream, shape, kv_trajectory_kernel<half_t>, a); break;
    case DType::kBF16: launch(stream, shape, kv_trajectory_kernel<bf16_t>, a); break;
  }
}

void launch_trajectory_ends(const float* first, const float* previous, std::int64_t values, double* out,
                            StreamHandle stream) {
  launch(stream, LaunchShape{dim3(1), dim3(kThreads), 0}, trajectory_ends_kernel,
         TrajectoryEndsKernelArgs{first, previous, values, out});
}

}  // namespace kvgauge::cuda
