// Attention over bf16 pages by tensor cores (flash attention). For each packed row (attention.cuh) with q' = bf16(q *
// scale / ln 2):
//   s_t = q' . k_t (f32),   p_t = bf16(2^(s_t - maximum)),   weighted += p_t v_t (f32),   sum += p_t (f32)
// The weights in the sum are the rounded ones (it is accumulated as one more column of V, all ones), so they always add
// up to 1 and the rounding of p_t only shifts weight between positions.
//
// A block of four warps shares the K and V tiles of kTileTokens = 32 positions in shared memory, two stages, filled by
// cp.async while the other is worked on. A warp forms the scores of 16 packed rows (m16n8k16: 4 x head_dim / 16
// products), turns them into weights in the registers they are in (the layout of an accumulator is that of an operand)
// and multiplies them with its columns of V:
//   prefill: 4 tiles of 16 rows, each one warp's, all columns (head_dim 256: 2 tiles, two warps for each, half of the
//   columns); decode:  1 tile of 16 rows (the q heads of the kv head); every warp forms the same scores and takes a
//   quarter of the columns, which needs no
//            exchange between warps; the repeated scores are hidden behind the reading of the pages.
// Nothing in the arithmetic of a row depends on the shape of the block. Rows of shared memory are padded by 16 bytes,
// so that the eight rows of a matrix read by ldmatrix lie in different banks.
//
// Bytes: decode reads every key and value of a sequence once, 4 * head_dim * kv_heads a token; prefill once for each
// tile of packed rows.
#include "cuda/attention.cuh"

namespace kvgauge::cuda {

inline constexpr int kMmaRows = 16;

template <int HeadDim, int RowTiles, int Parts>
struct MmaShape {
  static constexpr int kThreads = RowTiles * Parts * kWarpSize;
  static constexpr int kRows = RowTiles * kMmaRows;
  static constexpr int kDepth = HeadDim / 16;           ///< products along head_dim
  static constexpr int kColumns = HeadDim / Parts / 8;  ///< tiles of 8 columns of V, of one warp
  static constexpr int kStride = HeadDim + 8;           ///< of a row in shared memory
  static constexpr int kTile = kTileTokens * kStride;   ///< elements
  static constexpr int kChunks = HeadDim / 8;           ///< of 16 bytes, of a row
  static constexpr unsigned kStageBytes = 2 * kTile * sizeof(bf16_t);
  static constexpr unsigned kRunningBytes = kColumns * 4 * kThreads * sizeof(float);
  static constexpr bool kMaySplit = RowTiles == 1;  ///< all launches of splits_apart have this shape
  /// Of a multiprocessor, as registers allow.
  static constexpr int kBlocks = HeadDim <= 32 || (Parts == 4 && HeadDim <= 128) ? 4 : HeadDim <= 64 ? 3 : 2;
};

/// Starts copying a tile of K and V. Positions from `tokens` on become zeros and are not read.
template <class Shape>
__device__ __forceinline__ void start_tile(const AttentionArgs& a, const QueryTile& queries, int tile,
                                           std::int32_t page, bf16_t* stage) {
  const int position = tile * kTileTokens;
  const int slot = position % a.pages.page_tokens;
  const auto* k = reinterpret_cast<const bf16_t*>(a.pages.k(a.layer, page, queries.kv_head, slot));
  const auto* v = reinterpret_cast<const bf16_t*>(a.pages.v(a.layer, page, queries.kv_head, slot));
#pragma unroll 1  // the addresses of all copies at once would take the registers of the products
  for (int i = static_cast<int>(threadIdx.x); i < kTileTokens * Shape::kChunks; i += Shape::kThreads) {
    const int token = i / Shape::kChunks, column = i % Shape::kChunks * 8;
    const std::int64_t from = token * a.pages.token_stride + column;
    const bool valid = position + token < queries.tokens;
    bf16_t* const to = stage + token * Shape::kStride + column;
    cp_async_16(to, valid ? k + from : k, valid);
    cp_async_16(to + Shape::kTile, valid ? v + from : v, valid);
  }
}

/// For a tile in which some rows of the block see less than others: the product with a value that a row does not see is
/// 0 * v, which must not be NaN. Tokens with a value that is not finite get zeros instead and a bit in `unusable`; rows
/// that see them get NaN for their score.
template <class Shape>
__device__ __forceinline__ void drop_unusable_values(bf16_t* values, unsigned* unusable) {
  for (int i = static_cast<int>(threadIdx.x); i < kTileTokens * Shape::kChunks; i += Shape::kThreads) {
    const int token = i / Shape::kChunks;
    bf16_t* const chunk = values + token * Shape::kStride + i % Shape::kChunks * 8;
    const auto pack = load_pack<bf16_t>(chunk);
    bool finite = true;
#pragma unroll
    for (int j = 0; j < 8; ++j) finite = finite && (pack.values[j].bits & 0x7f80u) != 0x7f80u;
    if (!finite) {
      store_pack(chunk, Pack<bf16_t, 8>{});
      atomicOr(unusable, 1u << token);
    }
  }
}

/// The state of a warp's 16 packed rows over a split. In an accumulator a lane holds rows lane / 4 and lane / 4 + 8.
template <class Shape>
struct MmaState {
  float weighted[Shape::kColumns][4];
  float sum[4];  ///< every column of the product with ones is the sum
  float maximum[2];

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int j = 0; j < Shape::kColumns; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) weighted[j][e] = 0;
#pragma unroll
    for (int e = 0; e < 4; ++e) sum[e] = 0;
    maximum[0] = maximum[1] = kMinusInfinity;
  }
};

