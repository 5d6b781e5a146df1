#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>

#include "core/check.h"
#include "core/dtype.h"
#include "core/stored_type.h"

namespace kvgauge {

/// A weight matrix at the place it comes from. A back end reads its rows in ascending ranges that do not overlap and
/// cover the matrix once, so that the source can be dropped behind each; every range in one of two forms.
class WeightSource {
 public:
  virtual ~WeightSource() = default;

  /// Rows [first, first + count) as values of `dtype`: f32 (float) or bf16 (bf16_t), row-major.
  virtual void read(std::int64_t first, std::int64_t count, DType dtype, void* out) = 0;

  /// How rows are stored from `first` on: the type, and the number of rows that have it before another one begins.
  struct Run {
    StoredType type = StoredType::kF32;
    std::int64_t rows = 0;
    bool operator==(const Run&) const = default;
  };
  virtual Run stored(std::int64_t first) const = 0;
  /// Rows [first, first + count), all of one run, in the bytes of their stored type (for Backends that unpack by
  /// themselves: ops/unpack_weights.h).
  virtual void read_stored(std::int64_t first, std::int64_t count, std::byte* out) = 0;
};

/// A matrix that read(first, count, out) makes up, in a back end's compute type: for measurements and tests.
template <class Read>
class MadeRows final : public WeightSource {
 public:
  MadeRows(std::int64_t rows, DType dtype, Read read) : rows_(rows), dtype_(dtype), read_(std::move(read)) {}

  void read(std::int64_t first, std::int64_t count, DType dtype, void* out) override {
    KVGAUGE_CHECK(dtype == dtype_, "rows of ", name(dtype_), " were asked for as ", name(dtype));
    read_(first, count, out);
  }
  Run stored(std::int64_t first) const override {
    return {.type = dtype_ == DType::kBF16 ? StoredType::kBF16 : StoredType::kF32, .rows = rows_ - first};
  }
  void read_stored(std::int64_t first, std::int64_t count, std::byte* out) override { read_(first, count, out); }

 private:
  std::int64_t rows_;
  DType dtype_;
  Read read_;
};

}  // namespace kvgauge
