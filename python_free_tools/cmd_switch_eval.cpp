#include <cstdio>
#include <filesystem>
#include <memory>

#include "cli.h"
#include "core/cat.h"
#include "grade/grader.h"
#include "kvgauge/error.h"
#include "option_values.h"
#include "report/switch_html.h"
#include "result_file.h"
#include "switch_evaluator.h"

namespace kvgauge::cli {
namespace {

constexpr const char* kExamples = R"(
The questions need right answers (gold, answer or solution). Settings given as lists need --validation: they are chosen there.

Examples:
  kvgauge switch-eval --input test.jsonl --difficulty head.safetensors
  kvgauge switch-eval --input test.jsonl --difficulty head.safetensors --validation val.jsonl --keep 0.97 --sweep
  kvgauge switch-eval --input test.jsonl --difficulty head.safetensors --no-two-step --tau 40 --format json --output r.json
  kvgauge switch-eval --input test.jsonl --difficulty prompt.safetensors --two-step-head close.safetensors --start slow \
      --tau-fast 20,30,40 --interval 4,8 --patience 1,2 --validation val.jsonl --runs runs --format html --output r.html
  kvgauge switch-eval --input test.jsonl --difficulty 2x48.safetensors --heads 1x96.safetensors,6x16.safetensors \
      --validation val.jsonl --no-two-step
)";

void check(const SwitchEvalOptions& o) {
  if (o.input.empty()) throw UsageError("--input: not given, a JSONL file of questions or - for stdin was needed");
  if (o.difficulty.empty()) throw UsageError("--difficulty: not given, a head made by `kvgauge train` was needed");
  for (const auto& [flag, path] : {std::pair("--input", o.input), std::pair("--validation", o.validation)})
    if (!path.empty() && path != "-" && !std::filesystem::exists(path))
      throw InputError(cat(flag, ": ", path, ": no such file"));
  if (o.validation == "-") throw UsageError("--validation: found '-', a file was needed");
  check_questions(o.questions);
  if (!o.tau.empty()) parse_real("--tau", o.tau, -1e9, 1e9);
  if (o.validation.empty()) {
    if (o.keep_given) throw UsageError("--keep: settings are chosen on --validation, which is not given; add it");
    if (o.margin_given) throw UsageError("--margin: settings are chosen on --validation, which is not given; add it");
  }
  if (o.two_step.off && !o.two_step_head.empty())
    throw UsageError("--two-step-head: --no-two-step runs none; drop one of them");
  if (!o.two_step_head.empty() && !o.heads.empty())
    throw UsageError(
        "--heads: every head is evaluated with both strategies, --two-step-head has one of its own; drop one of them");
  if (o.sampling.temperature == 0) {
    const auto refuse = [](bool given, const char* flag) {
      if (given) throw UsageError(cat(flag, ": has no effect at temperature 0 (greedy); give --temperature"));
    };
    refuse(o.sampling.top_p != 1, "--top-p");
    refuse(o.sampling.top_k != 0, "--top-k");
    refuse(o.sampling.min_p != 0, "--min-p");
  }
  if (score_spec(o).coe && !o.two_step.off && o.two_step.start == "difficulty")
    throw UsageError(
        "--scores: hidden-state CoE needs to know where the prompt ends before it is computed, --start difficulty "
        "decides it then; drop coe, or give --start slow or fast");
  check_two_step(o.two_step, !o.validation.empty(), o.tau);
}

std::vector<Head> read_heads(const SwitchEvalOptions& o) {
  std::vector<std::string> paths = {o.difficulty};
  if (!o.two_step_head.empty()) paths.push_back(o.two_step_head);
  if (!o.heads.empty())
    for (const std::string& path : split_list(o.heads)) paths.push_back(path);
  std::vector<Head> heads;
  for (const std::string& path : paths)
    heads.push_back({.path = path, .head = read_difficulty_head(path), .tau = kUndefined, .choice = {}});
  return heads;
}

std::string written(const SwitchReport& report, const std::string& format) {
  if (format == "html") return switch_html(report);
  if (format == "json") return switch_json(report).dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
  return switch_markdown(report);
}

int switch_eval(const SwitchEvalOptions& o) {
  check(o);
  std::vector<Head> heads = read_heads(o);
  const EngineOptions options = engine_options(o.model);
  ResultFile output(o.output);
  Engine engine(options);
  if (!o.quiet) std::fputs(cat("kvgauge: ", engine.config().name, " on ", engine.describe(), "\n").c_str(), stderr);
  SwitchEvaluator evaluator(o, std::move(heads), engine);
  SwitchReport report;
  try {
    report = evaluator.report();
  } catch (const SwitchInterrupted&) {
    std::fputs(
        cat("kvgauge: interrupted",
            o.runs.empty() ? "; with --runs a rerun would go on from here" : "; the same command goes on from here",
            "\n")
            .c_str(),
        stderr);
    return kInterrupted;
  }
  output.write(written(report, o.format));
  output.finish();
  const std::int64_t failed = report.input.failed + (report.validation ? report.validation->failed : 0);
  if (failed > 0 && !o.quiet)
    std::fputs(cat("kvgauge: warning: ", failed, " rows failed and are left out; the first: ",
                   report.input.failed > 0 ? report.input.first_error : report.validation->first_error, "\n")
                   .c_str(),
               stderr);
  return failed > 0 ? kRowsFailed : kDone;
}

}  // namespace

