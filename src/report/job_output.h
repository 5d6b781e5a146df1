#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "report/jsonl_writer.h"
#include "report/manifest.h"
#include "report/row_output.h"

namespace kvgauge {

/// The output file of a job: locked against other writers, resumable after any death, every row in it once.
/// Standard output ("-") and files that are not regular (pipes, /dev/null) are only written to.
class JobOutput : public RowOutput {
 public:
  struct Options {
    std::string path;
    bool resume = false;
    bool retry_failed = false;  ///< rows with an error are taken out and count as not done; needs resume
  };

  /// Opens and locks; reads what an earlier run left, and with `resume` cuts off a torn last line. Nothing is changed
  /// before the settings have been compared. An absent or empty file is a fresh start, with or without `resume`.
  /// @throws UsageError (rows are there and no `resume`; made with other settings, naming them), OutputError (cannot be
  /// opened, or another process writes it), FormatError (its rows are none of ours)
  JobOutput(Options options, const Manifest& manifest);

  /// Once more, when the model is open and its hash is known. @throws UsageError naming what differs
  void check_settings(const Manifest& manifest) const;
  void model_opened(const Manifest& manifest) override { check_settings(manifest); }
  std::optional<std::string> started() const override;

  bool is_regular() const override { return regular_; }
  bool resumable() const override { return regular_; }
  bool done(std::int64_t index) const override { return rows_.contains(index); }
  const JobTotals& totals() const override { return totals_; }

  void write(const OrderedJson& row) override;
  /// With `order`, rows are put into the order of the input if retries or an interruption left them otherwise.
  void finish(bool order) override;

 private:
  struct Place {
    std::int64_t offset = 0, bytes = 0;  ///< of the line, its end included
  };
  // Closed with the object unless a writer has taken it over; a file that was made and never written is removed again.
  struct OpenedFile {
    int number = -1;
    std::string made;  ///< its path, if it was not there before
    OpenedFile() = default;
    OpenedFile(const OpenedFile&) = delete;
    OpenedFile& operator=(const OpenedFile&) = delete;
    ~OpenedFile();
  };
  void open_file();
  void read_rows();
  void rewrite(const std::string& why);
  void start_writer();

  Options options_;
  OpenedFile file_;
  bool regular_ = false, in_order_ = true;
  std::int64_t end_ = 0;  ///< of the last whole row
  std::map<std::int64_t, Place> rows_;
  JobTotals totals_;
  std::optional<Json> earlier_;  ///< the manifest of the run that is resumed
  std::unique_ptr<JsonlWriter> writer_;
};

}  // namespace kvgauge
