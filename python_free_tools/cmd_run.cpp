#include <algorithm>
#include <cstdio>
#include <memory>

#include "cli.h"
#include "common_options.h"
#include "core/cat.h"
#include "core/printable.h"
#include "grade/grader.h"
#include "job.h"
#include "kvgauge/error.h"
#include "loader/model_config.h"
#include "option_values.h"
#include "question_prompts.h"
#include "requests.h"
#include "thinking_options.h"

namespace kvgauge::cli {
namespace {

constexpr const char* kExamples = R"(
Examples:
  kvgauge run --input questions.jsonl --output answers.jsonl
  kvgauge run --model SmolLM2.gguf --input gsm8k_test.jsonl --output answers.jsonl --max-tokens 256 --think template
  kvgauge run --input q.jsonl --output a.jsonl --temperature 0.7 --top-p 0.95 --n 5 --seed 1
  kvgauge run --input q.jsonl --output a.jsonl --temperature 0.7 --n 8 --select majority --dataset gsm8k
  kvgauge run --input q.jsonl --output a.jsonl --temperature 0.7 --n 8 --select kv_coe.normalized.c --scores all
  kvgauge run --input q.jsonl --output a.jsonl --think auto --difficulty head.safetensors     (thinks where it pays)
  kvgauge run --input q.jsonl --output a.jsonl --think on --think-budget 512
  kvgauge run --input q.jsonl --output a.jsonl --resume            (goes on after an interruption)
  echo '{"prompt":"Tom has 3 pens. He buys 4. How many has he?"}' | kvgauge run --input - --think off --quiet
)";

struct RunOptions {
  ModelOptions model;
  JobOptions job;
  PromptOptions prompts;
  ScoreOptions scores;
  ThinkingOptions thinking;
  const CLI::Option* max_tokens_flag = nullptr;
  SamplingOptions sampling;
  std::int64_t max_tokens = 512, samples = 1;
  std::vector<std::string> stop;
  bool ignore_eos = false;
  std::string select, dataset;

