// One split of attention: scores, softmax numerators and weighted values of a block of query vectors.
//   score[q, t] = scale * sum_j q[j] k[t, j]        one chain over j, lanes over t: keys are transposed into a tile
//   first weighted[q, j] = sum_t exp(score - maximum) v[t, j]   one chain over t, lanes over j
// Each chain is the same however queries are dealt to register tiles, so a row has the same bits in prefill and in
// decode. A tile of kTileTokens keys or values is converted to f32 once for all queries of the block.
#include "cpu/kernels/table.h"

namespace kvgauge::cpu::KVGAUGE_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kTileVectors = 4;
#else
constexpr int kTileVectors = 2;
#endif
constexpr int kTileRows = 6;

KVGAUGE_INLINE Floats interleave_low(Floats a, Floats b) {
#if defined(__AVX512F__)
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
#elif defined(__AVX2__)
  return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
#else
  return __builtin_shufflevector(a, b, 0, 4, 1, 5);
#endif
}
KVGAUGE_INLINE Floats interleave_high(Floats a, Floats b) {
#if defined(__AVX512F__)
  return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#elif defined(__AVX2__)
  return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
#else
  return __builtin_shufflevector(a, b, 2, 6, 3, 7);
#endif
}

/// kLanes x kLanes in registers: log2(kLanes) perfect shuffles of the concatenated rows
KVGAUGE_INLINE void transpose(Floats (&rows)[kLanes]) {
  for (int stage = 1; stage < kLanes; stage *= 2) {
    Floats next[kLanes];
    for (int i = 0; i < kLanes / 2; ++i) {
      next[2 * i] = interleave_low(rows[i], rows[i + kLanes / 2]);
      next[2 * i + 1] = interleave_high(rows[i], rows[i + kLanes / 2]);
    }
    for (int i = 0; i < kLanes; ++i) rows[i] = next[i];
  }
}

/// Rows that will be read soon. A page holds a few KiB of one head, too little for the hardware's prefetcher to get
/// going. They go to L2: L1 has too few misses in flight for the memory's rate (fetch.h).
struct ComingRows {
  const void* const* rows = nullptr;
  int tokens = 0, row_bytes = 0;

  KVGAUGE_INLINE void touch(const ComingRows& coming, int first, int last) {
    for (int t = first; t < last && t < coming.tokens; ++t)
      for (int at = 0; at < coming.row_bytes; at += 64)
        __builtin_prefetch(static_cast<const char*>(coming.rows[t]) + at, 0, 2);
  }
};

/// A square of kLanes tokens by kLanes elements from element j on, stored as columns `first`.. of the tile.
template <class T>
KVGAUGE_INLINE void transpose_square(const void* const* rows, int tokens, int head_dim, int j, float* tile) {
  Floats block[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    if (i >= tokens) {
      block[i] = zeros();
    } else {
      const T* row = static_cast<const T*>(rows[i]) + j;
      block[i] = j + kLanes <= head_dim ? load_elements(row) : load_some(row, head_dim - j);
    }
  }
  transpose(block);
  for (int i = 0; i < kLanes && j + i < head_dim; ++i) store(tile + (j + i) * kTileTokens, block[i]);
}

/// The same for 2 kLanes bf16 elements at once: pairs of neighbours travel together and are widened on arrival.
KVGAUGE_INLINE void transpose_pairs(const void* const* rows, int tokens, int j, float* tile) {
  Floats block[kLanes];
  for (int i = 0; i < kLanes; ++i)
    block[i] = i < tokens ? (Floats)load_words(static_cast<const std::uint16_t*>(rows[i]) + j) : zeros();
  transpose(block);
  for (int i = 0; i < kLanes; ++i) {
    const Words pair = (Words)block[i];
    store(tile + (j + 2 * i) * kTileTokens, (Floats)(pair << 16));
    store(tile + (j + 2 * i + 1) * kTileTokens, (Floats)(pair & 0xffff0000u));
  }
}

