#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

#include "core/json.h"
#include "support/paths.h"

namespace kvgauge::testing {

/// How a run of the built binary ended.
struct Outcome {
  int exit = -1;  ///< exit code, or 1000 + the signal that ended it
  std::string out, err;
};

/// The binary under test as a child process, with two threads. Output goes to files, so no pipe can fill up.
class Program {
 public:
  /// @param file_bytes how long a file it writes may become (RLIMIT_FSIZE); 0: any length
  explicit Program(const std::vector<std::string>& arguments, const std::string& input = "", long file_bytes = 0);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void signal(int number) const;
  Outcome wait();
  pid_t pid() const { return pid_; }

 private:
  TempDir dir_;
  pid_t pid_ = -1;
};

inline Outcome kvgauge(const std::vector<std::string>& arguments, const std::string& input = "") {
  return Program(arguments, input).wait();
}

/// The rows of a JSONL text. Fails the test on a line that is none.
std::vector<OrderedJson> rows_of(const std::string& text);
std::vector<OrderedJson> rows_in(const std::string& path);

/// Without `timing`, the only field that two runs of the same job do not share.
OrderedJson without_timing(OrderedJson row);

/// `count` questions of the embedded model's test set as rows with an id, a question and an answer.
std::string questions(int count, int first = 0);

}  // namespace kvgauge::testing
