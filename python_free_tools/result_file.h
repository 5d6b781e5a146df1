#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "report/jsonl_writer.h"

namespace kvgauge::cli {

/// Standard output ("-"), or a file that takes its name only when it is whole: an earlier one stays until then.
class ResultFile {
 public:
  /// @throws OutputError
  explicit ResultFile(const std::string& path);
  ~ResultFile();
  void write(std::string_view text);  ///< ends with a line end. @throws OutputError, ClosedPipeError
  void finish();

 private:
  std::string path_, temporary_;
  std::unique_ptr<JsonlWriter> writer_;
};

}  // namespace kvgauge::cli
