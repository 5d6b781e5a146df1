#pragma once
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <functional>
#include <string>

namespace kvgauge::cli {

/// Exit codes (docs/cli/README.md). Errors are exceptions: main() maps their types to the last four.
inline constexpr int kDone = 0;
inline constexpr int kRowsFailed = 1;  ///< finished, but some rows carry an `error`
inline constexpr int kBadUsage = 2;
inline constexpr int kBadInput = 3;   ///< model or input file
inline constexpr int kBadDevice = 4;  ///< device, memory, or output that cannot be written
inline constexpr int kInterrupted = 130;

/// A verb: its options are in `app`, and `run` does the work after they have been parsed.
struct Command {
  CLI::App* app = nullptr;
  std::function<int()> run;
};

// In the order in which a newcomer meets them.
Command add_run(CLI::App& root);
Command add_chat(CLI::App& root);
Command add_score(CLI::App& root);
Command add_grade(CLI::App& root);
Command add_evaluate(CLI::App& root);
Command add_embed(CLI::App& root);
Command add_classify(CLI::App& root);
Command add_label(CLI::App& root);
Command add_train(CLI::App& root);
Command add_switch_eval(CLI::App& root);
Command add_inspect(CLI::App& root);
Command add_tokenize(CLI::App& root);
Command add_bench(CLI::App& root);

}  // namespace kvgauge::cli
