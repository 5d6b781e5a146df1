#pragma once
#include <cstddef>
#include <cstdint>

#include "core/dtype.h"

namespace kvgauge {

inline constexpr int kPageTokens = 32;  ///< tokens in one page of our own cache

/// Where K and V of every (layer, block, kv head, slot) lie. Non-owning; what attention and every gauge read.
/// Strides are in elements, so that foreign caches can be viewed in place: our pages ([K heads | V heads], each
/// [page_tokens, head_dim]), vLLM's [2, blocks, 16, heads, dim], transformers' [heads, T, dim] (one block of T tokens).
///   K(l, block, head, slot)[j] = k_base[l][block*block_stride + head*head_stride + slot*token_stride + j],  V likewise
struct PagedKvView {
  std::byte* const* k_base = nullptr;  ///< [layers] first element of block 0's K
  std::byte* const* v_base = nullptr;  ///< [layers] first element of block 0's V
  DType dtype = DType::kBF16;
  int layers = 0, kv_heads = 0, head_dim = 0, page_tokens = kPageTokens;
  std::int64_t block_stride = 0, head_stride = 0, token_stride = 0;

  KVGAUGE_HOST_DEVICE std::byte* k(int layer, std::int64_t block, int head, int slot) const { return at(k_base[layer], block, head, slot); }
  KVGAUGE_HOST_DEVICE std::byte* v(int layer, std::int64_t block, int head, int slot) const { return at(v_base[layer], block, head, slot); }

 private:
  KVGAUGE_HOST_DEVICE std::byte* at(std::byte* base, std::int64_t block, int head, int slot) const {
    return base + (block * block_stride + head * head_stride + slot * token_stride) *
                      static_cast<std::int64_t>(size_of(dtype));
  }
};

}  // namespace kvgauge