/// tile[j][t] = rows[t][j] for t < tokens; zero up to the next multiple of kLanes
template <class T>
void transpose_tile(const void* const* rows, int tokens, int head_dim, float* tile, const ComingRows& coming) {
  for (int first = 0; first < tokens; first += kLanes) {
    ComingRows::touch(coming, first, first + kLanes);
    int j = 0;
    if constexpr (sizeof(T) == 2) {
      for (; j + 2 * kLanes <= head_dim; j += 2 * kLanes)
        transpose_pairs(rows + first, tokens - first, j, tile + first);
    }
    for (; j < head_dim; j += kLanes) transpose_square<T>(rows + first, tokens - first, head_dim, j, tile + first);
  }
}

/// tile[t][j] = rows[t][j], rows padded with zeros to `padded`
template <class T>
void widen_tile(const void* const* rows, int tokens, int head_dim, int padded, float* tile, const ComingRows& coming) {
  for (int t = 0; t < tokens; ++t) {
    ComingRows::touch(coming, t, t + 1);
    const T* row = static_cast<const T*>(rows[t]);
    for (int j = 0; j < padded; j += kLanes) {
      store(tile + t * padded + j, j + kLanes <= head_dim ? load_elements(row + j)
                                   : j < head_dim         ? load_some(row + j, head_dim - j)
                                                          : zeros());
    }
  }
}

