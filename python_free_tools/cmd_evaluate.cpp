#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>

#include "cli.h"
#include "core/cat.h"
#include "core/json.h"
#include "core/mapped_file.h"
#include "core/printable.h"
#include "grade/grader.h"
#include "kvgauge/error.h"
#include "metrics/evaluation.h"
#include "option_values.h"
#include "report/evaluation_html.h"
#include "report/evaluation_report.h"
#include "report/graded_rows.h"
#include "report/input_row.h"
#include "report/jsonl_reader.h"
#include "report/manifest.h"
#include "result_file.h"

namespace kvgauge::cli {
namespace {

constexpr const char* kExamples = R"(
Examples:
  kvgauge evaluate --input graded.jsonl
  kvgauge evaluate --input graded.jsonl --score kv_coe.normalized.c --score prob.nll --format json --output evaluation.json
  kvgauge evaluate --input graded.jsonl --format html --output report.html
  kvgauge evaluate --input graded.jsonl --compare kv_coe.normalized.c prob.nll --against none
)";

struct EvaluateOptions {
  std::string input, output = "-", format = "md", nan_policy = "worst", against = "neg_length", manifest,
                     label = "correct", dataset;
  std::vector<std::string> scores, compare;  // compare: pairs, flat
  std::int64_t seed = 0, resamples = 1000;
  bool quiet = false;
};

bool is_baseline(const std::string& score) { return score == "neg_length" || score == "complete"; }

/// The flag that asks for each score, for messages.
std::vector<std::pair<const char*, std::string>> compared_scores(const EvaluateOptions& o) {
  std::vector<std::pair<const char*, std::string>> out;
  if (!o.against.empty() && o.against != "none") out.emplace_back("--against", o.against);
  for (const std::string& score : o.compare) out.emplace_back("--compare", score);
  return out;
}

std::vector<std::string> wanted_scores(const EvaluateOptions& o) {
  std::vector<std::string> wanted = o.scores;
  if (wanted.empty()) return wanted;
  for (const auto& [flag, score] : compared_scores(o))
    if (!is_baseline(score) && std::find(wanted.begin(), wanted.end(), score) == wanted.end()) wanted.push_back(score);
  return wanted;
}

// That of the answers beside the input unless one is named.
std::optional<Json> manifest_of(const EvaluateOptions& o, const JsonlReader& input) {
  if (!o.manifest.empty()) {
    Json manifest = parse_json(MappedFile(o.manifest).text(), o.manifest);
    if (!manifest.is_object()) throw FormatError(cat(o.manifest, ": no object, a manifest of kvgauge was needed"));
    return manifest;
  }
  return input.is_regular() ? read_manifest(o.input) : std::nullopt;
}

EvaluationOptions evaluation_options(const EvaluateOptions& o, const GradedRows& rows) {
  const std::vector<std::string> names = rows.score_names();
  for (const auto& [flag, score] : compared_scores(o))
    if (!is_baseline(score) && std::find(names.begin(), names.end(), score) == names.end())
      throw UsageError(cat(flag, ": no row has '", printable(score), "' under 'scores'; neg_length and complete are ",
                           "the baselines"));
  EvaluationOptions options{
      .nan_policy = parse_nan_policy(o.nan_policy),
      .bootstrap = {.resamples = static_cast<int>(o.resamples), .seed = static_cast<std::uint64_t>(o.seed)},
      .against = o.against == "none" ? "" : o.against};
  for (std::size_t i = 0; i + 1 < o.compare.size(); i += 2)
    options.compare.emplace_back(o.compare[i], o.compare[i + 1]);
  return options;
}

std::string written(const EvaluationReport& report, const GradedRows& rows, const std::string& format) {
  if (format == "html") return evaluation_html(report, rows);
  if (format == "json")
    return evaluation_json(report).dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
  if (format == "csv") return evaluation_csv(report);
  return evaluation_markdown(report);
}

int evaluate(const EvaluateOptions& o) {
  if (o.input.empty()) throw UsageError("--input: not given, a graded JSONL file or - for stdin was needed");
  if (o.compare.size() % 2 != 0)
    throw UsageError(cat("--compare: found one score, '", printable(o.compare.back()), "', two were needed"));
  ResultFile output(o.output);
  JsonlReader input(o.input);
  GradedRowsOptions reading{.wanted = wanted_scores(o), .label = o.label};
  if (!o.dataset.empty()) reading.dataset = parse_dataset(o.dataset);
  GradedRows rows(std::move(reading));
  while (const auto line = input.next()) {
    const std::string where = cat(input.name(), ":", line->number);
    rows.add(parse_row(*line, where), where);
  }
  rows.finish(input.name());
  const EvaluationOptions options = evaluation_options(o, rows);
  EvaluationReport report{.evaluation = kvgauge::evaluate(rows.columns(), options),
                          .selection = rows.selection().result(rows.score_names(), options.bootstrap),
                          .label = o.label,
                          .released_graded = rows.released_graded(),
                          .released_correct = rows.released_correct(),
                          .input = input.name(),
                          .input_sha256 = input.is_regular() ? inspect_input(o.input).sha256 : "",
                          .failed = rows.failed(),
                          .first_error = rows.first_error(),
                          .ungraded_candidates = rows.ungraded_candidates(),
                          .manifest = manifest_of(o, input)};
  output.write(written(report, rows, o.format));
  output.finish();
  if (rows.failed() > 0 && !o.quiet)
    std::fputs(cat("kvgauge: ", rows.failed(), " rows with an error are left out\n").c_str(), stderr);
  return kDone;
}

}  // namespace

Command add_evaluate(CLI::App& root) {
  CLI::App* const app = root.add_subcommand(
      "evaluate", "How well scores tell right answers from wrong ones: accuracy, AUROC, FPR95, AUPR, PRR");
  const auto o = std::make_shared<EvaluateOptions>();
  add_text(*app, "--input", o->input, "FILE", "graded JSONL (rows of `kvgauge grade`), or - for stdin");
  add_text(*app, "--output", o->output, "FILE", "the report, or - for stdout (the default)");
  add_choice(*app, "--format", o->format, {"md", "json", "csv", "html"}, "of the report (md)");
  app->add_option("--score", o->scores,
                  "only this score, by its dotted path under 'scores'; may be given several times")
      ->type_name("PATH")
      ->allow_extra_args(false);
  add_text(*app, "--against", o->against, "PATH",
           "the score that every other one is compared with (neg_length: does it beat the length?); none for none");
  app->add_option("--compare", o->compare,
                  "two scores to compare: DeLong and paired bootstrap; may be given several times")
      ->type_name("A B")
      ->expected(2)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  add_choice(*app, "--label", o->label, {"correct", "paper_correct"},
             "the truth: our grader's or the released ones' (correct)");
  add_text(*app, "--dataset", o->dataset, "exact|gsm8k|math|theoremqa|csqa",
           "in a majority vote, predictions that this grader finds equal vote together; left out: equal texts do");
  add_text(*app, "--manifest", o->manifest, "FILE",
           "of the job that made the answers, for the report's header (INPUT.manifest.json)");
  add_count(*app, "--resamples", o->resamples, 1, 1000000, "bootstrap resamples behind each interval (1000)");
  add_count(*app, "--seed", o->seed, 0, INT64_MAX, "of the bootstrap (0)");
  add_choice(*app, "--nan-policy", o->nan_policy, {"worst", "drop", "zero"},
             "what an undefined score counts as (worst)");
  app->add_flag("--quiet", o->quiet, "no warnings");
  app->footer(kExamples);
  return {app, [o] { return evaluate(*o); }};
}

}  // namespace kvgauge::cli
