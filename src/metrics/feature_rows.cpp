#include "metrics/feature_rows.h"

#include "core/check.h"

namespace kvgauge {

void FeatureRows::add_dense(std::span<const double> row) {
  KVGAUGE_CHECK(std::ssize(row) == columns_, row.size(), " values for ", columns_, " columns");
  for (std::size_t c = 0; c < row.size(); ++c) {
    if (row[c] == 0) continue;
    indices_.push_back(static_cast<std::int32_t>(c));
    values_.push_back(row[c]);
  }
  ends_.push_back(values_.size());
}

void FeatureRows::add_sparse(std::span<const std::int32_t> columns, std::span<const double> values) {
  KVGAUGE_CHECK(columns.size() == values.size(), columns.size(), " columns for ", values.size(), " values");
  for (std::size_t i = 0; i < columns.size(); ++i)
    KVGAUGE_CHECK(columns[i] >= 0 && columns[i] < columns_ && (i == 0 || columns[i - 1] < columns[i]), "column ",
                  columns[i], " of ", columns_);
  indices_.insert(indices_.end(), columns.begin(), columns.end());
  values_.insert(values_.end(), values.begin(), values.end());
  ends_.push_back(values_.size());
}

FeatureRows::Row FeatureRows::row(std::int64_t index) const {
  const std::size_t begin = ends_[static_cast<std::size_t>(index)], end = ends_[static_cast<std::size_t>(index) + 1];
  return {.columns = std::span(indices_).subspan(begin, end - begin),
          .values = std::span(values_).subspan(begin, end - begin)};
}

}  // namespace kvgauge
