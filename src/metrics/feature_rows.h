#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace kvgauge {

/// A matrix of features by rows, of which only the values that are not 0 are stored (compressed sparse rows).
class FeatureRows {
 public:
  struct Row {
    std::span<const std::int32_t> columns;  ///< ascending
    std::span<const double> values;
  };

  explicit FeatureRows(std::int64_t columns) : columns_(columns) {}

  void add_dense(std::span<const double> row);
  /// @param columns ascending, below columns(). @param values as many
  void add_sparse(std::span<const std::int32_t> columns, std::span<const double> values);

  std::int64_t rows() const { return std::ssize(ends_) - 1; }
  std::int64_t columns() const { return columns_; }
  Row row(std::int64_t index) const;

 private:
  std::int64_t columns_;
  std::vector<std::size_t> ends_ = {0};  ///< of each row's values; the first entry is where row 0 begins
  std::vector<std::int32_t> indices_;
  std::vector<double> values_;
};

}  // namespace kvgauge
