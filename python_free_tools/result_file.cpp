#include "result_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/cat.h"
#include "kvgauge/error.h"

namespace kvgauge::cli {

ResultFile::ResultFile(const std::string& path) : path_(path) {
  if (path == "-") {
    writer_ = std::make_unique<JsonlWriter>(STDOUT_FILENO, "stdout", false);
    return;
  }
  struct stat facts {};
  const bool special =
      ::stat(path.c_str(), &facts) == 0 && !S_ISREG(facts.st_mode);  // a device or a pipe keeps its name
  if (!special) temporary_ = path + ".tmp";
  const std::string& name = special ? path_ : temporary_;
  const int file = ::open(name.c_str(), O_WRONLY | O_CLOEXEC | (special ? 0 : O_CREAT | O_TRUNC), 0666);
  if (file < 0) throw OutputError(cat(path, ": cannot be opened for writing: ", std::strerror(errno)));
  writer_ = std::make_unique<JsonlWriter>(file, path, !special);
}

ResultFile::~ResultFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void ResultFile::write(std::string_view text) { writer_->write(text.substr(0, text.size() - 1)); }

void ResultFile::finish() {
  writer_->flush();
  writer_.reset();
  if (temporary_.empty()) return;
  if (::rename(temporary_.c_str(), path_.c_str()) != 0)
    throw OutputError(cat(path_, ": cannot be replaced: ", std::strerror(errno)));
  temporary_.clear();
}

}  // namespace kvgauge::cli