template <class Shape>
__device__ __forceinline__ void load_queries(const AttentionArgs& a, const QueryTile& queries, int first,
                                             std::uint32_t (&q)[Shape::kDepth][4]) {
  const int column = lane_index() % 4 * 2;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int row = first + lane_index() / 4 + 8 * r;
    const bool valid = row < queries.count;
    const float* const from = a.q + (valid ? offset_of(a, queries, row, a.q_stride) : 0) + column;
#pragma unroll
    for (int k = 0; k < Shape::kDepth; ++k)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        q[k][2 * half + r] =
            valid ? pack_bf16x2(from[16 * k + 8 * half] * a.q_factor, from[16 * k + 8 * half + 1] * a.q_factor) : 0;
  }
}

/// scores[n]: of keys 8 n .. 8 n + 7.
template <class Shape>
__device__ __forceinline__ void score_tile(const std::uint32_t (&q)[Shape::kDepth][4], const bf16_t* keys,
                                           float (&scores)[4][4]) {
  const int lane = lane_index();
  const bf16_t* const from = keys + (lane / 16 * 8 + lane % 8) * Shape::kStride + lane / 8 % 2 * 8;
#pragma unroll
  for (int n = 0; n < 4; ++n)
#pragma unroll
    for (int e = 0; e < 4; ++e) scores[n][e] = 0;
#pragma unroll
  for (int k = 0; k < Shape::kDepth; ++k) {
#pragma unroll
    for (int n = 0; n < 4; n += 2) {
      std::uint32_t b[4];
      ldmatrix_x4(b, from + 8 * n * Shape::kStride + 16 * k);
      mma_m16n8k16_bf16(scores[n], q[k], {b[0], b[1]});
      mma_m16n8k16_bf16(scores[n + 1], q[k], {b[2], b[3]});
    }
  }
}

/// The positions that a row does not see get -infinity, tokens whose value was dropped NaN. seen[r]: tokens of row lane
/// / 4 + 8 r.
__device__ __forceinline__ void mask_tile(int tile, const int (&seen)[2], unsigned unusable, float (&scores)[4][4]) {
#pragma unroll
  for (int n = 0; n < 4; ++n)
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int token = 8 * n + lane_index() % 4 * 2 + e % 2;
      if ((unusable >> token & 1u) != 0) scores[n][e] = std::numeric_limits<float>::quiet_NaN();
      if (tile * kTileTokens + token >= seen[e / 2]) scores[n][e] = kMinusInfinity;
    }
}

/// Absorbs a tile's scores and the warp's columns of its values.
template <class Shape>
__device__ __forceinline__ void absorb_tile(float (&scores)[4][4], const bf16_t* values, MmaState<Shape>& state) {
  float shrink[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float maximum = state.maximum[r];
#pragma unroll
    for (int n = 0; n < 4; ++n) maximum = fmaxf(maximum, fmaxf(scores[n][2 * r], scores[n][2 * r + 1]));
    maximum = fmaxf(maximum, __shfl_xor_sync(kAllLanes, maximum, 1));
    maximum = fmaxf(maximum, __shfl_xor_sync(kAllLanes, maximum, 2));
    const float base = exponent_base(maximum);
    shrink[r] = exp2_approx(state.maximum[r] - base);
    state.maximum[r] = maximum;
#pragma unroll
    for (int n = 0; n < 4; ++n)
#pragma unroll
      for (int e = 2 * r; e < 2 * r + 2; ++e) scores[n][e] = exp2_approx(scores[n][e] - base);
  }
  std::uint32_t weights[2][4];
#pragma unroll
  for (int k = 0; k < 2; ++k)
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int r = 0; r < 2; ++r)
        weights[k][2 * half + r] = pack_bf16x2(scores[2 * k + half][2 * r], scores[2 * k + half][2 * r + 1]);

  constexpr std::uint32_t kOnes = 0x3f803f80u;
