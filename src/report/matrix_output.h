#pragma once
#include <string>

#include "report/row_output.h"

namespace kvgauge {

/// The `embedding` of each row as a matrix file, which appears whole when the job is done: until then its values lie in
/// a file without a name, so that no death of the process leaves anything behind. Rows come in the order of the input;
/// one with an error is a row of NaN. Memory: one row, and for .safetensors the ids.
///   .npy: f32 [rows, values] in C order
///   .safetensors: the same as the tensor "embeddings"; metadata: "ids" (a JSON array of strings), "failed" (one of row
///   numbers), "model_hash", "settings" (a JSON object)
/// A matrix of failed rows only has 0 columns.
class MatrixOutput : public RowOutput {
 public:
  enum class Format { kNpy, kSafetensors };

  /// @throws UsageError if there is such a file already, OutputError
  MatrixOutput(std::string path, Format format);
  ~MatrixOutput() override;
  MatrixOutput(const MatrixOutput&) = delete;
  MatrixOutput& operator=(const MatrixOutput&) = delete;

  void model_opened(const Manifest& manifest) override;
  bool is_regular() const override { return true; }
  bool resumable() const override { return false; }
  bool done(std::int64_t) const override { return false; }
  const JobTotals& totals() const override { return totals_; }
  void write(const OrderedJson& row) override;
  void finish(bool order) override;

 private:
  std::string header() const;
  void append(const float* values, std::size_t count);
  void flush();

  std::string path_;
  Format format_;
  int body_ = -1;
  std::string buffer_;
  std::size_t values_ = 0;  ///< of a row; 0 until the first that did not fail
  JobTotals totals_;
  OrderedJson ids_ = OrderedJson::array(), failed_ = OrderedJson::array();
  std::string model_hash_, settings_;
};

}  // namespace kvgauge