Command add_switch_eval(CLI::App& root) {
  CLI::App* const app = root.add_subcommand(
      "switch-eval", "What thinking only where it pays brings: accuracy and tokens beside always-fast and always-slow");
  const auto o = std::make_shared<SwitchEvalOptions>();
  add_text(*app, "--input", o->input, "FILE", "questions with right answers, JSONL, or - for stdin");
  add_text(*app, "--difficulty", o->difficulty, "FILE", "the head, made by `kvgauge train`");
  add_text(*app, "--two-step-head", o->two_step_head, "FILE", "another head for two-step (that of --difficulty)");
  add_text(*app, "--heads", o->heads, "FILE,...", "further heads to compare, each with both strategies");
  add_text(*app, "--validation,--choose-on", o->validation, "FILE", "questions on which settings are chosen");
  o->keep_given = o->margin_given = false;
  CLI::Option* const keep = add_real(*app, "--keep", o->keep, 0, 10,
                                     "share of always-slow's accuracy that a setting must keep on --validation (0.97)");
  CLI::Option* const margin =
      add_real(*app, "--margin", o->margin, 0, 10, "added to --keep, against chance in the choice (0.01)");
  add_text(*app, "--tau", o->tau, "D", "one-step: slow if d is above (chosen on --validation, else 50)");
  add_two_step_options(*app, o->two_step);
  app->add_flag("--sweep", o->sweep, "add the curve over tau, and run every two-step setting on --input");
  add_question_options(*app, o->questions);
  add_count(*app, "--max-tokens", o->max_tokens, 1, kMany, "longest answer in tokens, all segments together (8192)");
  add_sampling_options(*app, o->sampling);
  add_text(*app, "--scores", o->scores, "all|none|LIST", "score groups kept in the rows of --runs (none)");
  add_text(*app, "--runs", o->runs, "DIR",
           "keep every answer there; a rerun takes what it finds and generates the rest");
  add_text(*app, "--output", o->output, "FILE", "the report, or - for stdout (the default)");
  add_choice(*app, "--format", o->format, {"md", "json", "html"}, "of the report (md)");
  add_count(*app, "--limit", o->limit, 1, kMany, "only the first N questions of --input");
  add_count(*app, "--resamples", o->resamples, 1, 1000000, "bootstrap resamples behind each interval (2000)");
  add_count(*app, "--seed", o->seed, 0, INT64_MAX, "of sampling and of the bootstrap (0)");
  app->add_flag("--quiet", o->quiet, "no progress, no warnings");
  add_model_options(*app, o->model);
  app->footer(kExamples);
  return {app, [o, keep, margin] {
            o->keep_given = keep->count() > 0;
            o->margin_given = margin->count() > 0;
            return switch_eval(*o);
          }};
}

}  // namespace kvgauge::cli
