// Attention in f32 throughout: for f32 pages, and for bf16 pages that the tensor-core kernel does not take (other
// head_dims, pages that are not whole tiles, rows that are not aligned). For each packed row (attention.cuh) with q' =
// q * scale / ln 2, everything in f32:
//   s_t = q' . k_t (one chain over head_dim),   p_t = 2^(s_t - maximum),   sum += p_t,   weighted += p_t v_t (one chain
//   over t)
//
// A block of four warps shares tiles of kTileTokens = 32 positions, converted to f32 in shared memory, and has 16
// packed rows; row i is warp i % 4's. For the scores lane l takes the l-th key of the tile, for the values the columns
// l, l + 32, ... of head_dim. Decode: the q heads of one kv head are the rows of one block.
//
// Bytes: decode reads every key and value of a sequence once, 2 * size * head_dim * kv_heads a token; prefill once for
// each 16 packed rows.
#include "cuda/attention.cuh"

namespace kvgauge::cuda {

inline constexpr int kF32Warps = 4, kF32RowsOfWarp = 4;
inline constexpr int kF32Rows = kF32Warps * kF32RowsOfWarp;
inline constexpr int kF32Threads = kF32Warps * kWarpSize;

/// Of a row of keys or queries in shared memory: an odd number of 16-byte units, so that eight lanes' rows lie in
/// different banks.
KVGAUGE_HOST_DEVICE constexpr int f32_stride(int head_dim) {
  return (head_dim + 3) / 4 % 2 == 1 ? (head_dim + 3) / 4 * 4 : (head_dim + 3) / 4 * 4 + 4;
}

struct F32Shared {
  float* queries;  ///< [kF32Rows][stride], scaled; zeros behind head_dim and behind the last row
  float* keys;     ///< [kTileTokens][stride], zeros behind head_dim
  float* values;   ///< [kTileTokens][head_dim]
};

template <class T, int Count>
__device__ __forceinline__ Pack<float, 4> four_floats(const Pack<T, Count>& pack, int first) {
  return {to_float(pack.values[first]), to_float(pack.values[first + 1]), to_float(pack.values[first + 2]),
          to_float(pack.values[first + 3])};
}

/// Copies the positions of a tile that the block sees, and zeros for the others.
template <class T>
__device__ __forceinline__ void load_f32_tile(const AttentionArgs& a, const QueryTile& queries, int tile,
                                              const F32Shared& to) {
  const int head_dim = a.pages.head_dim, stride = f32_stride(head_dim);
  const int count = a.rows_are_aligned ? kPackCount<T> : 1;
  const int chunks = head_dim / count;
  for (int i = static_cast<int>(threadIdx.x); i < kTileTokens * chunks; i += kF32Threads) {
    const int token = i / chunks, column = i % chunks * count, position = tile * kTileTokens + token;
    float* const key = to.keys + token * stride + column;
    float* const value = to.values + token * head_dim + column;
    if (position >= queries.tokens) {
      for (int j = 0; j < count; ++j) key[j] = value[j] = 0;
      continue;
    }
    const std::int32_t page = queries.slice->blocks[position / a.pages.page_tokens];
    const int slot = position % a.pages.page_tokens;
    const T* const k = reinterpret_cast<const T*>(a.pages.k(a.layer, page, queries.kv_head, slot)) + column;
    const T* const v = reinterpret_cast<const T*>(a.pages.v(a.layer, page, queries.kv_head, slot)) + column;
    if (a.rows_are_aligned) {
      const auto keys = load_pack<T>(k), values = load_pack<T>(v);
#pragma unroll
      for (int j = 0; j < kPackCount<T>; j += 4) {
        store_pack(key + j, four_floats(keys, j));
        store_pack(value + j, four_floats(values, j));
      }
    } else {
      *key = to_float(*k);
      *value = to_float(*v);
    }
  }
}

__device__ __forceinline__ void load_f32_queries(const AttentionArgs& a, const QueryTile& queries,
                                                 const F32Shared& to) {
  const int head_dim = a.pages.head_dim, stride = f32_stride(head_dim);
  for (int i = static_cast<int>(threadIdx.x); i < kF32Rows * stride; i += kF32Threads) {
    const int row = i / stride, column = i % stride;
    to.queries[i] = row < queries.count && column < head_dim
                        ? a.q[offset_of(a, queries, row, a.q_stride) + column] * a.q_factor
                        : 0;
  }
  for (int i = static_cast<int>(threadIdx.x); i < kTileTokens * (stride - head_dim); i += kF32Threads)
    to.keys[i / (stride - head_dim) * stride + head_dim + i % (stride - head_dim)] = 0;
}

/// The state of a row over a split: the softmax state in every lane, of the weighted values the lane's columns.
template <int Columns>
struct F32State {
  SoftmaxState softmax;
  float weighted[Columns];

