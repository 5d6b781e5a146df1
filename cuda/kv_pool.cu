// Sums of a window of cached K and V over positions and layers, and the regressor on top of them (ops/kv_pool.h,
// METHOD.md F.1):
//   f = share * sum_l sum_t part(l, t),   d = w2 . relu(W1 x + b1) + b2,   x = (f - mean) / deviation
// One block an item. `lanes` threads hold the values of a position in groups of kGroup; the window's rows (layer,
// kBatch positions) are dealt to the block's teams of `lanes` threads in turn. A batch is summed in f32, batches and
// teams in double, in an order that the window's length and the numbers of layers and values decide. Then each warp
// forms hidden units one after another, lanes striding over the features. Read: window * layers * values * sizeof(T),
// and for the head hidden * (features + 2) * 4 bytes, which items share in the L2 cache.
#include "cuda/kv_pool.h"

#include <algorithm>
#include <bit>
#include <iterator>

#include "core/cat.h"
#include "core/check.h"
#include "cuda/device.cuh"
#include "kvgauge/error.h"

namespace kvgauge::cuda {
namespace {

constexpr int kThreads = 512, kWarps = kThreads / kWarpSize;
constexpr int kGroup = 8;   ///< values of one 16-byte load of bf16
constexpr int kBatch = 16;  ///< positions summed in f32
constexpr int kUnroll = 8;  ///< reads of a lane that are under way while a hidden unit is formed
constexpr std::size_t kMostShared = std::size_t{160} << 10;

}  // namespace

struct KvPoolKernelArgs {
  PagedKvView pages;
  PoolTable table;
  GaugePart part = GaugePart::kKV;
  bool mean_over_positions = false, mean_over_heads = false, mean_over_layers = true;
  int values = 0, padded_values = 0;  ///< of a position; in whole groups
  int features = 0;
  int lanes = 0, teams = 0;
  float* out_features = nullptr;
  std::int64_t features_stride = 0;
  PoolHead head;
  float* out = nullptr;
};

namespace {

/// What the lanes of a warp share of the rows that they add: looked up by one lane each.
struct RowPlaces {
  std::int64_t positions[kBatch];  ///< offsets in elements
  const std::byte* bases[2];       ///< the layer's K and V
};

/// Where one value of a position lies: its part, and its distance from the position's first element.
struct ValuePlace {
  int part;
  std::int64_t offset;
};
__device__ __forceinline__ ValuePlace place_of(const KvPoolKernelArgs& a, int index) {
  const int part_values = a.pages.kv_heads * a.pages.head_dim, inside = index % part_values;
  return {a.part == GaugePart::kV || index >= part_values ? 1 : 0,
          inside / a.pages.head_dim * a.pages.head_stride + inside % a.pages.head_dim};
}

/// sums += the group's values at the first `count` of a batch's positions.
template <class T>
__device__ __forceinline__ void add_batch(const T* from, const std::int64_t* positions, int count,
                                          float (&sums)[kGroup]) {
  constexpr int kCount = kPackCount<T>,
                kDepth = kBatch * static_cast<int>(sizeof(bf16_t)) / static_cast<int>(sizeof(T));
#pragma unroll 1
  for (int first = 0; first < count; first += kDepth) {
    SixteenBytes raw[kDepth][kGroup / kCount];
#pragma unroll
    for (int i = 0; i < kDepth; ++i) {
#pragma unroll
      for (int p = 0; p < kGroup / kCount; ++p)
        raw[i][p] = load_constant_16(from + positions[first + i] + p * kCount, first + i < count);
    }
#pragma unroll
    for (int i = 0; i < kDepth; ++i) {
#pragma unroll
      for (int j = 0; j < kGroup; ++j)
        sums[j] += widened(std::bit_cast<Pack<T, kCount>>(raw[i][j / kCount]).values[j % kCount]);
    }
  }
}

/// w . x over `count` values, lanes striding in packs of four whatever the alignment, so that the sum's order does not
/// depend on it.
__device__ __forceinline__ float warp_dot(const float* w, const float* x, int count, bool aligned) {
  constexpr int kStep = kWarpSize * 4;
  float sums[4] = {};
  for (int first = lane_index() * 4; first < count; first += kStep * kUnroll) {
    Pack<float, 4> weights[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int at = first + u * kStep;
      if (aligned) {
        weights[u] = std::bit_cast<Pack<float, 4>>(load_constant_16(w + at, at < count));
      } else {
#pragma unroll
        for (int i = 0; i < 4; ++i) weights[u].values[i] = at + i < count ? w[at + i] : 0.f;
      }
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int at = first + u * kStep + i;
        sums[i] = fmaf(weights[u].values[i], at < count ? x[at] : 0.f, sums[i]);
      }
    }
  }
  return warp_sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

}  // namespace

// Dynamic shared memory: sums of the teams, double [teams][padded_values]; x, float [features]; hidden units, float
// [hidden].
template <class T>
__global__ void __launch_bounds__(kThreads, 1) kv_pool_kernel(KvPoolKernelArgs a) {
  __shared__ RowPlaces places_of_warps[kWarps];
  __shared__ std::uint64_t item_words[sizeof(PoolItem) / sizeof(std::uint64_t)];
  __shared__ double scratch[kWarpSize];
  auto* const sums = shared<double>();
  auto* const x = reinterpret_cast<float*>(sums + static_cast<std::int64_t>(a.teams) * a.padded_values);
  auto* const hidden = x + a.features;
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  if (thread < static_cast<int>(std::size(item_words)))
    item_words[thread] = reinterpret_cast<const std::uint64_t*>(a.table.items + blockIdx.x)[thread];
  __syncthreads();
  const PoolItem item = *reinterpret_cast<const PoolItem*>(item_words);
  const int layers = static_cast<int>(a.table.layer_count);
  const auto window = static_cast<int>(item.end - item.begin);

  constexpr std::int64_t kAlignment = 16;
  const std::int64_t strides = a.pages.block_stride | a.pages.head_stride | a.pages.token_stride;
  const bool group_strides =
      a.pages.head_dim % kGroup == 0 && strides * static_cast<std::int64_t>(sizeof(T)) % kAlignment == 0;

  const int team = thread / a.lanes, lane = thread % a.lanes;  // a warp is of one team
  RowPlaces& places = places_of_warps[warp_index()];
  const int batches = static_cast<int>(ceil_div(window, kBatch));
  for (int first_index = 0; first_index < a.padded_values; first_index += a.lanes * kGroup) {
    const int index = first_index + lane * kGroup;
    double totals[kGroup] = {};
    for (int unit = team; unit < layers * batches; unit += a.teams) {
      const int first = unit % batches * kBatch, count = window - first < kBatch ? window - first : kBatch;
      __syncwarp();
      if (lane_index() < kBatch) {
        const std::int64_t position = item.begin + first + (lane_index() < count ? lane_index() : 0);
        places.positions[lane_index()] = item.blocks[position / a.pages.page_tokens] * a.pages.block_stride +
                                         position % a.pages.page_tokens * a.pages.token_stride;
      } else if (lane_index() == kBatch) {
        const int layer = a.table.layers == nullptr ? unit / batches : a.table.layers[unit / batches];
        places.bases[0] = a.pages.k_base[layer];
        places.bases[1] = a.pages.v_base[layer];
      }
      __syncwarp();
      if (index >= a.padded_values) continue;
      float batch[kGroup] = {};
      const ValuePlace place = place_of(a, index);
      const T* const base = reinterpret_cast<const T*>(places.bases[place.part]);
      if (group_strides && reinterpret_cast<std::uintptr_t>(base) % kAlignment == 0) {
        add_batch<T>(base + place.offset, places.positions, count, batch);
      } else {
#pragma unroll
        for (int j = 0; j < kGroup; ++j) {
          if (index + j >= a.values) break;
          const ValuePlace one = place_of(a, index + j);
          const T* const from = reinterpret_cast<const T*>(places.bases[one.part]) + one.offset;
          for (int i = 0; i < count; ++i) batch[j] += widened(from[places.positions[i]]);
        }
      }
#pragma unroll
      for (int j = 0; j < kGroup; ++j) totals[j] += static_cast<double>(batch[j]);
    }
    if (index < a.padded_values) {
#pragma unroll
      for (int j = 0; j < kGroup; ++j) sums[static_cast<std::int64_t>(team) * a.padded_values + index + j] = totals[j];
    }
  }
  __syncthreads();

  const int head_dim = a.pages.head_dim, summed_heads = a.mean_over_heads ? a.pages.kv_heads : 1;
  const double share =
      1 / (static_cast<double>(a.mean_over_layers ? layers : 1) * (a.mean_over_positions ? window : 1) * summed_heads);
  for (int c = thread; c < a.features; c += threads) {
    double sum = 0;
    for (int head = 0; head < summed_heads; ++head) {
      const int index = (c / head_dim * summed_heads + head) * head_dim + c % head_dim;
      for (int t = 0; t < a.teams; ++t) sum += sums[static_cast<std::int64_t>(t) * a.padded_values + index];
    }
    const auto feature = static_cast<float>(sum * share);
    if (a.out_features != nullptr) a.out_features[blockIdx.x * a.features_stride + c] = feature;
    x[c] = a.head.mean == nullptr ? feature : (feature - a.head.mean[c]) / a.head.deviation[c];
  }
  if (a.head.w1 == nullptr) return;  // the whole block leaves
  __syncthreads();

  const bool aligned = a.features % 4 == 0 && reinterpret_cast<std::uintptr_t>(a.head.w1) % kAlignment == 0;
  for (int h = warp_index(); h < a.head.hidden; h += threads / kWarpSize) {
    const float product = warp_dot(a.head.w1 + static_cast<std::int64_t>(h) * a.features, x, a.features, aligned);
    if (lane_index() == 0) {
      const float sum = product + a.head.b1[h];
      hidden[h] = sum < 0 ? 0 : sum;  // written so that NaN stays
    }
  }
  __syncthreads();
  double sum = 0;
  for (int h = thread; h < a.head.hidden; h += threads)
    sum += static_cast<double>(a.head.w2[h]) * static_cast<double>(hidden[h]);
  sum = block_sum(sum, scratch);
  if (thread == 0) a.out[blockIdx.x] = static_cast<float>(sum + static_cast<double>(*a.head.b2));
}

void launch_kv_pool(const KvPoolArgs& args, const PoolTable& table, float* out, StreamHandle stream) {
  if (table.count == 0) return;
  KVGAUGE_CHECK(table.layer_count > 0, "a window of ", table.layer_count, " layers");
  KvPoolKernelArgs a;
  a.pages = args.pages;
  a.table = table;
  a.part = args.spec.part;
  a.mean_over_positions = args.spec.mean_over_positions;
  a.mean_over_heads = args.spec.mean_over_heads;
  a.mean_over_layers = args.spec.mean_over_layers;
  a.values = (a.part == GaugePart::kKV ? 2 : 1) * args.pages.kv_heads * args.pages.head_dim;
  a.padded_values = static_cast<int>(ceil_div(a.values, kGroup)) * kGroup;
  a.features = static_cast<int>(pool_features(args.spec, args.pages));
  a.lanes = std::min(kThreads, static_cast<int>(ceil_div(a.padded_values / kGroup, kWarpSize)) * kWarpSize);
  a.teams = kThreads / a.lanes;
  a.out_features = static_cast<float*>(args.features.data);
  a.features_stride = args.features.stride;
  a.head = args.head;
  a.out = out;
  const std::size_t bytes = static_cast<std::size_t>(a.teams * a.padded_values) * sizeof(double) +
                            static_cast<std::size_t>(a.features + args.head.hidden) * sizeof(float);
  if (bytes > kMostShared)
    throw DeviceError(cat("kv_pool: ", a.features, " features and ", args.head.hidden, " hidden units need ", bytes,
                          " bytes of a block's shared memory, it has ", kMostShared, "; run with --device cpu"));
  LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(table.count));
  shape.block = dim3(static_cast<unsigned>(a.lanes * a.teams));
  shape.shared_bytes = static_cast<unsigned>(bytes);
  switch (args.pages.dtype) {
    case DType::kF32: launch(stream, shape, kv_pool_kernel<float>, a); break;
    case DType::kF16: launch(stream, shape, kv_pool_kernel<half_t>, a); break;
    case DType::kBF16: launch(stream, shape, kv_pool_kernel<bf16_t>, a); break;
  }
}

}  // namespace kvgauge::cuda
