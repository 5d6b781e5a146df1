#include "core/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/cat.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace {

OutputError cannot_write(const std::string& name, int error) {
  const bool full = error == ENOSPC || error == EFBIG || error == EDQUOT;
  return OutputError(cat(name, ": cannot be written: ", std::strerror(error), full ? "; make room and try again" : ""));
}

}  // namespace

std::size_t write_all(int file, std::string_view bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t written = ::write(file, bytes.data() + done, bytes.size() - done);
    if (written > 0)
      done += static_cast<std::size_t>(written);
    else if (written == 0)
      errno = ENOSPC;
    if (written == 0 || (written < 0 && errno != EINTR)) break;
  }
  return done;
}

void write_file_atomically(const std::string& path, std::string_view bytes) {
  const std::string temporary = path + ".tmp";
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) throw cannot_write(temporary, errno);
  const bool written = write_all(file, bytes) == bytes.size() && ::fsync(file) == 0;
  const int error = errno;
  ::close(file);
  if (!written) {
    ::unlink(temporary.c_str());
    throw cannot_write(temporary, error);
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const int rename_error = errno;
    ::unlink(temporary.c_str());
    throw cannot_write(path, rename_error);
  }
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  const int directory = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return;  // the file is there; only its survival of a power cut is not certain
  ::fsync(directory);
  ::close(directory);
}

}  // namespace kvgauge
