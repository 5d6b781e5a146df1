#pragma once
// What the operation tests share: seeded numbers, canaries, paged caches in shuffled page order, one back end per
// executor.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "core/dtype.h"
#include "cpu/cpu_backend.h"
#include "support/device_vector.h"
#include "support/executors.h"
#include "support/paths.h"

namespace kvgauge::testing {

inline constexpr double kFloatEps = 0x1p-24;  ///< relative error of one f32 rounding
inline constexpr double kBf16Eps = 0x1p-8;    ///< of one bf16 rounding

using Random = std::mt19937_64;

inline float uniform_in(Random& random, double low, double high) {
  return static_cast<float>(std::uniform_real_distribution<double>(low, high)(random));
}
inline std::vector<float> uniform_floats(Random& random, std::size_t count, double low = -1, double high = 1) {
  std::vector<float> out(count);
  for (float& x : out) x = uniform_in(random, low, high);
  return out;
}
/// Values as `dtype` holds them.
inline std::vector<float> rounded(std::vector<float> values, DType dtype) {
  for (float& x : values)
    x = dtype == DType::kBF16 ? to_float(to_bf16(x)) : dtype == DType::kF16 ? to_float(to_half(x)) : x;
  return values;
}
/// Writes x as `dtype` holds it.
inline void store(std::byte* bytes, std::int64_t index, DType dtype, float x) {
  if (dtype == DType::kF32) {
    std::memcpy(bytes + 4 * index, &x, 4);
  } else {
    const std::uint16_t narrow = dtype == DType::kBF16 ? to_bf16(x).bits : to_half(x).bits;
    std::memcpy(bytes + 2 * index, &narrow, 2);
  }
}
inline std::vector<std::byte> stored(const std::vector<float>& values, DType dtype) {
  std::vector<std::byte> bytes(values.size() * size_of(dtype));
  for (std::size_t i = 0; i < values.size(); ++i) store(bytes.data(), static_cast<std::int64_t>(i), dtype, values[i]);
  return bytes;
}
inline float loaded(const std::byte* bytes, std::int64_t index, DType dtype) {
  if (dtype == DType::kF32) {
    float x;
    std::memcpy(&x, bytes + 4 * index, 4);
    return x;
  }
  std::uint16_t bits;
  std::memcpy(&bits, bytes + 2 * index, 2);
  return dtype == DType::kBF16 ? to_float(bf16_t{bits}) : to_float(half_t{bits});
}

/// A matrix with guarded bytes before, behind and between its rows (stride > columns).
class GuardedMatrix {
 public:
  GuardedMatrix(std::int64_t rows, std::int64_t columns, DType dtype, std::int64_t gap = 5)
      : bytes_((static_cast<std::size_t>(rows * (columns + gap)) + 2 * kGuard) * size_of(dtype), std::byte{kMark}) {
    view_ = {bytes_.data() + kGuard * size_of(dtype), dtype, rows, columns, columns + gap};
  }
  const MatrixView& view() const { return view_; }
  void set(std::int64_t row, std::int64_t column, float x) {
    store(static_cast<std::byte*>(view_.data), row * view_.stride + column, view_.dtype, x);
  }
  void set(const std::vector<float>& values) {
    for (std::int64_t r = 0; r < view_.rows; ++r)
      for (std::int64_t c = 0; c < view_.columns; ++c)
        set(r, c, values[static_cast<std::size_t>(r * view_.columns + c)]);
  }
  float at(std::int64_t row, std::int64_t column) const {
    return loaded(static_cast<const std::byte*>(view_.data), row * view_.stride + column, view_.dtype);
  }
  std::vector<float> values() const {
    std::vector<float> out;
    for (std::int64_t r = 0; r < view_.rows; ++r)
      for (std::int64_t c = 0; c < view_.columns; ++c) out.push_back(at(r, c));
    return out;
  }
  /// True if nothing outside the rows was written.
  bool intact() const {
    const std::size_t element = size_of(view_.dtype);
    for (std::size_t i = 0; i < bytes_.size(); ++i) {
      const std::int64_t at = static_cast<std::int64_t>(i / element) - static_cast<std::int64_t>(kGuard);
      const bool inside = at >= 0 && at < view_.rows * view_.stride && at % view_.stride < view_.columns;
      if (!inside && bytes_[i] != std::byte{kMark}) return false;
    }
    return true;
  }

