#include "ops_support.h"

namespace kvgauge::testing {
namespace {

class CopyPages : public OnEveryExecutor {};

TEST_P(CopyPages, CopiesWholeBlocksOfAllLayersAndNothingElse) {
  Random random(test_seed(61));
  const auto backend = backend_for(GetParam());
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    PagedCache cache({.layers = 3, .kv_heads = 2, .head_dim = 20, .page_tokens = 8, .dtype = dtype}, 12, random);
    const auto a = cache.take_blocks(16), b = cache.take_blocks(16), c = cache.take_blocks(16);
    cache.fill(a, 13, random);
    cache.fill(c, 16, random);
    const auto before = cache.bytes();
    backend->copy_pages({.pages = cache.view(), .source = a, .target = b});
    const auto block_bytes = static_cast<std::size_t>(cache.view().block_stride) * size_of(dtype);
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
  DeviceVector<float> memory(2 * 2 * 4 * 10, 7.f);
  std::byte* k_base[] = {reinterpret_cast<std::byte*>(memory.data())};
  std::byte* v_base[] = {reinterpret_cast<std::byte*>(memory.data() + 40)};
  const PagedKvView view{.k_base = k_base,
                         .v_base = v_base,
                         .dtype = DType::kF32,
                         .layers = 1,
                         .kv_heads = 1,
                         .head_dim = 6,
                         .page_tokens = 4,
                         .block_stride = 80,
                         .head_stride = 40,
                         .token_stride = 10};
  for (int slot = 0; slot < 4; ++slot)
    for (int j = 0; j < 6; ++j) memory[static_cast<std::size_t>(slot * 10 + j)] = static_cast<float>(slot * 6 + j);
  const std::int32_t source[] = {0}, target[] = {1};
  backend->copy_pages({.pages = view, .source = source, .target = target});
  for (int slot = 0; slot < 4; ++slot)
    for (int j = 0; j < 10; ++j)
      EXPECT_EQ(memory[static_cast<std::size_t>(80 + slot * 10 + j)], j < 6 ? static_cast<float>(slot * 6 + j) : 7.f);
}

KVGAUGE_ON_EVERY_EXECUTOR(CopyPages);

}  // namespace
}  // namespace kvgauge::testing
