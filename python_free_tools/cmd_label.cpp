#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>

#include "cli.h"
#include "common_options.h"
#include "core/cat.h"
#include "core/printable.h"
#include "gold_answer.h"
#include "kvgauge/error.h"
#include "label_task.h"
#include "loader/model_files.h"
#include "option_values.h"
#include "question_prompts.h"
#include "report/label_row.h"
#include "requests.h"
#include "result_file.h"

namespace kvgauge::cli {
namespace {

constexpr const char* kExamples = R"(
Sampling is the model's own (generation_config.json; greedy where it has no sampling) unless --temperature says otherwise.

Examples:
  kvgauge label --input train.jsonl --output labels.jsonl --dataset gsm8k
  kvgauge label --input train.jsonl --output labels.jsonl --dataset gsm8k --checkpoints 16    (for `train --rows both`)
  kvgauge label --model Qwen3-8B --input math_train.jsonl --output labels.jsonl --dataset math --seeds 4
  kvgauge label --model Qwen3-8B --input train.jsonl --output labels.jsonl --prompt-set paper --temperature 0
  kvgauge label --input train.jsonl --output labels.jsonl --dataset gsm8k --resume            (after an interruption)
  kvgauge label --relabel --input labels.jsonl --output other.jsonl --easy-tokens 64          (generates nothing)
)";

constexpr std::int64_t kRowsAhead = 4;  ///< batches; a row takes many requests
constexpr std::size_t kModelDigits = 12;

struct LabelOptions {
  ModelOptions model;
  JobOptions job;
  QuestionOptions questions;
  std::int64_t seeds = 1, fast_tokens = 2048, slow_tokens = 8192, easy_tokens = LabelRule{}.easy_tokens;
  double temperature = -1, top_p = -1, min_p = -1;  ///< negative: not given
  std::int64_t top_k = -1;
  std::string checkpoints;
  std::int64_t most_checkpoints = 0, checkpoint_questions = 0;
  std::vector<std::string> carry;
  bool relabel = false;
};

std::optional<CheckpointPlan> checkpoint_plan(const LabelOptions& o) {
  if (o.checkpoints.empty()) {
    for (const auto& [given, flag] :
         {std::pair{o.most_checkpoints, "--max-checkpoints"}, {o.checkpoint_questions, "--checkpoint-questions"}})
      if (given > 0) throw UsageError(cat(flag, ": --checkpoints is not given; add it"));
    return std::nullopt;
  }
  CheckpointPlan plan{.interval = 0, .lines = false, .most = o.most_checkpoints};
  for (const std::string& part : split_list(o.checkpoints)) {
    if (part == "lines" && !plan.lines) {
      plan.lines = true;
      continue;
    }
    if (plan.interval > 0 || part.empty() || part.find_first_not_of("0123456789") != std::string::npos)
      throw UsageError(cat("--checkpoints: found '", printable(o.checkpoints),
                           "', a number of tokens, lines, or both as in 2,lines was needed"));
    plan.interval = parse_count("--checkpoints", part, 1, INT32_MAX);
  }
  return plan;
}

void check(const LabelOptions& o) {
  check_job(o.job);
  check_questions(o.questions);
  static_cast<void>(checkpoint_plan(o));
  if (o.seeds > 1 && o.temperature == 0)
    throw UsageError(cat("--seeds: ", o.seeds, " generations would be the same at --temperature 0; raise it"));
}

/// The flags over what the model's generation config says. @throws UsageError where several seeds would be the same
SamplingParams sampling_of(const LabelOptions& o, const GenerationDefaults& generation) {
  SamplingParams sampling = own_sampling(generation);
  if (o.temperature >= 0) sampling.temperature = o.temperature;
  if (o.top_p >= 0) sampling.top_p = o.top_p;
  if (o.min_p >= 0) sampling.min_p = o.min_p;
  if (o.top_k >= 0) sampling.top_k = o.top_k;
  sampling.seed = static_cast<std::uint64_t>(o.job.seed);
  if (sampling.temperature > 0) return sampling;
  const auto refuse = [](bool given, const char* flag) {
    if (given)
      throw UsageError(cat(flag, ": sampling is greedy, as the model's generation config has it; give --temperature"));
  };
  refuse(o.seeds > 1, "--seeds");
  refuse(o.top_p >= 0, "--top-p");
  refuse(o.min_p >= 0, "--min-p");
  refuse(o.top_k >= 0, "--top-k");
  return sampling;
}

Manifest manifest_of(const LabelOptions& o, const SamplingParams& sampling) {
  Manifest manifest;
  manifest.verb = "label";
  OrderedJson& to = manifest.settings;
  put_settings(to, o.model);
  to["dataset"] = name(o.questions.graded_as());
  to["prompt-set"] = o.questions.prompt_set;
  to["prompt-template"] = o.questions.prompt_template;
  to["think-open"] = o.questions.tags.open;
  to["think-close"] = o.questions.tags.close;
  to["fast-prefix"] = o.questions.tags.fast_prefix;
  to["seed"] = o.job.seed;
  to["seeds"] = o.seeds;
  to["fast-max-tokens"] = o.fast_tokens;
  to["slow-max-tokens"] = o.slow_tokens;
  to["easy-tokens"] = o.easy_tokens;
  to["temperature"] = sampling.temperature;
  to["top-p"] = sampling.top_p;
  to["min-p"] = sampling.min_p;
  to["top-k"] = sampling.top_k;
  to["checkpoints"] = o.checkpoints;
  to["max-checkpoints"] = o.most_checkpoints;
  to["checkpoint-questions"] = o.checkpoint_questions;
  to["carry"] = o.carry;
  return manifest;
}

/// What labels files are about, in a line.
class Summary {
 public:
  void add(const LabelRow& row) {
    ++labels_[row.label];
    add(fast_, row.fast);
    add(slow_, row.slow);
    for (const LabelledCheckpoint& checkpoint : row.checkpoints) add(closings_, {checkpoint.closing});
  }
  std::string text() const {
    std::string shares;
    double sum = 0, rows = 0;
    for (const auto& [label, count] : labels_) {
      sum += label * static_cast<double>(count);
      rows += static_cast<double>(count);
      if (labels_.size() <= 8) shares += fmt::format("{}{:g}: {}", shares.empty() ? "" : ", ", label, count);
    }
    if (rows == 0) return "no row has a label";
    return cat(fmt::format("mean label {:.1f}", sum / rows), shares.empty() ? "" : cat(" (", shares, ")"), "; fast ",
               fast_.text(), "; slow ", slow_.text(),
               closings_.count > 0 ? cat("; closed at checkpoints ", closings_.text()) : "");
  }

