#include "report/matrix_output.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <utility>
#include <vector>

#include "core/cat.h"
#include "core/output_file.h"
#include "kvgauge/error.h"
#include "loader/npy.h"
#include "loader/safetensors.h"

namespace kvgauge {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 20;

OutputError cannot_write(const std::string& path) {
  return OutputError(cat(path, ": cannot be written: ", std::strerror(errno)));
}

void write_whole(int file, std::string_view bytes, const std::string& path) {
  if (write_all(file, bytes) < bytes.size()) throw cannot_write(path);
}

// A file in the folder of `path` that has lost its name.
int open_nameless(const std::string& path) {
  std::string name = path + ".XXXXXX";
  const int file = ::mkostemp(name.data(), O_CLOEXEC);
  if (file < 0) throw OutputError(cat(path, ": cannot be opened for writing: ", std::strerror(errno)));
  ::unlink(name.c_str());
  return file;
}

/// A file that is removed unless it was renamed.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::string path)
      : path_(std::move(path)), file_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) {
    if (file_ < 0) throw cannot_write(path_);
  }
  ~TemporaryFile() {
    if (file_ >= 0) ::close(file_);
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void write(std::string_view bytes) { write_whole(file_, bytes, path_); }
  void rename(const std::string& to) {
    if (::fsync(file_) != 0 || ::rename(path_.c_str(), to.c_str()) != 0) throw cannot_write(to);
    path_.clear();
  }

 private:
  std::string path_;
  int file_;
};

}  // namespace

MatrixOutput::MatrixOutput(std::string path, Format format) : path_(std::move(path)), format_(format) {
  if (std::filesystem::exists(path_))
    throw UsageError(cat("--output: ", path_, " is there already; remove it or choose another file"));
  body_ = open_nameless(path_);
}

MatrixOutput::~MatrixOutput() { ::close(body_); }

void MatrixOutput::model_opened(const Manifest& manifest) {
  model_hash_ = manifest.model_hash;
  settings_ = to_line(manifest.settings);
}

void MatrixOutput::write(const OrderedJson& row) {
  const RowFacts facts = row_facts(row, path_);
  totals_.add(facts);
  if (format_ == Format::kSafetensors) {
    const OrderedJson* const id = member(&row, "id");
    ids_.push_back(id ? *id : OrderedJson());
    if (facts.failed) failed_.push_back(facts.index);
  }
  std::vector<float> values(values_, std::numeric_limits<float>::quiet_NaN());
  if (const OrderedJson* const embedding = member(&row, "embedding"); embedding && !facts.failed) {
    const std::size_t before = static_cast<std::size_t>(totals_.rows - 1);
    values = embedding->get<std::vector<float>>();
    if (values_ == 0) {  // rows that failed before their length was known
      values_ = values.size();
      const std::vector<float> undefined(values_, std::numeric_limits<float>::quiet_NaN());
      for (std::size_t i = 0; i < before; ++i) append(undefined.data(), values_);
    }
  }
  append(values.data(), values.size());
}

void MatrixOutput::append(const float* values, std::size_t count) {
  buffer_.append(reinterpret_cast<const char*>(values), count * sizeof(float));
  if (buffer_.size() >= kChunk) flush();
}

void MatrixOutput::flush() {
  write_whole(body_, buffer_, path_);
  buffer_.clear();
}

std::string MatrixOutput::header() const {
  const auto rows = totals_.rows, columns = static_cast<std::int64_t>(values_);
  if (format_ == Format::kNpy) return npy_header(rows, columns);
  return safetensors_header({{"embeddings", {rows, columns}}}, {{"format", "kvgauge embeddings"},
                                                                {"ids", to_line(ids_)},
                                                                {"failed", to_line(failed_)},
                                                                {"model_hash", model_hash_},
                                                                {"settings", settings_}});
}

void MatrixOutput::finish(bool order) {
  if (!order) return;  // interrupted: nothing of it can be continued
  flush();
  TemporaryFile file(path_ + ".tmp");
  file.write(header());
  std::vector<char> chunk(kChunk);
  off_t at = 0;
  for (;;) {
    const ssize_t count = ::pread(body_, chunk.data(), chunk.size(), at);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw OutputError(cat(path_, ": cannot be read back: ", std::strerror(errno)));
    if (count == 0) break;
    file.write({chunk.data(), static_cast<std::size_t>(count)});
    at += count;
  }
  file.rename(path_);
}

}  // namespace kvgauge