  /// With --think auto the controller's budgets end an answer unless --max-tokens is given as well.
  std::int64_t most_tokens() const {
    return prompts.think == "auto" && max_tokens_flag->count() == 0 ? kMany : max_tokens;
  }
  AnswerCount answers() const { return samples > 1 ? AnswerCount::kSeveral : AnswerCount::kOne; }
};

/// @throws UsageError for a path that no row of this run would have
CandidateFormat candidate_format(const RunOptions& o, const ScoreGroups& groups) {
  CandidateFormat format{.select = o.select, .semantic_entropy = groups.semantic_entropy};
  const bool reads_answers = groups.semantic_entropy || o.select == "majority";
  if (!o.dataset.empty()) {
    format.dataset = parse_dataset(o.dataset);
    if (!reads_answers)
      throw UsageError(
          "--dataset: answers are read out of texts for --select majority and --scores semantic-entropy "
          "only; add one of them");
  }
  if (o.select.empty()) return format;
  if (o.samples == 1) throw UsageError("--select: --n is 1, there is nothing to choose from; give --n 2 or more");
  if (o.select == "majority") return format;
  const std::vector<std::string> paths = score_paths(groups.spec);
  if (std::find(paths.begin(), paths.end(), o.select) != paths.end()) return format;
  const std::string meant = closest(o.select, paths);
  throw UsageError(cat("--select: found '", printable(o.select), "', majority or a score of this run was needed",
                       meant.empty() ? paths.empty() ? "; --scores is none" : cat(", e.g. ", paths.front())
                                     : cat("; did you mean ", meant, "?")));
}

void warn_of_idle_flags(const RunOptions& o) {
  if (o.sampling.temperature > 0 || o.job.quiet) return;
  const auto warn = [](const char* flag) {
    std::fputs(cat("kvgauge: warning: ", flag, ": has no effect at temperature 0 (greedy)\n").c_str(), stderr);
  };
  if (o.sampling.top_p != 1) warn("--top-p");
  if (o.sampling.top_k != 0) warn("--top-k");
  if (o.sampling.min_p != 0) warn("--min-p");
  if (o.samples != 1) warn("--n");
}

Manifest manifest_of(const RunOptions& o) {
  Manifest manifest;
  manifest.verb = "run";
  put_settings(manifest.settings, o.model);
  put_settings(manifest.settings, o.prompts);
  put_settings(manifest.settings, o.scores, o.answers());
  put_settings(manifest.settings, o.thinking);
  manifest.settings["seed"] = o.job.seed;
  manifest.settings["max-tokens"] = o.most_tokens();
  manifest.settings["temperature"] = o.sampling.temperature;
  manifest.settings["top-p"] = o.sampling.top_p;
  manifest.settings["top-k"] = o.sampling.top_k;
  manifest.settings["min-p"] = o.sampling.min_p;
  manifest.settings["stop"] = o.stop;
  manifest.settings["ignore-eos"] = o.ignore_eos;
  manifest.settings["n"] = o.samples;
  manifest.settings["select"] = o.select;
  manifest.settings["dataset"] = o.dataset;
  return manifest;
}

int run(RunOptions& o) {
  check_job(o.job);
  check_prompt(o.prompts);
  for (const std::string& stop : o.stop)
    if (stop.empty()) throw UsageError("--stop: found '', a string of at least one character was needed");
  const ScoreGroups groups = score_groups(o.scores, o.answers());
  const CandidateFormat candidates = candidate_format(o, groups);
  ScoreSpec scores = groups.spec;
  check_thinking(o.prompts, o.thinking, scores);
  warn_of_idle_flags(o);
  read_head(o.thinking);
  Job job;
  job.manifest = manifest_of(o);
  job.options = o.job;
  job.engine = engine_options(o.model);
  scores.layers = resolve_layers(o.scores, job.engine);
  job.rows.prompt_template = o.prompts.prompt_template;
  job.output = {.scores = scores,
                .text = true,
                .embedding = o.scores.embed,
                .token_ids = o.scores.output_ids,
                .head = o.thinking.head ? o.thinking.head->id : "",
                .candidates = candidates};
  job.open = [&o, scores](Engine& engine) -> std::function<Request(InputRow&)> {
    check_template(o.prompts, engine.files());
    const std::optional<DifficultyHead>& head = o.thinking.head;
    // The head of `label` and `train` says which prompts its d is for; one made elsewhere may not.
    if (head && o.prompts.think == "auto" && head->template_set.find(' ') != std::string::npos) {
      QuestionOptions questions;
      questions.prompt_template = o.prompts.prompt_template;
      questions.tags = o.thinking.text;
      QuestionPrompts(engine, questions).check_head(*head, o.thinking.difficulty);
    }
    const RequestMaker maker{.prompter = prompter_of(engine),
                             .prompts = o.prompts,
                             .sampling = o.sampling.params(o.job.seed),
                             .stop = {.max_tokens = o.most_tokens(), .stop = o.stop, .ignore_eos = o.ignore_eos},
                             .scores = scores,
                             .embedding = answer_embedding(o.scores, engine.config().layers),
                             .samples = o.samples,
                             .thinking = open_thinking(o.prompts, o.thinking, engine)};
    return [maker](const InputRow& row) { return maker.generate(row); };
  };
  return run_job(std::move(job));
}

}  // namespace

Command add_run(CLI::App& root) {
  CLI::App* const app = root.add_subcommand(
      "run", "Answer questions and score the answers in the same pass: JSONL in, one JSONL row out per question");
  const auto o = std::make_shared<RunOptions>();
  add_model_options(*app, o->model);
  add_job_options(*app, o->job);
  add_prompt_options(*app, o->prompts, true);
  add_thinking_options(*app, o->thinking);
  add_score_options(*app, o->scores);
  o->max_tokens_flag = add_count(*app, "--max-tokens", o->max_tokens, 1, kMany,
                                 "longest answer in sampled tokens (512; with --think auto the budgets')");
  add_sampling_options(*app, o->sampling);
  app->add_option("--stop", o->stop, "ends the answer and is not part of it; may be given several times")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  app->add_flag("--ignore-eos", o->ignore_eos, "do not end at the end-of-text token");
  add_count(*app, "--n", o->samples, 1, 1024, "answers per question over one shared prompt (1)");
  add_text(*app, "--select", o->select, "SCORE|majority",
           "with --n: the answer that the row shows, by a score such as kv_coe.normalized.c (the first one)");
  add_text(*app, "--dataset", o->dataset, "NAME",
           "how answers are read out of texts, as in `kvgauge grade` (exact); for majority and semantic-entropy");
  app->footer(kExamples);
  return {app, [o] { return run(*o); }};
}

}  // namespace kvgauge::cli
