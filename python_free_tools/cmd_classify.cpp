#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <numeric>
#include <optional>
#include <tuple>

#include "cli.h"
#include "common_options.h"
#include "core/cat.h"
#include "core/mapped_file.h"
#include "core/printable.h"
#include "embedding_options.h"
#include "job.h"
#include "kvgauge/error.h"
#include "labelled_rows.h"
#include "loader/model_files.h"
#include "loader/npy.h"
#include "metrics/classification.h"
#include "option_values.h"
#include "report/build_info.h"
#include "report/classification_report.h"
#include "report/manifest.h"
#include "requests.h"
#include "result_file.h"
#include "text_embedder.h"

namespace kvgauge::cli {
namespace {

constexpr const char* kExamples = R"(
Examples:
  kvgauge classify --train train.jsonl --test test.jsonl           rows {"text":"...","label":"..."}
  kvgauge classify --model SmolLM2.gguf --train a.jsonl --test b.jsonl --normalize --baseline bow,length,majority
  kvgauge classify --train a.jsonl --test b.jsonl --text-field question --label-field steps --part v --layers all
  kvgauge classify --train a.jsonl --test b.jsonl --train-embeddings a.npy --test-embeddings b.npy --all --format json
  kvgauge classify --train a.jsonl --test b.jsonl --train-embeddings a.npy --test-embeddings b.npy --grid 30
)";

struct ClassifyOptions {
  ModelOptions model;
  EmbeddingOptions embedding;
  LabelledFormat rows;
  ClassificationOptions protocol;
  std::string train, test, train_embeddings, test_embeddings, output = "-", format = "md";
  std::string baseline;
  std::vector<std::string> baselines = {};  ///< `baseline` as a list
  std::int64_t max_length = 0, seed = 42, grid_layers = 0;
  bool center = false, baselines_only = false, quiet = false;

