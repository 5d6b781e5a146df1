#include "ops_support.h"

namespace kvgauge::testing {
namespace {

class CopyPages : public OnEveryExecutor {};

TEST_P(CopyPages, CopiesWholeBlocksOfAllLayersAndNothingElse) {
  Random random(test_seed(61));
  const auto backend = backend_for(GetParam());
  const PagedCache::Shape shapes[] = {
      {.layers = 3, .kv_heads = 2, .head_dim = 20, .page_tokens = 8, .dtype = DType::kF32},
      {.layers = 3, .kv_heads = 2, .head_dim = 20, .page_tokens = 8, .dtype = DType::kBF16},
      {.layers = 3, .kv_heads = 3, .head_dim = 7, .page_tokens = 8, .dtype = DType::kBF16},  // tiles of 7 * 16 bytes
      {.layers = 3,
       .kv_heads = 1,
       .head_dim = 7,
       .page_tokens = 5,
       .dtype = DType::kBF16},  // tiles that start anywhere
      {.layers = 3, .kv_heads = 2, .head_dim = 128, .page_tokens = 8, .dtype = DType::kBF16}};
  for (const PagedCache::Shape& shape : shapes) {
    PagedCache cache(shape, 12, random);
    const std::int64_t two = 2 * shape.page_tokens;
    const auto a = cache.take_blocks(two), b = cache.take_blocks(two), c = cache.take_blocks(two);
    cache.fill(a, two - 3, random);
    cache.fill(c, two, random);
    const auto before = cache.bytes();
    backend->copy_pages({.pages = cache.view(), .source = a, .target = b});
    const auto block_bytes = static_cast<std::size_t>(cache.view().block_stride) * size_of(shape.dtype);
    const auto& after = cache.bytes();
    for (std::size_t layer = 0; layer < 3; ++layer) {
      for (std::size_t block = 0; block < 12; ++block) {
        const std::size_t at = (layer * 12 + block) * block_bytes;
        const auto target = std::find(b.begin(), b.end(), static_cast<std::int32_t>(block));
        const std::size_t from =
            target == b.end()
                ? at
                : (layer * 12 + static_cast<std::size_t>(a[static_cast<std::size_t>(target - b.begin())])) *
                      block_bytes;
        EXPECT_EQ(std::memcmp(after.data() + at, before.data() + from, block_bytes), 0)
            << "layer " << layer << " block " << block;
      }
    }
  }
}

/// A cache laid out as [heads, tokens, dim] with a stride between tokens: only the rows are copied.
TEST_P(CopyPages, LeavesForeignBytesBetweenRowsAlone) {
  const auto backend = backend_for(GetParam());
  for (const int dim : {6, 8}) {  // rows of 8 dimensions can be copied 16 bytes at a time
    const int stride = dim + 4, tile = 4 * stride;
    DeviceVector<float> memory(static_cast<std::size_t>(2 * 2 * tile), 7.f);
    std::byte* k_base[] = {reinterpret_cast<std::byte*>(memory.data())};
    std::byte* v_base[] = {reinterpret_cast<std::byte*>(memory.data() + tile)};
    const PagedKvView view{.k_base = k_base,
                           .v_base = v_base,
                           .dtype = DType::kF32,
                           .layers = 1,
                           .kv_heads = 1,
                           .head_dim = dim,
                           .page_tokens = 4,
                           .block_stride = 2 * tile,
                           .head_stride = tile,
                           .token_stride = stride};
    const auto slot_of = [&](int block, bool is_v, int slot) {
      return &memory[static_cast<std::size_t>((2 * block + is_v) * tile + slot * stride)];
    };
    for (const bool is_v : {false, true})
      for (int slot = 0; slot < 4; ++slot)
        for (int j = 0; j < dim; ++j) slot_of(0, is_v, slot)[j] = static_cast<float>(100 * is_v + slot * dim + j);
    const std::int32_t source[] = {0}, target[] = {1};
    backend->copy_pages({.pages = view, .source = source, .target = target});
    for (const bool is_v : {false, true})
      for (int slot = 0; slot < 4; ++slot)
        for (int j = 0; j < stride; ++j)
          EXPECT_EQ(slot_of(1, is_v, slot)[j], j < dim ? static_cast<float>(100 * is_v + slot * dim + j) : 7.f);
  }
}

KVGAUGE_ON_EVERY_EXECUTOR(CopyPages);

}  // namespace
}  // namespace kvgauge::testing