#pragma unroll
  for (int e = 0; e < 4; ++e) state.sum[e] *= shrink[e / 2];
#pragma unroll
  for (int k = 0; k < 2; ++k) mma_m16n8k16_bf16(state.sum, weights[k], {kOnes, kOnes});
#pragma unroll
  for (int j = 0; j < Shape::kColumns; ++j) {
    std::uint32_t b[4];
    ldmatrix_x4_transposed(b, values + lane_index() * Shape::kStride + 8 * j);
#pragma unroll
    for (int e = 0; e < 4; ++e) state.weighted[j][e] *= shrink[e / 2];
    mma_m16n8k16_bf16(state.weighted[j], weights[0], {b[0], b[1]});
    mma_m16n8k16_bf16(state.weighted[j], weights[1], {b[2], b[3]});
  }
}

/// Leaves the states of a split for the merge kernel.
template <class Shape>
__device__ __forceinline__ void store_states(const AttentionArgs& a, const QueryTile& queries, int first,
                                             int first_column, int split, const MmaState<Shape>& state) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int row = first + lane_index() / 4 + 8 * r;
    if (row >= queries.count) continue;
    const std::int64_t at = state_index(a, queries, row, split);
    float* const weighted = a.states.weighted + at * a.pages.head_dim + first_column + lane_index() % 4 * 2;
#pragma unroll
    for (int j = 0; j < Shape::kColumns; ++j)
      store_pack(weighted + 8 * j, Pack<float, 2>{state.weighted[j][2 * r], state.weighted[j][2 * r + 1]});
    if (first_column == 0 && lane_index() % 4 == 0)
      store_pack(a.states.maximum_and_sum + 2 * at, Pack<float, 2>{state.maximum[r], state.sum[2 * r]});
  }
}

/// Merges a split into what came before; `weighted` is this thread's part of it, in shared memory, at a stride of the
/// block's threads.
template <class Shape>
__device__ __forceinline__ void merge_split(const int (&seen)[2], int split, const MmaState<Shape>& state,
                                            SoftmaxState (&running)[2], float* weighted) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    if (seen[r] <= split * kSplitTokens) continue;  // what a row does not see leaves it alone
    const MergeWeights w = merge_into(running[r], {state.maximum[r], state.sum[2 * r]});
#pragma unroll
    for (int j = 0; j < Shape::kColumns; ++j)
#pragma unroll
      for (int e = 2 * r; e < 2 * r + 2; ++e) {
        float& x = weighted[(4 * j + e) * Shape::kThreads];
        x = merged(x, state.weighted[j][e], w);
      }
  }
}

template <class Shape>
__device__ __forceinline__ void write_rows(const AttentionArgs& a, const QueryTile& queries, int first,
                                           int first_column, const SoftmaxState (&running)[2], const float* weighted) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int row = first + lane_index() / 4 + 8 * r;
    if (row >= queries.count) continue;
    const std::int64_t at = offset_of(a, queries, row, a.out_stride) + first_column + lane_index() % 4 * 2;
    const float scale = 1 / running[r].sum;
#pragma unroll
    for (int j = 0; j < Shape::kColumns; ++j)
#pragma unroll
      for (int e = 0; e < 2; ++e) store_out(a, at + 8 * j + e, weighted[(4 * j + 2 * r + e) * Shape::kThreads] * scale);
  }
}

