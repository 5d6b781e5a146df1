#include "report/job_output.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "core/cat.h"
#include "core/mapped_file.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace {

void lock(int file, const std::string& path) {
  if (::flock(file, LOCK_EX | LOCK_NB) == 0) return;
  if (errno == EWOULDBLOCK) throw OutputError(cat(path, ": another kvgauge is writing it; wait for that one to end"));
  throw OutputError(cat(path, ": cannot be locked: ", std::strerror(errno)));
}

// A line that is a row of ours; nothing for the torn last line of a file.
std::optional<RowFacts> facts_of(std::string_view line, bool last, const std::string& where) {
  if (last && !OrderedJson::accept(line)) return std::nullopt;
  return row_facts(parse_ordered_json(line, where), where);
}

}  // namespace

JobOutput::JobOutput(Options options, const Manifest& manifest) : options_(std::move(options)) {
  open_file();
  struct stat facts {};
  if (::fstat(file_.number, &facts) != 0) throw OutputError(cat(options_.path, ": ", std::strerror(errno)));
  regular_ = options_.path != "-" && S_ISREG(facts.st_mode);
  if (!regular_) {
    if (options_.resume)
      throw UsageError(cat("--resume: ", options_.path == "-" ? "standard output" : options_.path,
                           " cannot be read again, a file was needed for --output"));
    start_writer();
    return;
  }
  lock(file_.number, options_.path);
  if (::fstat(file_.number, &facts) == 0 && facts.st_size > 0) {
    if (!options_.resume)
      throw UsageError(cat("--output: ", options_.path, " has rows already; go on with --resume, or remove it"));
    earlier_ = read_manifest(options_.path);
    if (!earlier_)
      throw UsageError(cat("--resume: ", options_.path, " has no ", manifest_path(options_.path),
                           " beside it, so its settings are unknown; remove it or choose another --output"));
    check_settings(manifest);
    read_rows();
  }
}

JobOutput::OpenedFile::~OpenedFile() {
  if (number <= STDOUT_FILENO) return;
  if (!made.empty()) ::unlink(made.c_str());  // the job never came to its first row: leave no trace
  ::close(number);
}

void JobOutput::check_settings(const Manifest& manifest) const {
  if (!earlier_) return;
  const auto changed = differences(*earlier_, manifest);
  if (!changed.empty())
    throw UsageError(cat("--resume: ", options_.path, " was made with other settings: ", join(changed, ", "),
                         "; use the same, or another --output"));
}

std::optional<std::string> JobOutput::started() const {
  if (!earlier_) return std::nullopt;
  return find_string(*earlier_, "started", manifest_path(options_.path));
}

void JobOutput::open_file() {
  if (options_.path == "-") {
    file_.number = STDOUT_FILENO;
    return;
  }
  const char* const path = options_.path.c_str();
  file_.number = ::open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (file_.number >= 0)
    file_.made = options_.path;
  else if (errno == EEXIST)
    file_.number = ::open(path, O_RDWR | O_CLOEXEC);
  if (file_.number < 0 && errno != ENOENT) file_.number = ::open(path, O_WRONLY | O_CLOEXEC);  // a pipe or a device
  if (file_.number < 0) throw OutputError(cat(options_.path, ": cannot be opened for writing: ", std::strerror(errno)));
}

void JobOutput::read_rows() {
  const MappedFile file(options_.path);
  const std::string_view text = file.text();
  std::int64_t number = 0, previous = -1;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t line_end = text.find('\n', begin);
    if (line_end == std::string_view::npos) break;  // torn: it has no end
    const std::size_t next = line_end + 1;
    const std::string where = cat(options_.path, ":", ++number);
    const auto facts = facts_of(text.substr(begin, line_end - begin), next == text.size(), where);
    if (!facts) break;
    end_ = static_cast<std::int64_t>(next);
    const Place place{.offset = static_cast<std::int64_t>(begin), .bytes = static_cast<std::int64_t>(next - begin)};
    begin = next;
    if (facts->failed && options_.retry_failed) {
      in_order_ = false;
      continue;
    }
    if (!rows_.emplace(facts->index, place).second)
      throw FormatError(cat(where, ": the row of index ", facts->index, " is there twice, once was needed"));
    if (facts->index < previous) in_order_ = false;
    previous = facts->index;
    totals_.add(*facts);
  }
}

// Rows in the order of the input, into a new file that takes the place of the old one. The lock moves with the name:
// the new file is locked before it is renamed.
void JobOutput::rewrite(const std::string& why) {
  const std::string temporary = options_.path + ".tmp";
  const int file = ::open(temporary.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) throw OutputError(cat(temporary, ": cannot be opened to ", why, ": ", std::strerror(errno)));
  auto copy = std::make_unique<JsonlWriter>(file, temporary, true);  // owns the file from here
  lock(file, temporary);
  std::map<std::int64_t, Place> places;
  {
    const MappedFile old(options_.path);
    for (const auto& [index, place] : rows_) {
      places.emplace(index, Place{.offset = copy->size(), .bytes = place.bytes});
      copy->write(old.text().substr(static_cast<std::size_t>(place.offset), static_cast<std::size_t>(place.bytes) - 1));
    }
  }
  copy->flush();
  if (::rename(temporary.c_str(), options_.path.c_str()) != 0)
    throw OutputError(cat(options_.path, ": cannot be replaced to ", why, ": ", std::strerror(errno)));
  rows_ = std::move(places);
  end_ = copy->size();
  in_order_ = true;
  writer_ = std::move(copy);  // closes the old file, and with it the old lock, unless file_ still has it
}

void JobOutput::start_writer() {
  if (writer_) return;
  if (regular_ && options_.retry_failed && !in_order_) {
    rewrite("take failed rows out");
    return;
  }
  if (regular_ && ::ftruncate(file_.number, end_) != 0)
    throw OutputError(cat(options_.path, ": its torn last line cannot be cut off: ", std::strerror(errno)));
  if (regular_) ::lseek(file_.number, end_, SEEK_SET);
  writer_ = std::make_unique<JsonlWriter>(std::exchange(file_.number, -1),
                                          options_.path == "-" ? "stdout" : options_.path, regular_);
}

void JobOutput::write(const OrderedJson& row) {
  start_writer();
  const std::string line = to_line(row);
  const RowFacts facts = row_facts(row, options_.path);
  writer_->write(line);
  const auto bytes = static_cast<std::int64_t>(line.size()) + 1;
  if (regular_) {
    if (!rows_.empty() && facts.index < rows_.rbegin()->first) in_order_ = false;
    rows_.emplace(facts.index, Place{.offset = end_, .bytes = bytes});
  }
  end_ += bytes;
  totals_.add(facts);
}

void JobOutput::finish(bool order) {
  start_writer();
  writer_->flush();
  if (order && regular_ && !in_order_) rewrite("put the rows in order");
}

}  // namespace kvgauge
