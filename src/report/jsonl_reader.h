#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace kvgauge {

/// A line of a JSONL file that is not blank.
struct JsonlLine {
  std::int64_t index = 0;   ///< 0, 1, 2, ... over the lines that are not blank
  std::int64_t number = 0;  ///< of the line in the file, from 1, blank ones counted
  std::string text;         ///< without the line end
  std::string error;        ///< not empty: the line is too long to be read, `text` is cut
};

/// Streams the lines of a file, a pipe or standard input ("-"). Memory: one line and a read buffer.
/// A byte order mark at the start and carriage returns at line ends are dropped; the last line needs no line end.
class JsonlReader {
 public:
  static constexpr std::size_t kLongestLine = std::size_t{64} << 20;

  /// @throws InputError if the file cannot be opened
  explicit JsonlReader(const std::string& path);
  ~JsonlReader();
  JsonlReader(const JsonlReader&) = delete;
  JsonlReader& operator=(const JsonlReader&) = delete;

  /// The next line, or nothing: at the end (then ended() is true), when a signal interrupted the wait, or, without `wait`,
  /// when no whole line has arrived yet. @throws InputError if reading fails
  std::optional<JsonlLine> next(bool wait = true);
  bool ended() const { return ended_ && begin_ == buffer_.size() && !partial_; }
  /// Lines of the file, blank ones counted too: an estimate for progress. Nothing if the input is no regular file.
  std::optional<std::int64_t> lines() const { return lines_; }
  /// True for a file that can be read again; only such input can be resumed.
  bool is_regular() const { return lines_.has_value(); }
  /// For messages: the path, or "stdin".
  const std::string& name() const { return name_; }

 private:
  std::optional<std::string> take_line();
  bool fill(bool wait);

  std::string name_;
  int file_ = -1;
  bool owned_ = false, ended_ = false;
  bool partial_ = false;      ///< buffer_ ends within a line
  bool overlong_ = false;     ///< the current line was cut: skip to its end
  std::string buffer_;
  std::size_t begin_ = 0, scanned_ = 0;
  std::int64_t index_ = 0, number_ = 0;
  std::optional<std::int64_t> lines_;
};

}  // namespace kvgauge