  bool has(const char* baseline) const {
    return std::find(baselines.begin(), baselines.end(), baseline) != baselines.end();
  }
  bool brings_embeddings() const { return !train_embeddings.empty(); }
};

EmbeddingMatrix read_matrix(const std::string& flag, const std::string& path, const LabelledRows& rows) {
  NpyMatrix npy = parse_npy(MappedFile(path).bytes(), path);
  if (npy.rows != std::ssize(rows.labels) || npy.columns == 0)
    throw FormatError(cat(flag, ": ", path, " is ", npy.rows, " x ", npy.columns, ", a row for each of the ",
                          rows.labels.size(), " rows of ", rows.file, " was needed"));
  for (std::size_t i = 0; i < npy.values.size(); ++i)
    if (!std::isfinite(npy.values[i]))
      throw FormatError(cat(flag, ": ", path, " has a value that is not finite in row ",
                            static_cast<std::int64_t>(i) / npy.columns, ", only embedded rows were needed"));
  return {.values = npy.columns, .data = std::move(npy.values)};
}

// A grid takes vectors apart, so they must have been made as it expects.
void check_grid_source(const std::string& path, std::int64_t columns, std::int64_t layers) {
  const std::string needed = ", vectors of embed --part kv --layers all --across-layers flatten were needed";
  if (columns % (2 * layers) != 0)
    throw FormatError(cat("--grid: ", path, " has ", columns, " values, not K and V of ", layers, " layers", needed));
  const std::optional<Json> manifest = read_manifest(path);
  if (!manifest) return;
  const Json want = {
      {"part", "kv"}, {"layers", "all"}, {"across-layers", "flatten"}, {"heads", "mean"}, {"normalize", false}};
  for (const auto& setting : want.items())
    if (const auto found = manifest->at("settings").find(setting.key());
        found == manifest->at("settings").end() || *found != setting.value())
      throw FormatError(cat("--grid: ", path, " was made with other settings (", setting.key(), ")", needed));
}

// Every part, last layers and all, as they are, normalised, centred and normalised: from one pass of the model.
void classify_grid(const ClassifyOptions& o, const LabelSet& labels, const EmbeddingMatrix& train,
                   const EmbeddingMatrix& test, std::span<const std::vector<std::int32_t>> experiments,
                   ClassificationReport& report) {
  constexpr std::int64_t kLast = 4;
  for (const GaugePart part : {GaugePart::kV, GaugePart::kK, GaugePart::kKV})
    for (const std::int64_t last : {std::min(kLast, o.grid_layers), o.grid_layers}) {
      const EmbeddingMatrix a = layer_means(train, o.grid_layers, last, part),
                            b = layer_means(test, o.grid_layers, last, part);
      for (const auto& [center, normalize, suffix] :
           {std::tuple(false, false, ""), {false, true, ", normalised"}, {true, true, ", centred, normalised"}})
        report.results.push_back(
            kvgauge::classify(cat(name(part), ", layers ", last == o.grid_layers ? "all" : "last4", suffix), labels,
                              experiments, embedding_features(a, b, center, normalize)));
    }
}

void check_width(const EmbeddingMatrix& train, const EmbeddingMatrix& test) {
  if (train.values != test.values)
    throw FormatError(cat("embeddings: those of --train have ", train.values, " values, those of --test ", test.values,
                          ", as many were needed"));
}

void check(const ClassifyOptions& o) {
  const auto need_file = [](const std::string& flag, const std::string& path) {
    if (path.empty()) throw UsageError(cat(flag, ": not given, a JSONL file of texts with labels was needed"));
  };
  need_file("--train", o.train);
  need_file("--test", o.test);
  if (o.train == "-" && o.test == "-") throw UsageError("--test: stdin is --train already; give a file");
  for (const std::string& baseline : o.baselines)
    if (baseline != "bow" && baseline != "length" && baseline != "majority")
      throw UsageError(
          cat("--baseline: found '", printable(baseline), "', a list of bow, length, majority was needed"));
  check_embedding(o.embedding, "--");
  check_label_pattern(o.rows.label_pattern);
  if (o.train_embeddings.empty() != o.test_embeddings.empty())
    throw UsageError("--train-embeddings: it goes with --test-embeddings; give both or none");
  if (o.baselines_only && o.baselines.empty())
    throw UsageError("--baselines-only: no baseline is named; add --baseline");
  if (o.baselines_only && o.brings_embeddings())
    throw UsageError("--baselines-only: --train-embeddings would not be read; drop one of them");
  if (o.grid_layers > 0 && !o.brings_embeddings())
    throw UsageError(
        "--grid: it takes vectors apart that were made before; add --train-embeddings and --test-embeddings");
  if (o.grid_layers > 0 && (o.center || o.embedding.normalize))
    throw UsageError(
        cat(o.center ? "--center" : "--normalize", ": --grid compares with and without; drop one of them"));
  if (o.baselines_only && (o.center || o.embedding.normalize))
    throw UsageError(
        cat(o.center ? "--center" : "--normalize", ": it is for embeddings, which --baselines-only leaves out"));
}

// Flags that decide how the engine embeds mean nothing where embeddings were made before.
void refuse_engine_flags(const CLI::App& app, const std::string& why) {
  for (const char* const flag : {"--model", "--device", "--dtype", "--threads", "--max-batch", "--max-model-len",
                                 "--kv-memory", "--batch-invariant", "--no-prefix-cache", "--part", "--layers",
                                 "--across-layers", "--pos", "--heads", "--max-length"})
    if (app.get_option(flag)->count() > 0)
      throw UsageError(cat(flag, ": nothing is computed by a model here, ", why, "; drop it"));
}

std::vector<std::int64_t> counts_of(const std::vector<std::int32_t>& labels, std::size_t names) {
  std::vector<std::int64_t> counts(names);
  for (const std::int32_t label : labels) ++counts[static_cast<std::size_t>(label)];
  return counts;
}

OrderedJson settings_of(const ClassifyOptions& o, bool by_model) {
  OrderedJson settings = OrderedJson::object();
  settings["train"] = o.train;
  settings["test"] = o.test;
  settings["text-field"] = o.rows.text_field;
  settings["label-field"] = o.rows.label_field;
  settings["label-pattern"] = o.rows.label_pattern;
  settings["all"] = o.protocol.all;
  settings["experiments"] = o.protocol.experiments;
  settings["samples-per-label"] = o.protocol.samples_per_label;
  settings["seed"] = o.seed;
  settings["baseline"] = o.baseline;
  settings["center"] = o.center;
  if (by_model) {
    put_settings(settings, o.model);
    put_settings(settings, o.embedding, "--");
    settings["max-length"] = o.max_length;
  } else {
    settings["normalize"] = o.embedding.normalize;
    if (o.brings_embeddings()) {
      settings["train-embeddings"] = o.train_embeddings;
      settings["test-embeddings"] = o.test_embeddings;
      settings["grid"] = o.grid_layers;
    }
  }
  settings["version"] = build_info().version;
  settings["commit"] = build_info().commit;
  return settings;
}

std::string name_of(const ClassifyOptions& o, bool by_model) {
  std::string name = by_model ? cat("KV cache: ", o.embedding.part, ", layers ", o.embedding.layers) : "embeddings";
  const EmbeddingOptions defaults;
  if (by_model && o.embedding.across_layers != defaults.across_layers)
    name += cat(" (", o.embedding.across_layers, ")");
  if (by_model && o.embedding.positions != defaults.positions) name += cat(", positions ", o.embedding.positions);
  if (by_model && o.embedding.heads != defaults.heads) name += cat(", heads ", o.embedding.heads);
  if (o.center) name += ", centred";
  if (o.embedding.normalize) name += ", normalised";
  return name;
}

// Fills in the embeddings of both files; of the train rows only those that are fitted on.
/// @return false if a signal ended it
bool embed_by_model(const ClassifyOptions& o, std::span<const std::vector<std::int32_t>> experiments,
                    LabelledRows& train, LabelledRows& test, OrderedJson& settings) {
  Engine engine(engine_options(o.model));
  settings["model"] = engine.config().name;
  settings["model-hash"] = engine.files().content_hash();
  EmbeddingOptions as_it_is = o.embedding;
  as_it_is.normalize = false;  // after centring, with the features
  const EmbeddingSpec spec = embedding_spec(as_it_is, "--", engine.config().layers);
  const std::int64_t longest = longest_text(engine, o.max_length);
  std::vector<std::int32_t> fitted, all_test(test.labels.size());
  for (const auto& rows : experiments) fitted.insert(fitted.end(), rows.begin(), rows.end());
  std::sort(fitted.begin(), fitted.end());
  fitted.erase(std::unique(fitted.begin(), fitted.end()), fitted.end());
  std::iota(all_test.begin(), all_test.end(), 0);
  TextEmbedder embedder(engine, spec,
                        {.longest = longest,
                         .window = kWindowBatches * o.model.max_batch,
                         .total = std::ssize(fitted) + std::ssize(all_test),
                         .progress = !o.quiet});
  const bool complete = embedder.embed(train, fitted) && embedder.embed(test, all_test);
  embedder.clear_progress();
  if (!complete) {
    std::fputs("kvgauge: interrupted: nothing is written\n", stderr);
  } else if (embedder.truncated() > 0 && !o.quiet) {
    std::fputs(cat("kvgauge: warning: ", embedder.truncated(),
                   " texts were longer than --max-length or the context and were cut\n")
                   .c_str(),
               stderr);
  }
  return complete;
}

int classify(const ClassifyOptions& options, const CLI::App& app) {
  ClassifyOptions o = options;
  if (!o.baseline.empty()) o.baselines = split_list(o.baseline);
  check(o);
  o.protocol.seed = static_cast<std::uint32_t>(o.seed);
  o.rows.need_text = o.has("bow") || o.has("length");
  o.rows.embedded_elsewhere = o.brings_embeddings() || o.baselines_only;
  if (o.protocol.all)
    for (const char* const flag : {"--experiments", "--samples-per-label", "--seed"})
      if (app.get_option(flag)->count() > 0)
        throw UsageError(cat(flag, ": --all fits once on every train row; drop one of them"));
  if (o.baselines_only) refuse_engine_flags(app, "--baselines-only");
  if (o.brings_embeddings()) refuse_engine_flags(app, "--train-embeddings has the vectors");
  LabelledRows train = read_labelled_rows(o.train, o.rows), test = read_labelled_rows(o.test, o.rows);
  const LabelSet labels = number_labels(train.labels, test.labels);
  const auto experiments = experiment_rows(labels.train, o.protocol);

  ClassificationReport report{.train_rows = std::ssize(train.labels),
                              .test_rows = std::ssize(test.labels),
                              .labels = labels.names,
                              .train_counts = counts_of(labels.train, labels.names.size()),
                              .test_counts = counts_of(labels.test, labels.names.size()),
                              .options = o.protocol};
  const bool in_rows = train.embeddings.rows() > 0;
  if (!o.rows.embedded_elsewhere && in_rows != (test.embeddings.rows() > 0))
    throw FormatError(
        cat(in_rows ? test.file : train.file, ": its rows have no 'embedding' as those of the other file have"));
  if (in_rows && !o.rows.embedded_elsewhere) refuse_engine_flags(app, "the rows have their 'embedding'");
  const bool by_model = !o.rows.embedded_elsewhere && !in_rows;
  report.settings = settings_of(o, by_model);
  ResultFile output(o.output);  // refused before the work, not after

  if (o.brings_embeddings()) {
    train.embeddings = read_matrix("--train-embeddings", o.train_embeddings, train);
    test.embeddings = read_matrix("--test-embeddings", o.test_embeddings, test);
  } else if (by_model) {
    if (!embed_by_model(o, experiments, train, test, report.settings)) return kInterrupted;
  }
  if (!o.baselines_only) check_width(train.embeddings, test.embeddings);
  if (o.grid_layers > 0) {
    check_grid_source(o.train_embeddings, train.embeddings.values, o.grid_layers);
    check_grid_source(o.test_embeddings, test.embeddings.values, o.grid_layers);
    classify_grid(o, labels, train.embeddings, test.embeddings, experiments, report);
  } else if (!o.baselines_only) {
    report.results.push_back(
        kvgauge::classify(name_of(o, by_model), labels, experiments,
                          embedding_features(train.embeddings, test.embeddings, o.center, o.embedding.normalize)));
  }
  if (o.has("bow"))
    report.results.push_back(
        kvgauge::classify("bag of words", labels, experiments, bag_of_words_features(train.texts, test.texts)));
  if (o.has("length"))
    report.results.push_back(
        kvgauge::classify("number of words", labels, experiments, length_features(train.texts, test.texts)));
  if (o.has("majority")) report.results.push_back(classify_by_majority(labels));
  output.write(o.format == "json" ? classification_json(report).dump(2) + "\n" : classification_markdown(report));
  output.finish();
  return kDone;
}

}  // namespace