 private:
  struct Side {
    double count = 0, correct = 0, tokens = 0, cut = 0;
    std::string text() const {
      return fmt::format("{:.1f} % right, {:.1f} tokens{}", 100 * correct / count, tokens / count,
                         cut > 0 ? fmt::format(", {:g} cut off", cut) : "");
    }
  };
  static void add(Side& side, const std::vector<LabelledGeneration>& generations) {
    for (const LabelledGeneration& generation : generations) {
      side.count += 1;
      side.correct += generation.outcome.correct ? 1 : 0;
      side.tokens += static_cast<double>(generation.outcome.tokens);
      side.cut += generation.outcome.finished ? 0 : 1;
    }
  }
  std::map<double, std::int64_t> labels_;
  Side fast_, slow_, closings_;
};

void say(const LabelOptions& o, const std::string& text) {
  if (!o.job.quiet) std::fputs(cat("kvgauge: ", text, "\n").c_str(), stderr);
}

void summarize(const LabelOptions& o) {
  std::error_code ignored;
  if (o.job.quiet || !std::filesystem::is_regular_file(o.job.output, ignored)) return;
  Summary summary;
  JsonlReader reader(o.job.output);
  while (const auto line = reader.next()) {
    const OrderedJson row = parse_row(*line, o.job.output);
    if (!given(row, "error")) summary.add(read_label_row(row));
  }
  say(o, summary.text());
}

int label(const LabelOptions& o) {
  Job job;
  job.engine = engine_options(o.model);
  const SamplingParams sampling = sampling_of(o, ModelFiles::open(job.engine.model).generation());
  job.manifest = manifest_of(o, sampling);
  job.options = o.job;
  job.rows.prompt_template = o.questions.prompt_template;
  job.rows.bare_question = o.questions.paper();
  job.rows.carry = o.carry;
  job.window_batches = kRowsAhead;
  job.open_tasks = [&o, sampling](const Engine& engine) -> std::function<std::unique_ptr<RowTask>(const InputRow&)> {
    const LabelPlan plan{.prompts = QuestionPrompts(engine, o.questions),
                         .tokenizer = &engine.tokenizer(),
                         .sampling = sampling,
                         .seeds = o.seeds,
                         .fast_tokens = o.fast_tokens,
                         .slow_tokens = o.slow_tokens,
                         .context = engine.max_model_len(),
                         .model = engine.files().content_hash().substr(0, kModelDigits),
                         .checkpoints = checkpoint_plan(o),
                         .checkpoint_questions = o.checkpoint_questions,
                         .dataset = o.questions.graded_as(),
                         .rule = {.easy_tokens = o.easy_tokens}};
    return
        [plan = std::make_shared<const LabelPlan>(plan)](const InputRow& row) { return make_label_task(*plan, row); };
  };
  const int code = run_job(std::move(job));
  summarize(o);
  return code;
}

/// New labels for old generations; graded again only if --dataset says how.
void relabel_row(OrderedJson& json, const LabelOptions& o, Summary& summary) {
  if (const OrderedJson* const error = given(json, "error"); error && error->is_string())
    throw RequestError(error->get<std::string>());
  LabelRow row = read_label_row(json);
  if (o.questions.dataset_flag->count() > 0) {
    const auto gold = gold_of(json);
    if (!gold) throw RequestError("no right answer to grade by, one of gold, answer or solution was needed");
    const auto grade_again = [&](LabelledGeneration& generation) {
      Grade grade = kvgauge::grade(o.questions.graded_as(), generation.text, gold->text,
                                   {.finished = generation.outcome.finished, .answer_type = gold->answer_type});
      generation.outcome.correct = grade.correct;
      generation.predicted = std::move(grade.predicted);
    };
    for (LabelledGeneration& generation : row.fast) grade_again(generation);
    for (LabelledGeneration& generation : row.slow) grade_again(generation);
    for (LabelledCheckpoint& checkpoint : row.checkpoints) grade_again(checkpoint.closing);
  }
  row.label = label_of(row, {.easy_tokens = o.easy_tokens});
  summary.add(row);
  json = label_row_json(row, json);
}

int relabel(const LabelOptions& o) {
  JsonlReader input(o.job.input);
  ResultFile output(o.job.output);
  Summary summary;
  std::int64_t rows = 0, failed = 0;
  while (const auto line = input.next()) {
    if (o.job.limit > 0 && rows == o.job.limit) break;
    const std::string where = cat(input.name(), ":", line->number);
    OrderedJson row = parse_row(*line, where);
    // A row that failed stays one.
    try {
      relabel_row(row, o, summary);
    } catch (const RequestError& error) {
      ++failed;
      if (!given(row, "error")) row["error"] = cat(where, ": ", error.what());
    }
    output.write(to_line(row) + "\n");
    ++rows;
  }
  output.finish();
  say(o, cat(rows, " rows, ", failed, " failed; ", summary.text()));
  return failed > 0 ? kRowsFailed : kDone;
}

/// Refuses flags that say how to generate.
void check_relabel(const CLI::App& app) {
  static constexpr const char* kTaken[] = {"--help",  "--relabel",     "--input", "--output",   "--dataset",
                                           "--limit", "--easy-tokens", "--quiet", "--log-level"};
  for (const CLI::Option* const option : app.get_options()) {
    const std::string flag = option->get_name();
    if (option->count() > 0 && std::find(std::begin(kTaken), std::end(kTaken), flag) == std::end(kTaken) &&
        flag != "-h,--help")
      throw UsageError(cat(flag, ": --relabel generates nothing; drop one of them"));
  }
}

}  // namespace

