#include <algorithm>
#include <cstdio>
#include <memory>

#include "cli.h"
#include "core/cat.h"
#include "core/printable.h"
#include "kvgauge/error.h"
#include "metrics/evaluation.h"
#include "option_values.h"
#include "report/evaluation_report.h"
#include "report/input_row.h"
#include "report/jsonl_reader.h"
#include "report/output_row.h"
#include "result_file.h"

namespace kvgauge::cli {
namespace {

constexpr const char* kExamples = R"(
Examples:
  kvgauge evaluate --input graded.jsonl
  kvgauge evaluate --input graded.jsonl --score kv_coe.normalized.c --score prob.nll --format json --output evaluation.json
)";

struct EvaluateOptions {
  std::string input, output = "-", format = "md", nan_policy = "worst";
  std::vector<std::string> scores;
  bool quiet = false;
};

/// Graded rows as columns; a score that a row lacks is undefined there.
class Table {
 public:
  explicit Table(std::vector<std::string> wanted) : wanted_(std::move(wanted)) {
    for (const std::string& path : wanted_) column(path);
  }

  void add(const OrderedJson& row, const std::string& where) {
    const OrderedJson& ours = kvgauge_fields(row);
    for (const OrderedJson* const fields : {&row, &ours})
      if (const OrderedJson* const error = member(fields, "error"); error && !error->is_null()) {
        ++failed_;
        return;
      }
    const OrderedJson* const correct = member(&row, "correct");
    if (!correct || !correct->is_boolean())
      throw FormatError(cat(where, ": no true or false in 'correct', a row of `kvgauge grade` was needed"));
    const OrderedJson* const reason = member(&ours, "finish_reason");
    input_.correct.push_back(correct->get<bool>());
    input_.complete.push_back(!reason || *reason == "stop");
    input_.tokens.push_back(completion_tokens(ours));
    if (const OrderedJson* const scores = member(&ours, "scores")) walk(*scores, "");
    for (auto& [path, values] : input_.scores) values.resize(input_.correct.size(), kUndefined);
  }

  const EvaluationInput& finish(const std::string& file) {
    if (input_.correct.empty()) throw InputError(cat(file, ": found no graded row, at least one was needed"));
    for (const std::string& path : wanted_)
      if (!seen(path)) throw UsageError(cat("--score: no row has '", printable(path), "' under 'scores'"));
    return input_;
  }
  std::int64_t failed() const { return failed_; }

 private:
  // With n > 1, `usage` counts all answers; the row's scores are the first one's.
  static std::int64_t completion_tokens(const OrderedJson& row) {
    const OrderedJson* const candidates = member(&row, "candidates");
    const OrderedJson* const tokens = candidates && candidates->is_array() && !candidates->empty()
                                          ? member(&candidates->front(), "completion_tokens")
                                          : member(member(&row, "usage"), "completion_tokens");
    return tokens && tokens->is_number_integer() ? tokens->get<std::int64_t>() : -1;
  }

  std::vector<double>& column(const std::string& path) {
    const auto at = std::find_if(input_.scores.begin(), input_.scores.end(),
                                 [&](const auto& score) { return score.first == path; });
    return at != input_.scores.end() ? at->second : input_.scores.emplace_back(path, std::vector<double>()).second;
  }

  bool seen(const std::string& path) const { return std::find(seen_.begin(), seen_.end(), path) != seen_.end(); }

  void walk(const OrderedJson& scores, const std::string& prefix) {
    if (!scores.is_object()) return;
    for (const auto& member : scores.items()) {
      const std::string path = prefix + member.key();
      if (member.value().is_object()) walk(member.value(), path + ".");
      if (!member.value().is_number() && !member.value().is_null()) continue;
      if (!wanted_.empty() && std::find(wanted_.begin(), wanted_.end(), path) == wanted_.end()) continue;
      if (!seen(path)) seen_.push_back(path);
      std::vector<double>& values = column(path);
      values.resize(input_.correct.size(), kUndefined);
      if (member.value().is_number()) values.back() = member.value().get<double>();
    }
  }

  std::vector<std::string> wanted_, seen_;
  EvaluationInput input_;
  std::int64_t failed_ = 0;
};

int evaluate(const EvaluateOptions& o) {
  if (o.input.empty()) throw UsageError("--input: not given, a graded JSONL file or - for stdin was needed");
  if (o.format == "html") throw UsageError("--format: 'html' is not in this version, one of md, json, csv was needed");
  parse_choice("--format", o.format, {"md", "json", "csv"});
  const EvaluationOptions options{.nan_policy = parse_nan_policy(o.nan_policy)};
  JsonlReader input(o.input);
  Table table(o.scores);
  while (const auto line = input.next()) {
    const std::string where = cat(input.name(), ":", line->number);
    table.add(parse_row(*line, where), where);
  }
  const Evaluation evaluation = kvgauge::evaluate(table.finish(input.name()), options);
  ResultFile output(o.output);
  output.write(o.format == "json"  ? evaluation_json(evaluation).dump(2) + "\n"
               : o.format == "csv" ? evaluation_csv(evaluation)
                                   : evaluation_markdown(evaluation));
  output.finish();
  if (table.failed() > 0 && !o.quiet)
    std::fputs(cat("kvgauge: ", table.failed(), " rows with an error are left out\n").c_str(), stderr);
  return kDone;
}

}  // namespace

Command add_evaluate(CLI::App& root) {
  CLI::App* const app = root.add_subcommand(
      "evaluate", "How well scores tell right answers from wrong ones: accuracy, AUROC, FPR95, AUPR, PRR");
  const auto o = std::make_shared<EvaluateOptions>();
  add_text(*app, "--input", o->input, "FILE", "graded JSONL (rows of `kvgauge grade`), or - for stdin");
  add_text(*app, "--output", o->output, "FILE", "the report, or - for stdout (the default)");
  add_text(*app, "--format", o->format, "md|json|csv", "of the report (md)");
  app->add_option("--score", o->scores,
                  "only this score, by its dotted path under 'scores'; may be given several times")
      ->type_name("PATH")
      ->allow_extra_args(false);
  add_choice(*app, "--nan-policy", o->nan_policy, {"worst", "drop", "zero"},
             "what an undefined score counts as (worst)");
  app->add_flag("--quiet", o->quiet, "no warnings");
  app->footer(kExamples);
  return {app, [o] { return evaluate(*o); }};
}

}  // namespace kvgauge::cli
