#include "kv/page_layout.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace kvgauge {
namespace {

TEST(PageLayout, CountsBytesAsTheFormatSays) {
  // 30 layers, K and V, 3 heads of 64 numbers of 2 bytes: 23,040 bytes a token; 32 tokens a page
  const PageLayout layout{.dtype = DType::kBF16, .layers = 30, .kv_heads = 3, .head_dim = 64};
  EXPECT_EQ(layout.tile_elements(), 2048);
  EXPECT_EQ(layout.layer_block_bytes(), 2 * 3 * 2048 * 2);
  EXPECT_EQ(layout.bytes_per_token(), 23040);
  EXPECT_EQ(layout.block_bytes(), 23040 * 32);
}

// Every (layer, K or V, block, head, slot, element) has its own place, and together they fill the memory exactly.
TEST(PageLayout, TilesCoverTheMemoryOnceAndAreAligned) {
  for (const DType dtype : {DType::kBF16, DType::kF32}) {
    const PageLayout layout{.dtype = dtype, .layers = 3, .kv_heads = 2, .head_dim = 24};
    constexpr std::int32_t kBlocks = 5;
    const auto bytes = static_cast<std::size_t>(kBlocks * layout.block_bytes());
    std::vector<std::byte> raw(bytes + 64);
    std::byte* const memory = raw.data() + (64 - reinterpret_cast<std::uintptr_t>(raw.data()) % 64) % 64;
    const PageStorage storage(layout, kBlocks, memory);
    const PagedKvView view = storage.view();
    EXPECT_EQ(view.page_tokens, kPageTokens);
    std::set<std::int64_t> rows;
    for (int layer = 0; layer < layout.layers; ++layer) {
      for (std::int64_t block = 0; block < kBlocks; ++block) {
        for (int head = 0; head < layout.kv_heads; ++head) {
          EXPECT_EQ(reinterpret_cast<std::uintptr_t>(view.k(layer, block, head, 0)) % 16, 0u);
          EXPECT_EQ(reinterpret_cast<std::uintptr_t>(view.v(layer, block, head, 0)) % 16, 0u);
          for (int slot = 0; slot < kPageTokens; ++slot) {
            rows.insert(view.k(layer, block, head, slot) - memory);
            rows.insert(view.v(layer, block, head, slot) - memory);
          }
        }
        // the tiles of one block and layer: K heads, then V heads, one after another
        EXPECT_EQ(view.v(layer, block, 0, 0) - view.k(layer, block, 0, 0), layout.layer_block_bytes() / 2);
        EXPECT_EQ(view.k(layer, block, 0, 0) - memory,
                  layer * kBlocks * layout.layer_block_bytes() + block * layout.layer_block_bytes());
      }
    }
    const auto row_bytes = static_cast<std::int64_t>(layout.head_dim * size_of(dtype));
    ASSERT_EQ(rows.size() * static_cast<std::size_t>(row_bytes), bytes);
    std::int64_t next = 0;
    for (const std::int64_t row : rows) {
      ASSERT_EQ(row, next);
      next += row_bytes;
    }
  }
}

}  // namespace
}  // namespace kvgauge
