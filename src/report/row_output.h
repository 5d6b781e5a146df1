#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "report/manifest.h"

namespace kvgauge {

/// Where the rows of a job go.
class RowOutput {
 public:
  virtual ~RowOutput() = default;

  /// When the model is open and its hash is known. @throws UsageError naming what differs from an earlier run
  virtual void model_opened(const Manifest& manifest) = 0;
  /// When the job began, if an earlier run did.
  virtual std::optional<std::string> started() const { return std::nullopt; }
  virtual bool is_regular() const = 0;              ///< has a name, and a manifest beside it
  virtual bool resumable() const = 0;               ///< an interrupted job leaves rows to go on from
  virtual bool done(std::int64_t index) const = 0;  ///< an earlier run has this row
  virtual const JobTotals& totals() const = 0;

  /// Takes one row of output_row() or error_row(). @throws OutputError, ClosedPipeError
  virtual void write(const OrderedJson& row) = 0;
  /// Brings rows to the disk. @param order every row is there, and they are to stand in the order of the input
  virtual void finish(bool order) = 0;
};

}  // namespace kvgauge
