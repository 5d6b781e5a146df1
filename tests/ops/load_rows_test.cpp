// A matrix whose rows are stored in several types, as quantized files mix them, against the loader's widening.
#include <bit>

#include "loader/stored_tensor.h"
#include "ops_support.h"

namespace kvgauge::testing {
namespace {

class LoadRows : public OnEveryExecutor {};

constexpr std::int64_t kColumns = 256;

/// Consecutive pieces, each of one type. Notes what was asked for.
class MixedRows final : public WeightSource {
 public:
  MixedRows(std::vector<Run> pieces, Random& random) : pieces_(std::move(pieces)) {
    for (const Run& piece : pieces_) {
      const std::size_t bytes = stored_bytes(piece.type, static_cast<std::uint64_t>(piece.rows * kColumns));
      auto& data = data_.emplace_back(bytes);
      for (std::byte& b : data) b = static_cast<std::byte>(random());
      for (std::size_t at = 0; at < bytes; at += 16) data[at + 1] = std::byte{0x2c};  // most halves: scales near 1/16
      rows_ += piece.rows;
    }
  }
  std::int64_t rows() const { return rows_; }
  std::int64_t given() const { return given_; }

  void read(std::int64_t first, std::int64_t count, DType dtype, void* out) override {
    take(first, count);
    std::vector<float> values(static_cast<std::size_t>(rows_ * kColumns));
    widened(values.data());
    const auto bytes = kvgauge::testing::stored(
        std::vector<float>(values.begin() + first * kColumns, values.begin() + (first + count) * kColumns), dtype);
    std::memcpy(out, bytes.data(), bytes.size());
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
    const std::size_t row = stored_bytes(pieces_[piece].type, kColumns);
    std::memcpy(out, data_[piece].data() + static_cast<std::size_t>(first) * row,
                static_cast<std::size_t>(count) * row);
  }
  void widened(float* out) const {
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
      widen(pieces_[i].type, data_[i].data(), pieces_[i].rows * kColumns, out);
      out += pieces_[i].rows * kColumns;
    }
  }

 private:
  void take(std::int64_t first, std::int64_t count) {
    EXPECT_EQ(first, given_) << "ranges ascend and leave nothing out";
    given_ = first + count;
  }
  std::vector<Run> pieces_;
  std::vector<std::vector<std::byte>> data_;
  std::int64_t rows_ = 0, given_ = 0;
};

TEST_P(LoadRows, TakesEveryRowOnceInWhateverTypeItIsStored) {
  Random random(test_seed(82));
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    if (dtype == DType::kBF16 && !has_bf16_products()) continue;
    const auto backend = backend_for(GetParam(), dtype);
    MixedRows source({{StoredType::kQ4_K, 5},
                      {StoredType::kBF16, 9},
                      {StoredType::kQ6_K, 1},
                      {StoredType::kF32, 3},
                      {StoredType::kQ8_0, 40},
                      {StoredType::kF16, 2}},
                     random);
    GuardedMatrix out(source.rows(), kColumns, dtype, 0);
    backend->load_rows(source.rows(), kColumns, source, static_cast<std::byte*>(out.view().data));
    EXPECT_EQ(source.given(), source.rows());
    std::vector<float> want(static_cast<std::size_t>(source.rows() * kColumns));
    source.widened(want.data());
    want = rounded(want, dtype);
    for (std::int64_t r = 0; r < source.rows(); ++r) {
      for (std::int64_t c = 0; c < kColumns; ++c) {
        const float got = out.at(r, c), expected = want[static_cast<std::size_t>(r * kColumns + c)];
        if (std::isnan(expected)) {
          ASSERT_TRUE(std::isnan(got)) << "row " << r << " column " << c;
        } else {
          ASSERT_EQ(std::bit_cast<std::uint32_t>(got), std::bit_cast<std::uint32_t>(expected))
              << "row " << r << " column " << c;
        }
      }
    }
    EXPECT_TRUE(out.intact());
  }
}

KVGAUGE_ON_EVERY_EXECUTOR(LoadRows);

}  // namespace
}  // namespace kvgauge::testing
