#include "e2e/program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>

#include "core/cat.h"

namespace kvgauge::testing {

Program::Program(const std::vector<std::string>& arguments, const std::string& input, long file_bytes) {
  write_file(dir_.path() / "in", input);
  for (const char* file : {"out", "err"})
    write_file(dir_.path() / file, "");  // there even if it is killed before it runs
  std::vector<std::string> words = {KVGAUGE_BINARY};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const std::string in = (dir_.path() / "in").string(), out = (dir_.path() / "out").string(),
                    err = (dir_.path() / "err").string();
  ::setenv("OMP_WAIT_POLICY", "passive", 1);  // threads that wait must not spin while other tests need the cores
  pid_ = ::fork();
  if (pid_ == 0) {
    const int files[] = {::open(in.c_str(), O_RDONLY), ::open(out.c_str(), O_WRONLY), ::open(err.c_str(), O_WRONLY)};
    for (int i = 0; i < 3; ++i) ::dup2(files[i], i);
    if (file_bytes > 0) {
      const rlimit limit{static_cast<rlim_t>(file_bytes), static_cast<rlim_t>(file_bytes)};
      ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
}

Program::~Program() {
  if (pid_ <= 0) return;
  signal(SIGKILL);
  wait();
}

void Program::signal(int number) const { ::kill(pid_, number); }

Outcome Program::wait() {
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  return {.exit = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status),
          .out = read_file(dir_.path() / "out"),
          .err = read_file(dir_.path() / "err")};
}

std::vector<OrderedJson> rows_of(const std::string& text) {
  std::vector<OrderedJson> rows;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) rows.push_back(parse_ordered_json(line, "row"));
  return rows;
}

std::vector<OrderedJson> rows_in(const std::string& path) { return rows_of(read_file(path)); }

OrderedJson without_timing(OrderedJson row) {
  row.erase("timing");
  return row;
}

std::string questions(int count, int first) {
  std::istringstream lines(read_file(repo_path("models/tiny-reasoner/data/test.jsonl")));
  std::string text, line;
  for (int i = 0; i < first + count && std::getline(lines, line); ++i) {
    if (i < first) continue;
    OrderedJson row = {{"id", cat("q", i)}};
    row.update(OrderedJson::parse(line));
    text += row.dump() + "\n";
  }
  return text;
}

}  // namespace kvgauge::testing
