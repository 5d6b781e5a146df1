#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "difficulty/switch_evaluation.h"

namespace kvgauge {

/// A file of questions and what was left of it.
struct SwitchQuestions {
  std::string path, sha256;        ///< the hash is empty for a pipe
  std::int64_t n = 0, failed = 0;  ///< evaluated; rows that could not be
  std::int64_t also_in_input = 0;  ///< validation questions that the input has too: left out
  std::string first_error;
};

/// What a strategy is beside its means.
struct ReportedStrategy {
  StrategyResult result;
  double vs_random_p = kUndefined;  ///< undefined: nothing to compare
  std::string vs_random_test;       ///< "permutation" or "bootstrap"
};

/// A threshold, or a two-step setting, and what it reached on the validation questions.
struct SwitchChoice {
  std::string of;  ///< "one-step", "length-router", "two-step"
  OrderedJson settings = OrderedJson::object();
  double accuracy = kUndefined, processed = kUndefined, slow_share = kUndefined;
  bool met = false, chosen = true;
};

/// A head beside others: both strategies by it.
struct ReportedHead {
  std::string path, id;
  OrderedJson facts = OrderedJson::object();  ///< window, layers, part, ...
  double auroc = kUndefined;                  ///< of d: does the fast answer fail?
  double length_spearman = kUndefined;        ///< of d with the prompt's length
  StrategyResult one_step;
  std::optional<StrategyResult> two_step;
};

/// Everything a report of `switch-eval` says.
struct SwitchReport {
  std::vector<ReportedStrategy> strategies;
  std::vector<PairedDifference> comparisons;
  std::vector<StrategyResult> sweep_one_step, sweep_length, sweep_two_step;  ///< empty: no sweep
  std::vector<ReportedHead> heads;                                           ///< empty: one head only
  std::vector<SwitchChoice> choices;
  double keep = kUndefined, margin = kUndefined;  ///< undefined: nothing was chosen
  SwitchQuestions input;
  std::optional<SwitchQuestions> validation;
  std::vector<SwitchQuestion> questions;  ///< for the figure of d
  BootstrapOptions bootstrap;
  OrderedJson provenance = OrderedJson::object();  ///< model, engine, dataset, heads, settings of the job
};

/// The fields of the command line's contract (fractions, undefined numbers null) and more: docs/cli/switch-eval.md.
OrderedJson switch_json(const SwitchReport& report);
std::string switch_markdown(const SwitchReport& report);
/// "tau 62.1, interval 8"; what is switched off is left out.
std::string settings_text(const OrderedJson& settings);

}  // namespace kvgauge
