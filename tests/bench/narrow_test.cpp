#include "models/narrow.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "core/mapped_file.h"
#include "loader/gguf.h"
#include "support/paths.h"

namespace kvgauge::bench {
namespace {

std::vector<std::byte> narrowed(StoredType type, const std::vector<float>& values) {
  std::vector<std::byte> bytes(stored_bytes(type, values.size()));
  narrow(type, values.data(), static_cast<std::int64_t>(values.size()), bytes.data());
  return bytes;
}
std::vector<float> there_and_back(StoredType type, const std::vector<float>& values) {
  std::vector<float> back(values.size());
  widen(type, narrowed(type, values).data(), static_cast<std::int64_t>(values.size()), back.data());
  return back;
}
float extent(const float* x, std::size_t count) {
  const auto ends = std::minmax_element(x, x + count);
  return std::max(std::fabs(*ends.first), std::fabs(*ends.second));
}

TEST(Narrow, SameBytesAsThePackageGguf) {
  const MappedFile file(testing::repo_path("tests/golden/gguf/quantized.gguf"));
  const GgufContents contents = parse_gguf(file.bytes(), "quantized.gguf");
  std::map<std::string, StoredTensor> tensors;
  for (const StoredTensor& t : contents.tensors) tensors[t.name] = t;
  const StoredTensor& source = tensors.at("values");
  std::vector<float> values(static_cast<std::size_t>(source.rows * source.columns));
  widen(source.type, source.data.data(), source.rows * source.columns, values.data());
  tensors.erase("values");
  EXPECT_EQ(tensors.size(), 6u);
  for (const auto& [key, want] : tensors) {
    EXPECT_EQ(name(want.type), key);
    const auto got = narrowed(want.type, values);
    ASSERT_EQ(got.size(), want.data.size());
    for (std::size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], want.data[i]) << key << " byte " << i;
  }
}

// How far a value may come back from where it was, by the extent a (largest size) or the range r of its group. The
// stored scale and minimum are halves: relative error 2^-11 each, which 127 codes of Q8_0 carry in full.
//   Q8_0  a/127 (1/2 + 127 2^-11)          Q4_1  r/15 (1/2 + 15 2^-11) + a 2^-11
//   Q4_0, Q5_0  a step of a/8, a/16, where the end of the other sign is clipped
//   Q4_K  group of 32: half a step of (top + minimum)/15, both of which may be rounded up by a 63rd of the largest of
//   the block Q6_K  group of 16: half a step of a/31, rounded up by a 127th of the largest of the block
double bound(StoredType type, const float* group, std::size_t values, const float* block) {
  const double a = extent(group, values), all = extent(block, 256), half = 0x1p-11;
  switch (type) {
    case StoredType::kF32: return 0;
    case StoredType::kF16: return a * half;
    case StoredType::kBF16: return a * 0x1p-8;
    case StoredType::kQ8_0: return a / 127 * (0.5 + 127 * half);
    case StoredType::kQ4_0: return a / 8 * (1 + 8 * half);
    case StoredType::kQ5_0: return a / 16 * (1 + 16 * half);
    case StoredType::kQ4_1: return 2 * a / 15 * (0.5 + 15 * half) + a * half;
    case StoredType::kQ4_K:
      return 0.5 * (2 * a + all / 63) / 15 + 0.5 * 2 * (all + all / 63) / 15 / 63 + all * 2 * half;
    case StoredType::kQ6_K: return 0.5 * (a / 31 + all / 31 / 127) * (1 + 2 * half);
    default: return -1;
  }
}

TEST(Narrow, ValuesComeBackWithinTheStepOfTheirGroup) {
  std::mt19937_64 random(testing::test_seed(31));
  std::normal_distribution<float> normal;
  for (int trial = 0; trial < 60; ++trial) {
    std::vector<float> values(512);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const float size = std::exp2(static_cast<float>((i / 16 * 7 + static_cast<std::size_t>(trial)) % 12) - 8);
      values[i] = size * normal(random) + (trial % 3 == 1 ? 3 * size : trial % 3 == 2 ? -3 * size : 0);
    }
    for (const StoredType type : written_types()) {
      const std::vector<float> back = there_and_back(type, values);
      const std::size_t group = type == StoredType::kQ6_K ? 16 : 32;
      for (std::size_t i = 0; i < values.size(); ++i)
        ASSERT_LE(std::fabs(back[i] - values[i]),
                  bound(type, &values[i / group * group], group, &values[i / 256 * 256]) * (1 + 1e-5))
            << name(type) << " value " << i << ": " << values[i] << " came back as " << back[i];
    }
  }
}

// Half a step in the scales as stored: what a value's own group resolves, whatever the rounding of the scales was.
TEST(Narrow, KTypesClipNothing) {
  std::mt19937_64 random(testing::test_seed(32));
  std::normal_distribution<float> normal;
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<float> values(256);
    for (float& x : values) x = 0.02f * normal(random);
    for (const StoredType type : {StoredType::kQ4_K, StoredType::kQ6_K}) {
      const std::vector<float> back = there_and_back(type, values);
      const std::size_t group = type == StoredType::kQ6_K ? 16 : 32;
      for (std::size_t g = 0; g < values.size(); g += group) {
        std::vector<float> levels(back.begin() + static_cast<std::ptrdiff_t>(g),
                                  back.begin() + static_cast<std::ptrdiff_t>(g + group));
        std::sort(levels.begin(), levels.end());
        float step = INFINITY;  // the least distance of two different levels; normal values fill neighbouring codes
        for (std::size_t i = 1; i < levels.size(); ++i)
          if (levels[i] - levels[i - 1] > 1e-7f) step = std::min(step, levels[i] - levels[i - 1]);
        for (std::size_t i = g; i < g + group; ++i)
          ASSERT_LE(std::fabs(back[i] - values[i]), 0.5f * step + 1e-7f) << name(type);
      }
    }
  }
}

TEST(Narrow, ZerosAndEqualValues) {
  for (const StoredType type : written_types()) {
    for (const float value : {0.0f, 1.0f, -0.25f}) {
      const std::vector<float> back = there_and_back(type, std::vector<float>(256, value));
      for (const float x : back) ASSERT_NEAR(x, value, 2e-3) << name(type);
    }
    // Scales below the least half: nothing may become NaN.
    for (const float x : there_and_back(type, std::vector<float>(256, 1e-42f))) ASSERT_NEAR(x, 0, 1e-7) << name(type);
  }
}

// What is already of a type keeps its values: its extreme value fixes the same scale again.
TEST(Narrow, NarrowingTwiceChangesNothing) {
  std::mt19937_64 random(testing::test_seed(33));
  std::normal_distribution<float> normal;
  std::vector<float> values(2048);
  for (float& x : values) x = normal(random);
  for (const StoredType type :
       {StoredType::kF16, StoredType::kBF16, StoredType::kQ8_0, StoredType::kQ4_0, StoredType::kQ5_0}) {
    const std::vector<float> once = there_and_back(type, values), twice = there_and_back(type, once);
    for (std::size_t i = 0; i < once.size(); ++i) ASSERT_EQ(once[i], twice[i]) << name(type) << " value " << i;
  }
}

}  // namespace
}  // namespace kvgauge::bench
