#pragma once
// A matrix whose rows are stored in several types, as quantized files mix them.
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "loader/stored_tensor.h"
#include "ops/weight_source.h"

namespace kvgauge::testing {

/// Consecutive pieces of random blocks, each of one type. Scales and shifts of blocks lie between 2^-7 and 2^-4.
/// Expects to be read once, in ascending ranges that leave nothing out.
class StoredRows final : public WeightSource {
 public:
  template <class Random>
  StoredRows(std::vector<Run> pieces, std::int64_t columns, Random& random)
      : pieces_(std::move(pieces)), columns_(columns) {
    for (const Run& piece : pieces_) {
      const std::size_t bytes = stored_bytes(piece.type, static_cast<std::uint64_t>(piece.rows * columns));
      auto& data = data_.emplace_back(bytes);
      for (std::byte& b : data) b = static_cast<std::byte>(random());
      const std::size_t block = stored_bytes(piece.type, static_cast<std::uint64_t>(block_elements(piece.type)));
      for (std::size_t at = 0; at < bytes; at += block)
        for (const std::size_t half : halves(piece.type))
          data[at + half + 1] = static_cast<std::byte>(0x20 + random() % 12);
      rows_ += piece.rows;
    }
  }
  std::int64_t rows() const { return rows_; }
  std::int64_t given() const { return given_; }
  /// Every row, as the loader widens it.
  std::vector<float> widened() const {
    std::vector<float> out(static_cast<std::size_t>(rows_ * columns_));
    float* to = out.data();
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
      widen(pieces_[i].type, data_[i].data(), pieces_[i].rows * columns_, to);
      to += pieces_[i].rows * columns_;
    }
    return out;
  }

  void read(std::int64_t first, std::int64_t count, DType dtype, void* out) override {
    take(first, count);
    const std::vector<float> all = widened();
    for (std::int64_t i = 0; i < count * columns_; ++i) {
      const float value = all[static_cast<std::size_t>(first * columns_ + i)];
      if (dtype == DType::kF32) {
        static_cast<float*>(out)[i] = value;
      } else {
        static_cast<bf16_t*>(out)[i] = to_bf16(value);
      }
    }
  }
  Run stored(std::int64_t first) const override {
    for (const Run& piece : pieces_) {
      if (first < piece.rows) return {.type = piece.type, .rows = piece.rows - first};
      first -= piece.rows;
    }
    return {};
  }
  void read_stored(std::int64_t first, std::int64_t count, std::byte* out) override {
    take(first, count);
    std::size_t piece = 0;
    for (; first >= pieces_[piece].rows; ++piece) first -= pieces_[piece].rows;
    ASSERT_LE(first + count, pieces_[piece].rows) << "more than a run of one type";
    const std::size_t row = stored_bytes(pieces_[piece].type, static_cast<std::uint64_t>(columns_));
    std::memcpy(out, data_[piece].data() + static_cast<std::size_t>(first) * row,
                static_cast<std::size_t>(count) * row);
  }

 private:
  /// Where a block keeps its f16 numbers, and for plain types its values.
  static std::vector<std::size_t> halves(StoredType type) {
    switch (type) {
      case StoredType::kF32: return {2};
      case StoredType::kF16:
      case StoredType::kBF16:
      case StoredType::kQ8_0:
      case StoredType::kQ4_0:
      case StoredType::kQ5_0: return {0};
      case StoredType::kQ4_1:
      case StoredType::kQ5_1:
      case StoredType::kQ4_K:
      case StoredType::kQ5_K: return {0, 2};
      case StoredType::kQ6_K: return {208};
    }
    return {};
  }
  void take(std::int64_t first, std::int64_t count) {
    EXPECT_EQ(first, given_) << "ranges ascend and leave nothing out";
    given_ = first + count;
  }
  std::vector<Run> pieces_;
  std::int64_t columns_;
  std::vector<std::vector<std::byte>> data_;
  std::int64_t rows_ = 0, given_ = 0;
};

}  // namespace kvgauge::testing