Command add_classify(CLI::App& root) {
  CLI::App* const app = root.add_subcommand(
      "classify", "How well labels can be told from embeddings: MTEB's classification protocol on labelled texts");
  const auto o = std::make_shared<ClassifyOptions>();
  add_text(*app, "--train", o->train, "FILE", "JSONL of texts with labels, or - for stdin");
  add_text(*app, "--test", o->test, "FILE", "the same, to be judged on");
  add_text(*app, "--output", o->output, "FILE", "the report, or - for stdout (the default)");
  add_choice(*app, "--format", o->format, {"md", "json"}, "of the report (md)");
  add_text(*app, "--text-field", o->rows.text_field, "NAME",
           "the field that has the text (the first of text, prompt, question, problem, en)");
  add_text(*app, "--label-field", o->rows.label_field, "NAME", "the field that has the label (label)");
  add_text(*app, "--label-pattern", o->rows.label_pattern, "REGEX",
           "take of the label field what the first group of REGEX matches");
  add_count(*app, "--experiments", o->protocol.experiments, 1, 100000, "how many fits, each on other train rows (10)");
  add_count(*app, "--samples-per-label", o->protocol.samples_per_label, 1, INT32_MAX,
            "train rows of a fit per label (8)");
  add_count(*app, "--seed", o->seed, 0, UINT32_MAX, "of the shuffles (42)");
  app->add_flag("--all", o->protocol.all, "one fit on all train rows instead");
  app->add_flag("--center", o->center, "subtract the mean of a fit's train rows, before --normalize");
  add_text(*app, "--baseline", o->baseline, "LIST", "compare with: bow (tf-idf of words), length (how many), majority");
  app->add_flag("--baselines-only", o->baselines_only, "no embeddings and no model");
  add_text(*app, "--train-embeddings", o->train_embeddings, "FILE", "a .npy with the vectors of --train, in its order");
  add_text(*app, "--test-embeddings", o->test_embeddings, "FILE", "the same of --test");
  add_count(*app, "--grid", o->grid_layers, 1, 1 << 20,
            "compare parts, last4 and all layers, normalised and centred; N: how many layers the vectors have");
  add_embedding_options(*app, o->embedding, "--");
  add_count(*app, "--max-length", o->max_length, 1, std::int64_t{1} << 40,
            "cut texts to their first N tokens (what the context holds)");
  add_model_options(*app, o->model);
  app->add_flag("--quiet", o->quiet, "no progress, no warnings");
  app->footer(kExamples);
  return {app, [o, app] { return classify(*o, *app); }};
}

}  // namespace kvgauge::cli