Command add_label(CLI::App& root) {
  CLI::App* const app = root.add_subcommand(
      "label", "Measure how difficult questions are for a model: a fast and a slow answer each, graded, 0 to 100");
  const auto o = std::make_shared<LabelOptions>();
  add_model_options(*app, o->model);
  add_job_options(*app, o->job);
  add_question_options(*app, o->questions);
  add_count(*app, "--seeds", o->seeds, 1, 1024, "pairs of a fast and a slow answer; the label is their mean (1)");
  add_count(*app, "--fast-max-tokens", o->fast_tokens, 1, kMany, "longest fast answer (2048)");
  add_count(*app, "--slow-max-tokens", o->slow_tokens, 1, kMany, "longest slow answer, thinking included (8192)");
  add_real(*app, "--temperature", o->temperature, 0, 100, "0 is greedy (the model's own)");
  add_real(*app, "--top-p", o->top_p, 0, 1, "(the model's own)");
  add_count(*app, "--top-k", o->top_k, 0, INT32_MAX, "(the model's own)");
  add_real(*app, "--min-p", o->min_p, 0, 1, "(0)");
  add_count(*app, "--easy-tokens", o->easy_tokens, 0, kMany,
            "a right fast answer is 0 if it has fewer tokens, else 25 (128)");
  add_text(
      *app, "--checkpoints", o->checkpoints, "N|lines|N,lines",
      "also close the first slow answer's think block every N tokens or behind every line, and grade what follows");
  add_count(*app, "--checkpoint-questions", o->checkpoint_questions, 1, kMany,
            "only in the first N rows of the input (all)");
  add_count(*app, "--max-checkpoints", o->most_checkpoints, 1, INT32_MAX, "of one answer, spread evenly (all)");
  app->add_option("--carry", o->carry, "a field to carry through, beside gold, answer, ...; may be given several times")
      ->type_name("NAME")
      ->allow_extra_args(false);
  app->add_flag("--relabel", o->relabel,
                "--input is a labels file: new labels by --easy-tokens, graded again if --dataset is given");
  app->footer(kExamples);
  return {app, [app, o] {
            if (o->relabel) check_relabel(*app);
            check(*o);
            return o->relabel ? relabel(*o) : label(*o);
          }};
}

}  // namespace kvgauge::cli
