#include "kv/page_layout.h"

#include "core/check.h"

namespace kvgauge {

PageStorage::PageStorage(const PageLayout& layout, std::int32_t blocks, std::byte* memory) : layout_(layout) {
  KVGAUGE_CHECK(layout.layers > 0 && layout.kv_heads > 0 && layout.head_dim > 0 && blocks > 0,
                "page layout: ", layout.layers, " layers, ", layout.kv_heads, " kv heads of ", layout.head_dim, ", ",
                blocks, " blocks");
  KVGAUGE_CHECK(reinterpret_cast<std::uintptr_t>(memory) % 64 == 0, "page layout: memory must be 64-byte aligned");
  const std::int64_t layer_bytes = blocks * layout.layer_block_bytes();
  for (int layer = 0; layer < layout.layers; ++layer) {
    std::byte* const base = memory + layer * layer_bytes;
    k_base_.push_back(base);
    v_base_.push_back(base + layout.layer_block_bytes() / 2);
  }
}

PagedKvView PageStorage::view() const {
  return {.k_base = k_base_.data(),
          .v_base = v_base_.data(),
          .dtype = layout_.dtype,
          .layers = layout_.layers,
          .kv_heads = layout_.kv_heads,
          .head_dim = layout_.head_dim,
          .page_tokens = kPageTokens,
          .block_stride = 2 * layout_.kv_heads * layout_.tile_elements(),
          .head_stride = layout_.tile_elements(),
          .token_stride = layout_.head_dim};
}

}  // namespace kvgauge
