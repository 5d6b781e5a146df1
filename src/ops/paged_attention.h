#pragma once
#include "ops/args.h"

namespace kvgauge {

/// Causal attention of the new tokens over all pages of their sequence, grouped-query (q head h reads kv head h /
/// (heads/kv_heads)):
///   out[r, h, :] = sum_t softmax_t(scale * q[r, h, :] . K[t, kv(h), :]) V[t, kv(h), :],   t = 0 .. position of r
/// The keys and values of the new tokens are already in the pages. Slots behind a row's position are never read as
/// numbers (they may hold anything). The bits of a row depend on its q and its keys and values only: splits lie at
/// fixed positions, partial softmax states merge in ascending order (so prefill in any chunking and decode agree).
struct PagedAttentionArgs {
  MatrixView q;  ///< f32 [rows, heads * head_dim]
  int heads = 0;
  float scale = 1;  ///< 1/sqrt(head_dim)
  std::span<const SequenceSlice> sequences;
  int layer = 0;
  PagedKvView pages;
  MatrixView out;  ///< f32 or bf16 [rows, heads * head_dim]; may not alias q
};

}  // namespace kvgauge
