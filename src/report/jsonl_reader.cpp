#include "report/jsonl_reader.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/cat.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace {

constexpr std::size_t kReadBytes = 1 << 16;
constexpr std::size_t kKeptOfLongLine = 200;

bool is_blank(const std::string& text) { return text.find_first_not_of(" \t\r\n\v\f") == std::string::npos; }

}  // namespace

JsonlReader::JsonlReader(const std::string& path) : name_(path == "-" ? "stdin" : path) {
  if (path == "-") {
    file_ = STDIN_FILENO;
  } else {
    file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file_ < 0) throw InputError(cat(name_, ": cannot be opened: ", std::strerror(errno)));
    owned_ = true;
  }
  struct stat facts {};
  if (::fstat(file_, &facts) == 0) {
    regular_ = owned_ && S_ISREG(facts.st_mode);
    if (S_ISDIR(facts.st_mode)) {
      if (owned_) ::close(file_);
      throw InputError(cat(name_, ": is a directory, a JSONL file was needed"));
    }
  }
}

JsonlReader::~JsonlReader() {
  if (owned_) ::close(file_);
}

std::optional<JsonlLine> JsonlReader::next(bool wait) {
  for (;;) {
    while (auto line = take_line()) {
      if (line->number == 1 && line->text.starts_with("\xEF\xBB\xBF")) line->text.erase(0, 3);
      if (!line->text.empty() && line->text.back() == '\r') line->text.pop_back();
      if (is_blank(line->text)) continue;
      line->index = index_++;
      return line;
    }
    if (at_end_ || !fill(wait)) return std::nullopt;
  }
}

std::optional<JsonlLine> JsonlReader::take_line() {
  const std::size_t end = buffer_.find('\n', scanned_);
  const bool whole = end != std::string::npos;
  if (!whole && !at_end_) {
    scanned_ = buffer_.size();
    if (buffer_.size() - begin_ > kLongestLine) {  // keep reading it, but stop keeping it
      if (!cut_) cut_ = buffer_.substr(begin_, kKeptOfLongLine);
      buffer_.clear();
      begin_ = scanned_ = 0;
    }
    return std::nullopt;
  }
  if (!whole && begin_ == buffer_.size() && !cut_) return std::nullopt;
  JsonlLine line{.index = 0,
                 .number = ++number_,
                 .text = buffer_.substr(begin_, (whole ? end : buffer_.size()) - begin_),
                 .too_long = cut_.has_value()};
  if (line.text.size() > kLongestLine) {
    line.too_long = true;
    line.text.resize(kKeptOfLongLine);
  }
  if (cut_) line.text = *std::exchange(cut_, std::nullopt);
  begin_ = scanned_ = whole ? end + 1 : buffer_.size();
  return line;
}

// @return false if nothing came: not there yet, or a signal
bool JsonlReader::fill(bool wait) {
  pollfd ready{.fd = file_, .events = POLLIN, .revents = 0};
  if (!wait && !regular_ && ::poll(&ready, 1, 0) == 0) return false;
  buffer_.erase(0, begin_);
  scanned_ -= begin_;
  begin_ = 0;
  const std::size_t old = buffer_.size();
  buffer_.resize(old + kReadBytes);
  const ssize_t bytes = ::read(file_, buffer_.data() + old, kReadBytes);
  const int error = errno;
  buffer_.resize(old + static_cast<std::size_t>(bytes > 0 ? bytes : 0));
  if (bytes > 0) return true;
  if (bytes == 0) return at_end_ = true;
  if (error == EINTR || error == EAGAIN) return false;
  throw InputError(cat(name_, ": reading failed: ", std::strerror(error)));
}

}  // namespace kvgauge