template <int kRows, int kVectors>
KVGAUGE_INLINE void score_tile(const float* q, int padded, int head_dim, const float* keys, float scale,
                               float* scores) {
  Floats sum[kRows][kVectors];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) sum[r][v] = zeros();
  for (int j = 0; j < head_dim; ++j) {
    Floats key[kVectors];
    for (int v = 0; v < kVectors; ++v) key[v] = load(keys + j * kTileTokens + v * kLanes);
    for (int r = 0; r < kRows; ++r) {
      const Floats value = broadcast(q[r * padded + j]);
      for (int v = 0; v < kVectors; ++v) sum[r][v] = fused_multiply_add(value, key[v], sum[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) store(scores + r * kSplitTokens + v * kLanes, sum[r][v] * scale);
}

template <int kRows>
void score_rows(const float* q, int padded, int head_dim, const float* keys, int tokens, float scale, float* scores) {
  int t = 0;
  for (; t + (kTileVectors - 1) * kLanes < tokens; t += kTileVectors * kLanes)
    score_tile<kRows, kTileVectors>(q, padded, head_dim, keys + t, scale, scores + t);
  for (; t < tokens; t += kLanes) score_tile<kRows, 1>(q, padded, head_dim, keys + t, scale, scores + t);
}

/// weighted[r][j] += sum over t in [first, last) of p[r][t] * values[t][j], for kVectors vectors of columns
template <int kRows, int kVectors>
KVGAUGE_INLINE void value_tile(const float* p, const float* values, int first, int last, int padded, float* weighted) {
  Floats sum[kRows][kVectors];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) sum[r][v] = load(weighted + r * padded + v * kLanes);
  for (int t = first; t < last; ++t) {
    Floats value[kVectors];
    for (int v = 0; v < kVectors; ++v) value[v] = load(values + t * padded + v * kLanes);
    for (int r = 0; r < kRows; ++r) {
      const Floats weight = broadcast(p[r * kSplitTokens + t]);
      for (int v = 0; v < kVectors; ++v) sum[r][v] = fused_multiply_add(weight, value[v], sum[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) store(weighted + r * padded + v * kLanes, sum[r][v]);
}

/// The same straight from the pages, for one register tile of queries: no other would use the converted values again.
template <class T, int kRows, int kVectors>
KVGAUGE_INLINE void page_value_tile(const float* p, const void* const* rows, int offset, int first, int last,
                                    int padded, float* weighted, const ComingRows& coming) {
  Floats sum[kRows][kVectors];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) sum[r][v] = load(weighted + r * padded + v * kLanes);
  for (int t = first; t < last; ++t) {
    ComingRows::touch(coming, t, t + 1);
    const T* row = static_cast<const T*>(rows[t]) + offset;
    Floats value[kVectors];
    for (int v = 0; v < kVectors; ++v) value[v] = load_elements(row + v * kLanes);
    for (int r = 0; r < kRows; ++r) {
      const Floats weight = broadcast(p[r * kSplitTokens + t]);
      for (int v = 0; v < kVectors; ++v) sum[r][v] = fused_multiply_add(weight, value[v], sum[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) store(weighted + r * padded + v * kLanes, sum[r][v]);
}

template <class T, int kRows>
void page_value_rows(const float* p, const void* const* rows, int first, int last, int head_dim, int padded,
                     float* weighted, const ComingRows& coming) {
  int j = 0;
  for (; j + kTileVectors * kLanes <= head_dim; j += kTileVectors * kLanes)
    page_value_tile<T, kRows, kTileVectors>(p, rows, j, first, last, padded, weighted + j, coming);
  for (; j < head_dim; j += kLanes) page_value_tile<T, kRows, 1>(p, rows, j, first, last, padded, weighted + j, coming);
}

template <int kRows>
void value_rows(const float* p, const float* values, int first, int last, int padded, float* weighted) {
  int j = 0;
  for (; j + kTileVectors * kLanes <= padded; j += kTileVectors * kLanes)
    value_tile<kRows, kTileVectors>(p, values + j, first, last, padded, weighted + j);
  for (; j < padded; j += kLanes) value_tile<kRows, 1>(p, values + j, first, last, padded, weighted + j);
}

/// Calls `work.template operator()<rows>(first_query)` over [0, queries) in runs of at most kTileRows, dealt evenly.
template <class Work>
KVGAUGE_INLINE void for_query_tiles(int begin, int queries, const Work& work) {
  const int tiles = (queries - begin + kTileRows - 1) / kTileRows;
  int first = begin;
  for (int tile = 0; tile < tiles; ++tile) {
    const int rows = (queries - first + (tiles - tile) - 1) / (tiles - tile);
    switch (rows) {
      case 1: work.template operator()<1>(first); break;
      case 2: work.template operator()<2>(first); break;
      case 3: work.template operator()<3>(first); break;
      case 4: work.template operator()<4>(first); break;
      case 5: work.template operator()<5>(first); break;
      default: work.template operator()<6>(first); break;
    }
    first += rows;
  }
}

/// Replaces the first `count` scores by exp(score - their maximum); lanes behind them become 0.
KVGAUGE_INLINE void exponentiate(float* scores, int count, float& maximum, float& sum) {
  Floats lanes_maximum = broadcast(-__builtin_inff());
  const int whole = count / kLanes * kLanes;
  for (int t = 0; t < whole; t += kLanes) lanes_maximum = larger(load(scores + t), lanes_maximum);
  float lanes[kLanes];
  store(lanes, lanes_maximum);
  maximum = lanes[0];
  for (int i = 1; i < kLanes; ++i) maximum = lanes[i] > maximum ? lanes[i] : maximum;
  for (int t = whole; t < count; ++t) maximum = scores[t] > maximum ? scores[t] : maximum;

  // 16 partial sums whatever kLanes is: zeros behind `count` change none of them
  for (int t = count; t < (count + 15) / 16 * 16; ++t) scores[t] = -__builtin_inff();
  FloatSums sums = {};
  for (int t = 0; t < count; t += 16) {
    for (int part = 0; part < 16 / kLanes; ++part) {
      const Floats e = exp_of_nonpositive<true>(load(scores + t + part * kLanes) - maximum);
      store(scores + t + part * kLanes, e);
      sums.part[part] = sums.part[part] + e;
    }
  }
  sum = total(sums);
}

template <class T>
void attend(const SplitTask& task) {
  const int padded = padded_head_dim(task.head_dim);
  float* tile = task.scratch;
  float* scores = task.scratch + kTileTokens * padded;
  const int row_bytes = task.head_dim * static_cast<int>(sizeof(T));
  const auto tile_tokens = [&](int t) { return task.tokens - t < kTileTokens ? task.tokens - t : kTileTokens; };

  ComingRows::touch({task.k_rows, tile_tokens(0), row_bytes}, 0, kTileTokens);
  for (int t = 0; t < task.tokens; t += kTileTokens) {
    const int tokens = tile_tokens(t);
    const bool is_last = t + kTileTokens >= task.tokens;
    const ComingRows coming = {is_last ? task.v_rows : task.k_rows + t + kTileTokens,
                               tile_tokens(is_last ? 0 : t + kTileTokens), row_bytes};
    transpose_tile<T>(task.k_rows + t, tokens, task.head_dim, tile, coming);
    int begin = 0;
    while (begin < task.queries && task.limits[begin] <= t) ++begin;
    for_query_tiles(
        begin, task.queries, [&]<int kRows>(int first) __attribute__((always_inline)) {
          score_rows<kRows>(task.q + first * padded, padded, task.head_dim, tile, tokens, task.scale,
                            scores + first * kSplitTokens + t);
        });
  }
  for (int query = 0; query < task.queries; ++query) {
    float* weighted = task.weighted + query * padded;
    for (int j = 0; j < padded; j += kLanes) store(weighted + j, zeros());
    if (task.limits[query] > 0)
      exponentiate(scores + query * kSplitTokens, task.limits[query], task.maximum[query], task.sum[query]);
  }
  for (int t = 0; t < task.tokens; t += kTileTokens) {
    const int tokens = tile_tokens(t);
    const ComingRows coming = {task.v_rows + t + kTileTokens, tile_tokens(t + kTileTokens), row_bytes};
    int begin = 0;
    while (begin < task.queries && task.limits[begin] <= t) ++begin;
    const bool from_pages = task.queries - begin <= kTileRows && task.head_dim % kLanes == 0;
    if (!from_pages) widen_tile<T>(task.v_rows + t, tokens, task.head_dim, padded, tile, coming);
    const auto add = [&]<int kRows>(int query, int first, int last) __attribute__((always_inline)) {
      const float* p = scores + query * kSplitTokens + t;
      float* weighted = task.weighted + query * padded;
      if (from_pages) {
        page_value_rows<T, kRows>(p, task.v_rows + t, first, last, task.head_dim, padded, weighted, coming);
      } else {
        value_rows<kRows>(p, tile, first, last, padded, weighted);
      }
    };
    for_query_tiles(
        begin, task.queries, [&]<int kRows>(int query) __attribute__((always_inline)) {
          // limits ascend: all queries of the tile see [0, common), the later ones a little more, each on its own
          const int common = task.limits[query] - t < tokens ? task.limits[query] - t : tokens;
          add.template operator()<kRows>(query, 0, common);
          for (int r = 1; r < kRows; ++r) {
            const int limit = task.limits[query + r] - t < tokens ? task.limits[query + r] - t : tokens;
            if (limit > common) add.template operator()<1>(query + r, common, limit);
          }
        });
  }
}

}  // namespace

void attend_split(const SplitTask& task) {
  if (task.bf16) {
    attend<std::uint16_t>(task);
  } else {
    attend<float>(task);
  }
}

void merge_split(float* maximum, float* sum, float* weighted, const float* split_maximum, const float* split_sum,
                 const float* split_weighted, const std::int32_t* limits, int queries, int head_dim) {
  const int padded = padded_head_dim(head_dim);
  for (int query = 0; query < queries; ++query) {
    if (limits[query] <= 0) continue;
    const float a = maximum[query], b = split_maximum[query];
    const float both = a > b ? a : b;
    float scales[kLanes];
    float arguments[kLanes] = {a - both, b - both};
    store(scales, exp_of_nonpositive<true>(load(arguments)));
    maximum[query] = both;
    sum[query] = sum[query] * scales[0] + split_sum[query] * scales[1];
    const Floats scale_a = broadcast(scales[0]), scale_b = broadcast(scales[1]);
    for (int j = 0; j < padded; j += kLanes) {
      float* at = weighted + query * padded + j;
      store(at, fused_multiply_add(load(at), scale_a, load(split_weighted + query * padded + j) * scale_b));
    }
  }
}

}  // namespace kvgauge::cpu::KVGAUGE_ISA