  __device__ __forceinline__ void clear() {
    softmax = {};
#pragma unroll
    for (int j = 0; j < Columns; ++j) weighted[j] = 0;
  }
};

/// The warp's first Rows rows absorb a tile. seen[i]: tokens that row i sees.
template <int Rows, int Columns>
__device__ __forceinline__ void absorb_f32_tile(int head_dim, int tile, const int (&seen)[kF32RowsOfWarp],
                                                const F32Shared& from, F32State<Columns> (&states)[kF32RowsOfWarp]) {
  const int stride = f32_stride(head_dim), lane = lane_index(), first = tile * kTileTokens;
  float weights[Rows] = {};
  const float* const key = from.keys + lane * stride;
  const float* const query = from.queries + warp_index() * stride;
#pragma unroll 2
  for (int j = 0; j < head_dim; j += 4) {
    const auto k = load_pack<float>(key + j);
#pragma unroll
    for (int i = 0; i < Rows; ++i) {
      const auto q = load_pack<float>(query + i * kF32Warps * stride + j);
#pragma unroll
      for (int e = 0; e < 4; ++e) weights[i] = fmaf(q.values[e], k.values[e], weights[i]);
    }
  }
#pragma unroll
  for (int i = 0; i < Rows; ++i) {
    SoftmaxState& softmax = states[i].softmax;
    const float score = first + lane < seen[i] ? weights[i] : kMinusInfinity;
    const float maximum = fmaxf(softmax.maximum, warp_max(score)), base = exponent_base(maximum);
    const float shrink = exp2_approx(softmax.maximum - base);
    weights[i] = exp2_approx(score - base);
    softmax = {maximum, fmaf(softmax.sum, shrink, warp_sum(weights[i]))};
#pragma unroll
    for (int j = 0; j < Columns; ++j) states[i].weighted[j] *= shrink;
  }
#pragma unroll 4
  for (int t = 0; t < kTileTokens; ++t) {
    float value[Columns];
#pragma unroll
    for (int j = 0; j < Columns; ++j)
      value[j] = lane + kWarpSize * j < head_dim ? from.values[t * head_dim + lane + kWarpSize * j] : 0;
#pragma unroll
    for (int i = 0; i < Rows; ++i) {
      const float weight = __shfl_sync(kAllLanes, weights[i], t);
      if (first + t >= seen[i]) continue;  // a value that the row does not see may be anything
#pragma unroll
      for (int j = 0; j < Columns; ++j) states[i].weighted[j] = fmaf(weight, value[j], states[i].weighted[j]);
    }
  }
}

template <class T, int Columns>
__global__ void __launch_bounds__(kF32Threads, Columns == 8 ? 2 : 4) paged_attention_f32_kernel(AttentionArgs a) {
  const QueryTile queries = query_tile(a, kF32Rows);
  if (queries.count == 0) return;  // the whole block leaves
  const int head_dim = a.pages.head_dim, stride = f32_stride(head_dim), lane = lane_index(), warp = warp_index();
  float* const memory = shared<float>();
  const F32Shared tiles{memory, memory + kF32Rows * stride, memory + (kF32Rows + kTileTokens) * stride};
  load_f32_queries(a, queries, tiles);
  int seen[kF32RowsOfWarp];
#pragma unroll
  for (int i = 0; i < kF32RowsOfWarp; ++i) seen[i] = queries.tokens_of(warp + kF32Warps * i, a.group);
  F32State<Columns> states[kF32RowsOfWarp], running[kF32RowsOfWarp];
#pragma unroll
  for (int i = 0; i < kF32RowsOfWarp; ++i) {
    states[i].clear();
    running[i].clear();
  }

  for (int tile = queries.first_tile(); tile < queries.tiles();) {
    __syncthreads();  // all are done with the last tile
    load_f32_tile<T>(a, queries, tile, tiles);
    __syncthreads();
    if (seen[1] > 0) {
      absorb_f32_tile<kF32RowsOfWarp>(head_dim, tile, seen, tiles, states);
    } else if (seen[0] > 0) {
      absorb_f32_tile<1>(head_dim, tile, seen, tiles, states);
    }
    const int next = queries.tile_after(tile, a.split_lanes), split = tile / kSplitTiles;
    if (next >= queries.tiles() || next / kSplitTiles != split) {
#pragma unroll
      for (int i = 0; i < kF32RowsOfWarp; ++i) {
        if (seen[i] > split * kSplitTokens) {  // what a row does not see leaves it alone
          if (a.splits_apart) {
            const std::int64_t at = state_index(a, queries, warp + kF32Warps * i, split);
#pragma unroll
            for (int j = 0; j < Columns; ++j)
              if (lane + kWarpSize * j < head_dim)
                a.states.weighted[at * head_dim + lane + kWarpSize * j] = states[i].weighted[j];
            if (lane == 0)
              store_pack(a.states.maximum_and_sum + 2 * at,
                         Pack<float, 2>{states[i].softmax.maximum, states[i].softmax.sum});
          } else {
            const MergeWeights w = merge_into(running[i].softmax, states[i].softmax);
#pragma unroll
            for (int j = 0; j < Columns; ++j)
              running[i].weighted[j] = merged(running[i].weighted[j], states[i].weighted[j], w);
          }
        }
        states[i].clear();
      }
    }
    tile = next;
  }
  if (a.splits_apart) return;
#pragma unroll
  for (int i = 0; i < kF32RowsOfWarp; ++i) {
    if (seen[i] == 0) continue;
    const std::int64_t at = offset_of(a, queries, warp + kF32Warps * i, a.out_stride);
    const float scale = 1 / running[i].softmax.sum;
#pragma unroll
    for (int j = 0; j < Columns; ++j)
      if (lane + kWarpSize * j < head_dim) store_out(a, at + lane + kWarpSize * j, running[i].weighted[j] * scale);
  }
}

template <class T, int Columns>
void launch_f32_columns(const AttentionArgs& args, std::int64_t slices, std::int64_t longest_rows,
                        StreamHandle stream) {
  const int head_dim = args.pages.head_dim;
  const LaunchShape shape{
      .grid = dim3(static_cast<unsigned>(ceil_div(longest_rows * args.group, kF32Rows) * args.split_lanes),
                   static_cast<unsigned>(args.pages.kv_heads), static_cast<unsigned>(slices)),
      .block = dim3(kF32Threads),
      .shared_bytes = static_cast<unsigned>(((kF32Rows + kTileTokens) * f32_stride(head_dim) + kTileTokens * head_dim) *
                                            sizeof(float))};
  launch(stream, shape, paged_attention_f32_kernel<T, Columns>, args);
}

template <class T>
void launch_f32_pages(const AttentionArgs& args, std::int64_t slices, std::int64_t longest_rows, StreamHandle stream) {
  const int head_dim = args.pages.head_dim;
  if (head_dim <= 32) return launch_f32_columns<T, 1>(args, slices, longest_rows, stream);
  if (head_dim <= 64) return launch_f32_columns<T, 2>(args, slices, longest_rows, stream);
  if (head_dim <= 128) return launch_f32_columns<T, 4>(args, slices, longest_rows, stream);
  launch_f32_columns<T, 8>(args, slices, longest_rows, stream);
}

void launch_attention_f32(const AttentionArgs& args, std::int64_t slices, std::int64_t longest_rows,
                          StreamHandle stream) {
  if (args.pages.dtype == DType::kF32) return launch_f32_pages<float>(args, slices, longest_rows, stream);
  launch_f32_pages<bf16_t>(args, slices, longest_rows, stream);
}

}  // namespace kvgauge::cuda
