#pragma once
// What the attention kernels share: the argument, which queries a block works on, and the arithmetic of softmax states.
// Included by the kernels of paged_attention only.
//
// Packed rows: the new tokens of a slice times the q heads of one kv head; packed row p is token p / group, head
// kv_head * group + p % group. A tile of packed rows shares every key and value it reads.
//
// A softmax state of a packed row over some positions t, scores s_t in units of ln 2:
//   maximum = max s_t,   sum = sum 2^(s_t - maximum),   weighted = sum 2^(s_t - maximum) v_t
// It is formed for each split, [split * kSplitTokens, (split + 1) * kSplitTokens), on its own, tile by tile of
// kTileTokens, and the states of the splits are merged in ascending order, beginning with the empty state. Both
// positions are fixed and all of the arithmetic is spelled (a sum of products that the compiler could contract in one
// kernel and not in the other has an fmaf), so that a row has the same bits from whatever kernel, chunk, tile and
// batch.
#include <limits>

#include "cuda/device.cuh"
#include "cuda/step_tables.h"
#include "kv/paged_view.h"

namespace kvgauge::cuda {

inline constexpr int kTileTokens = 32;
inline constexpr int kSplitTokens = 256;
inline constexpr int kSplitTiles = kSplitTokens / kTileTokens;
inline constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

/// Where states wait for their merge, in device memory.
struct AttentionStates {
  float* weighted = nullptr;         ///< [slices, heads, splits, head_dim]
  float* maximum_and_sum = nullptr;  ///< [slices, heads, splits, 2]
  int splits = 0;                    ///< room for each (slice, head)
};

struct AttentionArgs {
  const float* q = nullptr;
  std::int64_t q_stride = 0;
  void* out = nullptr;
  std::int64_t out_stride = 0;
  bool out_is_bf16 = false;
  int heads = 0, group = 0, layer = 0;
  float q_factor = 0;  ///< scale / ln 2
  PagedKvView pages;
  bool rows_are_aligned = false;  ///< rows of K and V begin at multiples of 16 bytes and are whole multiples
  const DeviceSlice* slices = nullptr;
  /// true: slices of one row, each split by one of `split_lanes` blocks, which leaves its state in `states`.
  /// false: every block walks over the splits of its rows and writes their outputs.
  bool splits_apart = false;
  bool skips_single_rows = false;  ///< slices of one row are another launch's
  int split_lanes = 1;
  AttentionStates states;
};

/// The packed rows of a block and the tiles that it visits: all of the splits split_lane, split_lane + split_lanes, ...
/// . Positions are ints: a context is shorter than 2^31 tokens.
struct QueryTile {
  const DeviceSlice* slice =
      nullptr;  // not a copy: what is needed at the end only should not take registers until then
  int kv_head = 0, first = 0, count = 0;  ///< packed rows [first, first + count); count 0: nothing to do
  int tokens = 0;                         ///< that the last of them sees
  int first_position = 0;                 ///< of the slice
  int split_lane = 0;

  __device__ int tiles() const { return (tokens + kTileTokens - 1) / kTileTokens; }
  __device__ int first_tile() const { return split_lane * kSplitTiles; }
  __device__ int tile_after(int tile, int split_lanes) const {
    return (tile + 1) % kSplitTiles != 0 ? tile + 1 : tile + 1 + (split_lanes - 1) * kSplitTiles;
  }
  /// Tokens that packed row first + i sees; 0 behind the last row.
  __device__ int tokens_of(int i, int group) const { return i < count ? first_position + (first + i) / group + 1 : 0; }
};

/// Of the launch grid (query tiles * split lanes, kv heads, slices). Later rows see more, so their tiles come first.
__device__ __forceinline__ QueryTile query_tile(const AttentionArgs& a, int rows_of_a_tile) {
  QueryTile t;
  t.slice = a.slices + blockIdx.z;
  t.kv_head = static_cast<int>(blockIdx.y);
  t.split_lane = static_cast<int>(blockIdx.x) % a.split_lanes;
  t.first =
      (static_cast<int>(gridDim.x) / a.split_lanes - 1 - static_cast<int>(blockIdx.x) / a.split_lanes) * rows_of_a_tile;
  const bool mine = a.splits_apart ? t.slice->rows == 1 : !(a.skips_single_rows && t.slice->rows == 1);
  const int rows = mine ? static_cast<int>(t.slice->rows) * a.group : 0;
  t.count = min(rows_of_a_tile, rows - t.first);
  if (t.count <= 0) {
    t.count = 0;
    return t;
  }
  t.first_position = static_cast<int>(t.slice->first_position);
  t.tokens = t.tokens_of(t.count - 1, a.group);
  if (t.first_tile() >= t.tiles()) t.count = 0;
  return t;
}

__device__ __forceinline__ int head_of(const AttentionArgs& a, const QueryTile& t, int i) {
  return t.kv_head * a.group + (t.first + i) % a.group;
}
/// Element offset of packed row first + i in a matrix of [rows, heads * head_dim].
__device__ __forceinline__ std::int64_t offset_of(const AttentionArgs& a, const QueryTile& t, int i,
                                                  std::int64_t stride) {
  return (t.slice->first_row + (t.first + i) / a.group) * stride + std::int64_t{head_of(a, t, i)} * a.pages.head_dim;
}
/// Of the state of packed row first + i (a slice of one row) and a split, in states of the launch.
__device__ __forceinline__ std::int64_t state_index(const AttentionArgs& a, const QueryTile& t, int i, int split) {
  return (std::int64_t{blockIdx.z} * a.heads + head_of(a, t, i)) * a.states.splits + split;
}
__device__ __forceinline__ void store_out(const AttentionArgs& a, std::int64_t offset, float x) {
  if (a.out_is_bf16) {
    static_cast<bf16_t*>(a.out)[offset] = to_bf16(x);
  } else {
    static_cast<float*>(a.out)[offset] = x;
  }
}

/// What exponents are taken relative to: a finite number even if nothing was seen, so that 2^(-infinity - it) is 0.
__device__ __forceinline__ float exponent_base(float maximum) { return maximum == kMinusInfinity ? 0.f : maximum; }

struct SoftmaxState {
  float maximum = kMinusInfinity, sum = 0;
};
/// The weights of two states in their merge.
struct MergeWeights {
  float earlier, later;
};
__device__ __forceinline__ float merged(float earlier, float later, const MergeWeights& w) {
  return fmaf(earlier, w.earlier, later * w.later);
}
/// `state` absorbs the state of a later split. @return the weights for merged() of its weighted values
__device__ __forceinline__ MergeWeights merge_into(SoftmaxState& state, const SoftmaxState& later) {
  const float maximum = fmaxf(state.maximum, later.maximum), base = exponent_base(maximum);
  const MergeWeights weights{exp2_approx(state.maximum - base), exp2_approx(later.maximum - base)};
  state = {maximum, merged(state.sum, later.sum, weights)};
  return weights;
}

/// The launchers of the two families; slices and rows of the longest are bounds.
void launch_attention_mma(const AttentionArgs& args, std::int64_t slices, std::int64_t longest_rows,
                          StreamHandle stream);
void launch_attention_f32(const AttentionArgs& args, std::int64_t slices, std::int64_t longest_rows,
                          StreamHandle stream);

}  // namespace kvgauge::cuda
