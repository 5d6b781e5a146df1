#include <filesystem>
#include <memory>

#include "cli.h"
#include "common_options.h"
#include "core/cat.h"
#include "embedding_options.h"
#include "job.h"
#include "kvgauge/error.h"
#include "loader/model_config.h"
#include "option_values.h"
#include "report/matrix_output.h"
#include "requests.h"

namespace kvgauge::cli {
namespace {

constexpr const char* kExamples = R"(
Examples:
  kvgauge embed --input texts.jsonl --output e.jsonl               rows {"id":"1","text":"..."}, or bare strings
  kvgauge embed --input texts.jsonl --output e.npy --normalize     a matrix, one row per text
  kvgauge embed --model SmolLM2.gguf --input questions.jsonl --output e.safetensors --part v --layers all
  kvgauge embed --input train.jsonl --output e.jsonl --text-field question --carry label
)";

struct EmbedOptions {
  ModelOptions model;
  JobOptions job;
  EmbeddingOptions embedding;
  std::string text_field;
  std::vector<std::string> carry;
  std::int64_t max_length = 0;
};

enum class FileKind { kRows, kNpy, kSafetensors };

FileKind kind_of(const std::string& output) {
  if (output == "-" || output.ends_with(".jsonl")) return FileKind::kRows;
  if (output.ends_with(".npy")) return FileKind::kNpy;
  if (output.ends_with(".safetensors")) return FileKind::kSafetensors;
  std::error_code ignored;
  if (std::filesystem::exists(output, ignored) && !std::filesystem::is_regular_file(output, ignored))
    return FileKind::kRows;  // a pipe or a device
  throw UsageError(cat("--output: found '", output,
                       "', a name that ends in .jsonl, .npy or .safetensors, or - for JSONL on stdout, was needed"));
}

void check_matrix(const EmbedOptions& o) {
  const auto refuse = [&](bool given, const char* flag) {
    if (given)
      throw UsageError(cat(flag, ": ", o.job.output, " is made as a whole and in order; drop it, or give a .jsonl"));
  };
  refuse(o.job.resume, "--resume");
  refuse(o.job.unordered, "--unordered");
  refuse(!o.carry.empty(), "--carry");
}

int embed(const EmbedOptions& o) {
  check_job(o.job);
  check_embedding(o.embedding, "--");
  const FileKind kind = kind_of(o.job.output);
  if (kind != FileKind::kRows) check_matrix(o);
  Job job;
  job.manifest.verb = "embed";
  job.options = o.job;
  job.engine = engine_options(o.model);
  job.rows.want_text = true;
  job.rows.text_field = o.text_field;
  job.rows.carry = o.carry;
  job.rows.carry.push_back("label");
  job.output = {.scores = {}, .answer = false, .text = false, .embedding = true};
  put_settings(job.manifest.settings, o.model);
  put_settings(job.manifest.settings, o.embedding, "--");
  job.manifest.settings["text-field"] = o.text_field;
  job.manifest.settings["carry"] = o.carry;
  job.manifest.settings["max-length"] = o.max_length;
  job.open = [&o](const Engine& engine) -> std::function<Request(InputRow&)> {
    RequestMaker maker{.prompter = prompter_of(engine)};
    maker.embedding = embedding_spec(o.embedding, "--", engine.config().layers);
    const std::int64_t longest = longest_text(engine, o.max_length);
    return [maker, longest](InputRow& row) { return maker.embed(row, longest); };
  };
  if (kind != FileKind::kRows)
    job.make_output = [&o, kind]() -> std::unique_ptr<RowOutput> {
      return std::make_unique<MatrixOutput>(
          o.job.output, kind == FileKind::kNpy ? MatrixOutput::Format::kNpy : MatrixOutput::Format::kSafetensors);
    };
  return run_job(std::move(job));
}

}  // namespace

Command add_embed(CLI::App& root) {
  CLI::App* const app = root.add_subcommand(
      "embed", "Texts to vectors: the KV cache of each text, pooled over positions, heads and layers");
  const auto o = std::make_shared<EmbedOptions>();
  add_model_options(*app, o->model);
  add_job_options(*app, o->job);
  app->remove_option(app->get_option("--seed"));  // nothing is drawn
  add_embedding_options(*app, o->embedding, "--");
  add_text(*app, "--text-field", o->text_field, "NAME",
           "the field that has the text (the first of text, prompt, "
           "question, problem, en)");
  app->add_option("--carry", o->carry,
                  "a field to carry through to .jsonl, beside label, gold, answer, ...; may be "
                  "given several times")
      ->type_name("NAME")
      ->allow_extra_args(false);
  add_count(*app, "--max-length", o->max_length, 1, std::int64_t{1} << 40,
            "cut texts to their first N tokens (what the context holds)");
  app->footer(kExamples);
  return {app, [o] { return embed(*o); }};
}

}  // namespace kvgauge::cli
