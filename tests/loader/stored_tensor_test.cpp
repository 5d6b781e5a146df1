#include "loader/stored_tensor.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "core/dtype.h"
#include "core/mapped_file.h"
#include "loader/gguf.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

// Against the PyPI package gguf's dequantisation, bit for bit: both do the same two float operations on each value.
TEST(StoredTensor, WidensEveryTypeAsGgufDoes) {
  const MappedFile file(testing::repo_path("tests/golden/gguf/types.gguf"));
  const GgufContents contents = parse_gguf(file.bytes(), "types.gguf");
  std::map<std::string, StoredTensor> tensors;
  for (const StoredTensor& t : contents.tensors) tensors[t.name] = t;
  int types = 0;
  for (const auto& [key, stored] : tensors) {
    const auto values = tensors.find(key + ".values");
    if (values == tensors.end()) continue;
    ++types;
    EXPECT_EQ(name(stored.type), key);
    const std::int64_t elements = stored.rows * stored.columns;
    std::vector<float> got(static_cast<std::size_t>(elements)), want(got.size());
    widen(stored.type, stored.data.data(), elements, got.data());
    std::memcpy(want.data(), values->second.data.data(), want.size() * 4);
    for (std::size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], want[i]) << key << " value " << i;
  }
  EXPECT_EQ(types, 11);
}

TEST(StoredTensor, SizesAndBlocks) {
  EXPECT_EQ(stored_bytes(StoredType::kF32, 3), 12u);
  EXPECT_EQ(stored_bytes(StoredType::kBF16, 3), 6u);
  EXPECT_EQ(stored_bytes(StoredType::kQ4_1, 64), 40u);
  EXPECT_EQ(stored_bytes(StoredType::kQ6_K, 512), 420u);
  EXPECT_EQ(block_elements(StoredType::kF16), 1);
  EXPECT_EQ(block_elements(StoredType::kQ5_0), 32);
  EXPECT_EQ(block_elements(StoredType::kQ4_K), 256);
}

// Mapped tensors may start at any byte: reads must not assume alignment (ASan/UBSan builds would say so).
TEST(StoredTensor, ReadsFromOddAddresses) {
  std::vector<std::byte> bytes(1 + 210, std::byte{0});
  const float value = 1.5f;
  std::memcpy(bytes.data() + 1, &value, 4);
  float out[256];
  widen(StoredType::kF32, bytes.data() + 1, 1, out);
  EXPECT_EQ(out[0], 1.5f);
  const std::uint16_t half = to_half(0.5f).bits;
  std::memcpy(bytes.data() + 1 + 208, &half, 2);
  std::memset(bytes.data() + 1 + 192, 2, 16);
  std::memset(bytes.data() + 1, 0, 192);
  widen(StoredType::kQ6_K, bytes.data() + 1, 256, out);
  for (const float x : out) EXPECT_EQ(x, 0.5f * 2 * -32);
}

}  // namespace
}  // namespace kvgauge
