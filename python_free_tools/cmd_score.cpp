#include <memory>

#include "cli.h"
#include "common_options.h"
#include "job.h"
#include "kvgauge/error.h"
#include "loader/model_config.h"
#include "requests.h"
#include "score_dump.h"

namespace kvgauge::cli {
namespace {

constexpr const char* kExamples = R"(
Examples:
  kvgauge score --input pairs.jsonl --output scores.jsonl          rows {"prompt":"...","response":"..."}
  kvgauge run --input q.jsonl --output a.jsonl --output-ids        and then, the same scores from the finished answers:
  kvgauge score --input a.jsonl --output s.jsonl --scores kv-coe --span all
  kvgauge score --kv dumps/ --part kv --output s.jsonl             caches exported from another engine, no model
)";

struct PairOptions {
  ModelOptions model;
  JobOptions job;
  PromptOptions prompts;
  ScoreOptions scores;
  std::vector<std::string> dumps;
};

int score_caches(const CLI::App& app, const PairOptions& o) {
  check_dump_flags(app);
  return score_dumps({.places = o.dumps,
                      .output = o.job.output,
                      .scores = o.scores,
                      .span_given = app.count("--span") > 0,
                      .threads = static_cast<int>(o.model.threads)});
}

int score(const PairOptions& o) {
  check_job(o.job);
  check_prompt(o.prompts);
  ScoreSpec scores = score_groups(o.scores, AnswerCount::kAsRowsHave).spec;
  if (!scores.kv_coe && !scores.prob && !scores.coe && !scores.eigenscore && !o.scores.embed)
    throw UsageError("--scores: found 'none', at least one group to compute was needed, or --embed");
  Job job;
  job.manifest.verb = "score";
  job.options = o.job;
  job.engine = engine_options(o.model);
  scores.layers = resolve_layers(o.scores, job.engine);
  job.rows = {.prompt_template = o.prompts.prompt_template, .want_response = true};
  job.output = {.scores = scores, .text = false, .embedding = o.scores.embed, .token_ids = o.scores.output_ids};
  put_settings(job.manifest.settings, o.model);
  put_settings(job.manifest.settings, o.prompts);
  put_settings(job.manifest.settings, o.scores, AnswerCount::kAsRowsHave);
  job.open = [&o, scores](const Engine& engine) -> std::function<Request(InputRow&)> {
    check_template(o.prompts, engine.files());
    RequestMaker maker{.prompter = prompter_of(engine), .prompts = o.prompts, .scores = scores};
    maker.end_token = end_of_turn(engine);
    maker.embedding = answer_embedding(o.scores, engine.config().layers);
    return [maker](const InputRow& row) { return maker.judge(row); };
  };
  return run_job(std::move(job));
}

}  // namespace

Command add_score(CLI::App& root) {
  CLI::App* const app =
      root.add_subcommand("score", "Score finished answers without generating: prompts and responses in, scores out");
  const auto o = std::make_shared<PairOptions>();
  add_model_options(*app, o->model);
  add_job_options(*app, o->job);
  add_prompt_options(*app, o->prompts);
  add_score_options(*app, o->scores);
  app->add_option("--kv", o->dumps, "safetensors files of KV caches that another engine exported, or folders of them")
      ->type_name("FILE...");
  app->footer(kExamples);
  return {app, [app, o] { return app->count("--kv") > 0 ? score_caches(*app, *o) : score(*o); }};
}

}  // namespace kvgauge::cli