 private:
  static constexpr std::size_t kGuard = 64;
  static constexpr unsigned char kMark = 0xff;  // as numbers: NaN, so that reading a guard shows too
  DeviceVector<std::byte> bytes_;
  MatrixView view_;
};

/// A paged cache whose blocks are dealt to sequences in random order; every slot starts as NaN.
class PagedCache {
 public:
  struct Shape {
    int layers = 1, kv_heads = 1, head_dim = 64, page_tokens = kPageTokens;
    DType dtype = DType::kBF16;
  };
  PagedCache(const Shape& shape, std::int64_t blocks, Random& random) : shape_(shape) {
    const std::int64_t tile = std::int64_t{shape.page_tokens} * shape.head_dim;
    view_ = {.dtype = shape.dtype,
             .layers = shape.layers,
             .kv_heads = shape.kv_heads,
             .head_dim = shape.head_dim,
             .page_tokens = shape.page_tokens,
             .block_stride = 2 * shape.kv_heads * tile,
             .head_stride = tile,
             .token_stride = shape.head_dim};
    bytes_.assign(static_cast<std::size_t>(shape.layers * blocks * view_.block_stride) * size_of(shape.dtype),
                  std::byte{0xff});
    for (int layer = 0; layer < shape.layers; ++layer) {
      std::byte* base =
          bytes_.data() + static_cast<std::size_t>(layer * blocks * view_.block_stride) * size_of(shape.dtype);
      k_base_.push_back(base);
      v_base_.push_back(base + static_cast<std::size_t>(shape.kv_heads * tile) * size_of(shape.dtype));
    }
    view_.k_base = k_base_.data();
    view_.v_base = v_base_.data();
    free_.resize(static_cast<std::size_t>(blocks));
    std::iota(free_.begin(), free_.end(), 0);
    std::shuffle(free_.begin(), free_.end(), random);
  }
  PagedCache(const PagedCache&) = delete;
  PagedCache& operator=(const PagedCache&) = delete;

  const PagedKvView& view() const { return view_; }
  std::vector<std::int32_t> take_blocks(std::int64_t tokens) {
    std::vector<std::int32_t> blocks;
    for (std::int64_t t = 0; t < tokens; t += shape_.page_tokens) {
      blocks.push_back(free_.back());
      free_.pop_back();
    }
    return blocks;
  }
  void put(bool value, int layer, const std::vector<std::int32_t>& blocks, std::int64_t position, int head,
           const float* row) {
    std::byte* at = slot(value, layer, blocks, position, head);
    for (int j = 0; j < shape_.head_dim; ++j) store(at, j, shape_.dtype, row[j]);
  }
  float get(bool value, int layer, const std::vector<std::int32_t>& blocks, std::int64_t position, int head,
            int j) const {
    return loaded(slot(value, layer, blocks, position, head), j, shape_.dtype);
  }
  /// Random K and V at positions [0, tokens) of every layer and head.
  void fill(const std::vector<std::int32_t>& blocks, std::int64_t tokens, Random& random, double scale = 1) {
    for (int layer = 0; layer < shape_.layers; ++layer)
      for (std::int64_t t = 0; t < tokens; ++t)
        for (int head = 0; head < shape_.kv_heads; ++head)
          for (const bool value : {false, true})
            put(value, layer, blocks, t, head,
                uniform_floats(random, static_cast<std::size_t>(shape_.head_dim), -scale, scale).data());
  }
  const DeviceVector<std::byte>& bytes() const { return bytes_; }

 private:
  std::byte* slot(bool value, int layer, const std::vector<std::int32_t>& blocks, std::int64_t position,
                  int head) const {
    const std::int64_t block = blocks[static_cast<std::size_t>(position / shape_.page_tokens)];
    const int at = static_cast<int>(position % shape_.page_tokens);
    return value ? view_.v(layer, block, head, at) : view_.k(layer, block, head, at);
  }

  Shape shape_;
  DeviceVector<std::byte> bytes_;
  std::vector<std::byte*> k_base_, v_base_;
  std::vector<std::int32_t> free_;
  PagedKvView view_;
};

/// A fixture whose cases run once for every executor.
class OnEveryExecutor : public ::testing::TestWithParam<Executor> {
 protected:
  void SetUp() override {
    if (const std::string reason = reason_to_skip(GetParam()); !reason.empty()) GTEST_SKIP() << reason;
  }
  bool has_bf16_products() const { return GetParam().on_device() || GetParam().isa >= CpuIsa::kAvx2; }
};
#define KVGAUGE_ON_EVERY_EXECUTOR(Suite)                                                          \
  INSTANTIATE_TEST_SUITE_P(Executor, Suite, ::testing::ValuesIn(::kvgauge::testing::executors()), \
                           [](const auto& instance) { return name(instance.param); })
/// For what only kernels do.
#define KVGAUGE_ON_EVERY_DEVICE(Suite)                                                                   \
  GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Suite);                                                  \
  INSTANTIATE_TEST_SUITE_P(Executor, Suite, ::testing::ValuesIn(::kvgauge::testing::device_executors()), \
                           [](const auto& instance) { return name(instance.param); })

}  // namespace kvgauge::testing
