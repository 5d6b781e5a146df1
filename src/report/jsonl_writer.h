#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "kvgauge/error.h"

namespace kvgauge {

/// The reader of our standard output has gone (`kvgauge ... | head`): nothing to tell anybody.
class ClosedPipeError : public OutputError {
  using OutputError::OutputError;
};

/// Appends whole lines to an open file. A line is handed to the system in one write, so that the death of the process
/// can at worst tear the last one; regular files are synchronised to the disk in groups: every kGroupLines lines or
/// kGroupSeconds.
class JsonlWriter {
 public:
  static constexpr int kGroupLines = 256;
  static constexpr double kGroupSeconds = 2;

  /// Takes over `file` (closed with the object unless it is standard output), which stands at its end.
  JsonlWriter(int file, std::string name, bool regular);
  ~JsonlWriter();
  JsonlWriter(const JsonlWriter&) = delete;
  JsonlWriter& operator=(const JsonlWriter&) = delete;

  /// @param line without line end. @throws OutputError (the disk is full, ...); what a failed write left of the line is
  /// cut off again
  void write(std::string_view line);
  /// Brings everything to the disk. @throws OutputError
  void flush();
  std::int64_t size() const { return size_; }  ///< bytes written by this object

 private:
  int file_;
  std::string name_;
  bool regular_;
  std::string buffer_;
  std::int64_t size_ = 0;
  int unsynced_lines_ = 0;
  double last_sync_ = 0;
};

}  // namespace kvgauge
