#pragma once
#include <cstdint>
#include <vector>

#include "kv/paged_view.h"

namespace kvgauge {

/// Our own page format: one logical block covers all layers; in each layer a block is
/// [K head 0 .. Hk-1 | V head 0 .. Hk-1], every (block, head) tile [32 tokens, head_dim] contiguous and 16-byte
/// aligned.
struct PageLayout {
  DType dtype = DType::kBF16;
  int layers = 0, kv_heads = 0, head_dim = 0;

  std::int64_t tile_elements() const { return std::int64_t{kPageTokens} * head_dim; }
  std::int64_t layer_block_bytes() const {
    return 2 * kv_heads * tile_elements() * static_cast<std::int64_t>(size_of(dtype));
  }
  std::int64_t block_bytes() const { return layers * layer_block_bytes(); }
  std::int64_t bytes_per_token() const { return block_bytes() / kPageTokens; }
};

/// Owns the base pointers that a view of our pages needs. The memory itself belongs to the caller.
class PageStorage {
 public:
  /// @param memory blocks * layout.block_bytes() bytes, 64-byte aligned; layer l's blocks are contiguous
  PageStorage(const PageLayout& layout, std::int32_t blocks, std::byte* memory);
  PagedKvView view() const;

 private:
  PageLayout layout_;
  std::vector<std::byte*> k_base_, v_base_;
};

}  // namespace kvgauge
