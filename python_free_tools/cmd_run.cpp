#include <cstdio>
#include <memory>

#include "cli.h"
#include "common_options.h"
#include "core/cat.h"
#include "job.h"
#include "kvgauge/error.h"
#include "loader/model_config.h"
#include "option_values.h"
#include "requests.h"

namespace kvgauge::cli {
namespace {

constexpr const char* kExamples = R"(
Examples:
  kvgauge run --input questions.jsonl --output answers.jsonl
  kvgauge run --model SmolLM2.gguf --input gsm8k_test.jsonl --output answers.jsonl --max-tokens 256 --think template
  kvgauge run --input q.jsonl --output a.jsonl --temperature 0.7 --top-p 0.95 --n 5 --seed 1
  kvgauge run --input q.jsonl --output a.jsonl --resume            (goes on after an interruption)
  echo '{"prompt":"Tom has 3 pens. He buys 4. How many has he?"}' | kvgauge run --input - --think off --quiet
)";

struct RunOptions {
  ModelOptions model;
  JobOptions job;
  PromptOptions prompts;
  ScoreOptions scores;
  std::int64_t max_tokens = 512, top_k = 0, samples = 1;
  double temperature = 0, top_p = 1, min_p = 0;
  std::vector<std::string> stop;
  bool ignore_eos = false;
};

void warn_of_idle_flags(const RunOptions& o) {
  if (o.temperature > 0 || o.job.quiet) return;
  const auto warn = [](const char* flag) {
    std::fputs(cat("kvgauge: warning: ", flag, ": has no effect at temperature 0 (greedy)\n").c_str(), stderr);
  };
  if (o.top_p != 1) warn("--top-p");
  if (o.top_k != 0) warn("--top-k");
  if (o.min_p != 0) warn("--min-p");
  if (o.samples != 1) warn("--n");
}

Manifest manifest_of(const RunOptions& o) {
  Manifest manifest;
  manifest.verb = "run";
  put_settings(manifest.settings, o.model);
  put_settings(manifest.settings, o.prompts);
  put_settings(manifest.settings, o.scores);
  manifest.settings["seed"] = o.job.seed;
  manifest.settings["max-tokens"] = o.max_tokens;
  manifest.settings["temperature"] = o.temperature;
  manifest.settings["top-p"] = o.top_p;
  manifest.settings["top-k"] = o.top_k;
  manifest.settings["min-p"] = o.min_p;
  manifest.settings["stop"] = o.stop;
  manifest.settings["ignore-eos"] = o.ignore_eos;
  manifest.settings["n"] = o.samples;
  return manifest;
}

int run(const RunOptions& o) {
  check_job(o.job);
  check_prompt(o.prompts);
  for (const std::string& stop : o.stop)
    if (stop.empty()) throw UsageError("--stop: found '', a string of at least one character was needed");
  const ScoreSpec scores = score_spec(o.scores);
  warn_of_idle_flags(o);
  Job job;
  job.manifest = manifest_of(o);
  job.options = o.job;
  job.engine = engine_options(o.model);
  job.rows.prompt_template = o.prompts.prompt_template;
  job.output = {.scores = scores, .text = true, .embedding = o.scores.embed, .token_ids = o.scores.output_ids};
  job.open = [&o, scores](const Engine& engine) -> std::function<Request(InputRow&)> {
    check_template(o.prompts, engine.files());
    const RequestMaker maker{.prompter = prompter_of(engine),
                             .prompts = o.prompts,
                             .sampling = {.temperature = o.temperature,
                                          .top_p = o.top_p,
                                          .min_p = o.min_p,
                                          .top_k = o.top_k,
                                          .seed = static_cast<std::uint64_t>(o.job.seed)},
                             .stop = {.max_tokens = o.max_tokens, .stop = o.stop, .ignore_eos = o.ignore_eos},
                             .scores = scores,
                             .embedding = answer_embedding(o.scores, engine.config().layers),
                             .samples = o.samples};
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
  add_prompt_options(*app, o->prompts);
  add_score_options(*app, o->scores);
  add_count(*app, "--max-tokens", o->max_tokens, 1, std::int64_t{1} << 40, "longest answer in tokens (512)");
  add_real(*app, "--temperature", o->temperature, 0, 100, "0 is greedy (0)");
  add_real(*app, "--top-p", o->top_p, 0, 1, "keep the likeliest tokens of this total probability (1: all)");
  add_count(*app, "--top-k", o->top_k, 0, INT32_MAX, "keep the K likeliest tokens (0: all)");
  add_real(*app, "--min-p", o->min_p, 0, 1,
           "keep tokens of at least this share of the likeliest one's probability (0: all)");
  app->add_option("--stop", o->stop, "ends the answer and is not part of it; may be given several times")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  app->add_flag("--ignore-eos", o->ignore_eos, "do not end at the end-of-text token");
  add_count(*app, "--n", o->samples, 1, 1024, "answers per question over one shared prompt (1)");
  app->footer(kExamples);
  return {app, [o] { return run(*o); }};
}

}  // namespace kvgauge::cli
