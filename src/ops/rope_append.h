#pragma once
#include "ops/args.h"

namespace kvgauge {

/// For every new token: q, k, v = qkv row (+ bias); q, k normalised per head (Qwen3) ; q, k rotated by RoPE; k, v
/// rounded to the cache's dtype and written to their page slots; q written to q_out.
///   rotation, half layout (Su et al., 2021; transformers' rotate_half), i < head_dim/2, angle = position *
///   inverse_frequency[i]: (x_i, x_{i+d/2}) -> (x_i cos - x_{i+d/2} sin,  x_{i+d/2} cos + x_i sin)
/// The angle is formed in double, so that long positions keep f32 accuracy.
struct RopeAppendArgs {
  MatrixView qkv;  ///< f32 [rows, (heads + 2 kv_heads) * head_dim]: all q heads, then k heads, then v heads
  int heads = 0, kv_heads = 0, head_dim = 0;
  const float* bias = nullptr;    ///< [(heads + 2 kv_heads) * head_dim] or nullptr
  const float* q_norm = nullptr;  ///< [head_dim] or nullptr; both or neither
  const float* k_norm = nullptr;
  float norm_eps = 1e-6f;
  const double* inverse_frequencies = nullptr;  ///< [head_dim / 2]
  std::span<const SequenceSlice> sequences;
  int layer = 0;
  PagedKvView pages;  ///< written at (layer, blocks[position / page_tokens], head, position % page_tokens)
  MatrixView q_out;   ///< f32 [rows, heads * head_dim]; may alias nothing
};

}  // namespace kvgauge