template <int HeadDim, int RowTiles, int Parts>
__global__ void __launch_bounds__(MmaShape<HeadDim, RowTiles, Parts>::kThreads,
                                  MmaShape<HeadDim, RowTiles, Parts>::kBlocks)
    paged_attention_mma_kernel(AttentionArgs a) {
  using Shape = MmaShape<HeadDim, RowTiles, Parts>;
  __shared__ unsigned unusable[2];
  const QueryTile queries = query_tile(a, Shape::kRows);
  if (queries.count == 0) return;  // the whole block leaves
  const bool apart = Shape::kMaySplit && a.splits_apart;
  bf16_t* const stages = shared<bf16_t>();
  float* const running_weighted = reinterpret_cast<float*>(stages + 4 * Shape::kTile) + threadIdx.x;  // of a walk only
  const int first = warp_index() / Parts * kMmaRows, first_column = warp_index() % Parts * Shape::kColumns * 8;
  const bool warp_has_rows = first < queries.count;
  const int warp_tokens = warp_has_rows ? queries.tokens_of(min(first + kMmaRows, queries.count) - 1, a.group) : 0;
  const int warp_least_tokens = queries.tokens_of(first, a.group);
  const int seen[2] = {queries.tokens_of(first + lane_index() / 4, a.group),
                       queries.tokens_of(first + lane_index() / 4 + 8, a.group)};
  const int tiles = queries.tiles();
  const auto page_of = [&](int tile) {
    return tile < tiles ? queries.slice->blocks[tile * kTileTokens / a.pages.page_tokens] : 0;
  };

  int tile = queries.first_tile(), next = queries.tile_after(tile, a.split_lanes), stage = 0;
  start_tile<Shape>(a, queries, tile, page_of(tile), stages);
  cp_async_commit();
  std::int32_t next_page = page_of(next);
  if (threadIdx.x == 0) unusable[0] = 0;
  std::uint32_t q[Shape::kDepth][4];
  load_queries<Shape>(a, queries, first, q);
  if (!apart)
    for (int i = 0; i < 4 * Shape::kColumns; ++i) running_weighted[i * Shape::kThreads] = 0;
  SoftmaxState running[2];
  MmaState<Shape> state;
  state.clear();

  while (tile < tiles) {
    cp_async_wait<0>();
    __syncthreads();  // this stage has landed for all, and all are done with the other
    if (threadIdx.x == 0) unusable[stage ^ 1] = 0;
    if (next < tiles) start_tile<Shape>(a, queries, next, next_page, stages + (stage ^ 1) * 2 * Shape::kTile);
    cp_async_commit();
    const int after_next = queries.tile_after(next, a.split_lanes);
    next_page = page_of(after_next);  // read a tile ahead, so that nobody waits for it

    bf16_t* const keys = stages + stage * 2 * Shape::kTile;
    bf16_t* const values = keys + Shape::kTile;
    const int end = (tile + 1) * kTileTokens;
    if (min(end, queries.tokens) > queries.tokens_of(0, a.group)) {
      drop_unusable_values<Shape>(values, &unusable[stage]);
      __syncthreads();
    }
    if (tile * kTileTokens < warp_tokens) {
      float scores[4][4];
      score_tile<Shape>(q, keys, scores);
      if (end > warp_least_tokens) mask_tile(tile, seen, unusable[stage], scores);
      absorb_tile<Shape>(scores, values + first_column, state);
    }
    if (next >= tiles || next / kSplitTiles != tile / kSplitTiles) {
      const int split = tile / kSplitTiles;
      if (warp_has_rows && apart) store_states<Shape>(a, queries, first, first_column, split, state);
      if (warp_has_rows && !apart) merge_split<Shape>(seen, split, state, running, running_weighted);
      state.clear();
    }
    tile = next;
    next = after_next;
    stage ^= 1;
  }
  if (warp_has_rows && !apart) write_rows<Shape>(a, queries, first, first_column, running, running_weighted);
}

template <int HeadDim, int RowTiles, int Parts>
void launch_mma_shape(const AttentionArgs& args, std::int64_t slices, std::int64_t longest_rows, StreamHandle stream) {
  using Shape = MmaShape<HeadDim, RowTiles, Parts>;
  static_assert(2 * Shape::kStageBytes + Shape::kRunningBytes + 64 <= 99 << 10);
  const LaunchShape shape{
      .grid = dim3(static_cast<unsigned>(ceil_div(longest_rows * args.group, Shape::kRows) * args.split_lanes),
                   static_cast<unsigned>(args.pages.kv_heads), static_cast<unsigned>(slices)),
      .block = dim3(Shape::kThreads),
      .shared_bytes = 2 * Shape::kStageBytes + (args.splits_apart ? 0 : Shape::kRunningBytes)};
  launch(stream, shape, paged_attention_mma_kernel<HeadDim, RowTiles, Parts>, args);
}

template <int HeadDim>
void launch_mma_head_dim(const AttentionArgs& args, std::int64_t slices, std::int64_t longest_rows,
                         StreamHandle stream) {
  if (args.splits_apart || longest_rows * args.group <= kMmaRows) {
    launch_mma_shape<HeadDim, 1, 4>(args, slices, longest_rows, stream);
  } else if constexpr (HeadDim <= 128) {
    launch_mma_shape<HeadDim, 4, 1>(args, slices, longest_rows, stream);
  } else {  // a warp has no registers for 256 columns
    launch_mma_shape<HeadDim, 2, 2>(args, slices, longest_rows, stream);
  }
}

void launch_attention_mma(const AttentionArgs& args, std::int64_t slices, std::int64_t longest_rows,
                          StreamHandle stream) {
  switch (args.pages.head_dim) {
    case 32: return launch_mma_head_dim<32>(args, slices, longest_rows, stream);
    case 64: return launch_mma_head_dim<64>(args, slices, longest_rows, stream);
    case 96: return launch_mma_head_dim<96>(args, slices, longest_rows, stream);
    case 128: return launch_mma_head_dim<128>(args, slices, longest_rows, stream);
    default: return launch_mma_head_dim<256>(args, slices, longest_rows, stream);
  }
}

}  // namespace kvgauge::cuda
