#pragma once
#include <cstddef>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "core/json.h"
#include "grade/grader.h"
#include "support/paths.h"

namespace kvgauge::testing {

inline std::vector<Json> json_lines(const std::filesystem::path& path) {
  std::vector<Json> rows;
  std::istringstream lines(read_file(path));
  for (std::string line; std::getline(lines, line);)
    if (!line.empty()) rows.push_back(parse_json(line, path.filename().string()));
  return rows;
}

inline std::vector<Json> golden_lines(const char* file) {
  return json_lines(repo_path(std::string("tests/golden/") + file));
}

/// The dataset of a case; its name there may be the long one.
inline Dataset dataset_of(const Json& c) {
  const auto name = c["dataset"].get<std::string>();
  return parse_dataset(name == "commonsenseqa" ? "csqa" : name);
}

inline std::string text_of(const Json& c, const char* key) { return c[key].get<std::string>(); }

/// A pair of tests/grade/equivalent_answers.txt.
struct AnswerPair {
  std::string a, b;
  bool are_equal = false;
};

inline std::vector<AnswerPair> answer_pairs() {
  std::vector<AnswerPair> pairs;
  std::istringstream lines(read_file(repo_path("tests/grade/equivalent_answers.txt")));
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') continue;
    const std::size_t equal = line.find(" === "), at = equal == std::string::npos ? line.find(" =/= ") : equal;
    if (at != std::string::npos) pairs.push_back({line.substr(0, at), line.substr(at + 5), equal != std::string::npos});
  }
  return pairs;
}

}  // namespace kvgauge::testing
