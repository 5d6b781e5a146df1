#include "report/jsonl_writer.h"

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <utility>

#include "core/cat.h"
#include "core/output_file.h"

namespace kvgauge {
namespace {

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

OutputError cannot_write(const std::string& name, int error) {
  const bool full = error == ENOSPC || error == EFBIG || error == EDQUOT;
  return OutputError(
      cat(name, ": cannot be written: ", std::strerror(error), full ? "; make room and go on with --resume" : ""));
}

}  // namespace

JsonlWriter::JsonlWriter(int file, std::string name, bool regular)
    : file_(file), name_(std::move(name)), regular_(regular), last_sync_(now_seconds()) {}

JsonlWriter::~JsonlWriter() {
  if (file_ != STDOUT_FILENO) ::close(file_);
}

void JsonlWriter::write(std::string_view line) {
  buffer_.assign(line);
  buffer_ += '\n';
  const std::size_t done = write_all(file_, buffer_);
  if (done < buffer_.size()) {
    const int error = errno;
    if (error == EPIPE) throw ClosedPipeError(cat(name_, ": closed by its reader"));
    if (regular_ && done > 0) {  // the torn line would be repaired by --resume as well
      const off_t end = ::lseek(file_, 0, SEEK_CUR);
      if (end >= static_cast<off_t>(done) && ::ftruncate(file_, end - static_cast<off_t>(done)) == 0)
        ::lseek(file_, 0, SEEK_END);
    }
    throw cannot_write(name_, error);
  }
  size_ += static_cast<std::int64_t>(buffer_.size());
  if (++unsynced_lines_ >= kGroupLines || now_seconds() - last_sync_ >= kGroupSeconds) flush();
}

void JsonlWriter::flush() {
  last_sync_ = now_seconds();
  if (std::exchange(unsynced_lines_, 0) == 0 || !regular_) return;
  if (::fdatasync(file_) != 0 && errno != EINVAL && errno != ENOSYS) throw cannot_write(name_, errno);
}

}  // namespace kvgauge
