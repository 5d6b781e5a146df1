#pragma once
#include <CLI/App.hpp>
#include <string>
#include <vector>

#include "common_options.h"

namespace kvgauge::cli {

/// `score --kv`: caches that another stack exported, and how they are gauged.
struct DumpJob {
  std::vector<std::string> places;  ///< safetensors files, or folders of them
  std::string output = "-";
  ScoreOptions scores = {};
  bool span_given = false;  ///< else a dump's own metadata says which positions
  int threads = 0;
};

/// Every flag that was given has a meaning for dumps. @throws UsageError naming the first that has none
void check_dump_flags(const CLI::App& app);

/// One row for each file, in the order of `places`, a folder's files by name. No model is opened.
/// @return kDone
/// @throws InputError, FormatError, ConfigError naming the file and what is wrong in it; OutputError
int score_dumps(const DumpJob& job);

}  // namespace kvgauge::cli
