#pragma once
#include <cstdint>
#include <optional>
#include <string>

namespace kvgauge {

/// A line of a JSONL file that is not blank.
struct JsonlLine {
  std::int64_t index = 0;   ///< 0, 1, 2, ... over the lines that are not blank
  std::int64_t number = 0;  ///< of the line in the file, from 1, blank ones counted
  std::string text;         ///< without the line end
  bool too_long = false;    ///< longer than JsonlReader::kLongestLine: `text` is its beginning only
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

  /// The next line. Nothing at the end (then ended() is true), when a signal interrupted the wait, or, without `wait`,
  /// when no whole line has arrived yet. @throws InputError if reading fails
  std::optional<JsonlLine> next(bool wait = true);
  bool ended() const { return at_end_ && begin_ == buffer_.size() && !cut_; }
  /// True for a file that can be read again; only such input can be resumed.
  bool is_regular() const { return regular_; }
  const std::string& name() const { return name_; }  ///< for messages: the path, or "stdin"

 private:
  std::optional<JsonlLine> take_line();
  bool fill(bool wait);

  std::string name_;
  int file_ = -1;
  bool owned_ = false, regular_ = false, at_end_ = false;
  std::string buffer_;
  std::size_t begin_ = 0, scanned_ = 0;  ///< of the current line; up to where it is known to have no line end
  std::optional<std::string> cut_;       ///< the beginning of a line that is too long and not at its end yet
  std::int64_t index_ = 0, number_ = 0;
};

}  // namespace kvgauge
