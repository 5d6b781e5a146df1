#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>

#include "cli.h"
#include "common_options.h"
#include "control/difficulty_head.h"
#include "core/cat.h"
#include "core/output_file.h"
#include "core/printable.h"
#include "difficulty/trainer.h"
#include "engine/open_backend.h"
#include "interruption.h"
#include "kvgauge/error.h"
#include "loader/model_files.h"
#include "option_values.h"
#include "report/build_info.h"
#include "report/manifest.h"
#include "report/output_row.h"
#include "report/progress.h"
#include "training_rows.h"

namespace kvgauge::cli {
namespace {

constexpr const char* kExamples = R"(
Examples:
  kvgauge label --input train.jsonl --output labels.jsonl --dataset gsm8k --checkpoints 16
  kvgauge train --input labels.jsonl --output head.safetensors
  kvgauge train --input labels.jsonl --output head.safetensors --rows both --layers last2 --window 128 --log train.json
  kvgauge train --input labels.jsonl --output head.safetensors --rows both --prompt-share 0.2 --window 16 --unsafe-label 75 \
      --both-wrong drop --hidden 128 --optimizer adamw --weight-decay 1e-4 --batch 512 --epochs 25 --early-stop 5
  kvgauge train --model Qwen3-8B --input labels.jsonl --output head.safetensors --layers last8 --window 32 --lr 1e-5
  kvgauge run --input test.jsonl --output answers.jsonl --think auto --difficulty head.safetensors
)";

constexpr std::size_t kModelDigits = 12;

struct TrainOptions {
  ModelOptions model;
  std::string input, output, log;
  std::int64_t limit = 0, seed = 0;
  bool quiet = false;
  std::string rows = "prompt", both_wrong = "unsafe";
  bool augment_raw = false;
  std::int64_t easy_tokens = -1;  ///< negative: the labels as they are
  double unsafe_label = CheckpointRule{}.unsafe;
  double prompt_share = 0;  ///< 0: every example counts alike
  std::string layers = "all", part = "kv", pos = "sum", heads = "flatten", over_layers = "mean";
  std::int64_t window = WindowSpec{}.positions;
  std::string optimizer = "adam", loss = "mse", standardize = "on";
  std::int64_t hidden = TrainerSettings{}.hidden, batch = TrainerSettings{}.batch, epochs = TrainerSettings{}.epochs;
  std::int64_t early_stop = -1;  ///< negative: not given
  double lr = TrainerSettings{}.learning_rate, weight_decay = 0, validation = TrainerSettings{}.validation_share,
         tau = TrainerSettings{}.tau;

  bool has_prompts() const { return rows != "checkpoints"; }
  bool has_checkpoints() const { return rows != "prompt"; }
};

void check(const TrainOptions& o) {
  if (o.input.empty()) throw UsageError("--input: not given, a file of kvgauge label was needed");
  if (o.output.empty() || o.output == "-")
    throw UsageError(
        cat("--output: ", o.output.empty() ? "not given" : "found '-'", ", a file for the head was needed"));
  if (!std::filesystem::exists(o.input)) throw InputError(cat(o.input, ": no such file"));
  std::error_code ignored;
  for (const std::string& written : {o.output, o.log})
    if (!written.empty() && std::filesystem::equivalent(o.input, written, ignored))
      throw UsageError(
          cat("--", &written == &o.log ? "log" : "output", ": ", written, " is the --input; choose another file"));
  if (o.output == o.log) throw UsageError(cat("--log: ", o.log, " is the --output; choose another file"));
  parse_layers("--layers", o.layers, 0);
  const auto need_checkpoints = [&](bool given, const char* flag) {
    if (given && !o.has_checkpoints())
      throw UsageError(cat(flag, ": it is about checkpoints, --rows is prompt; give --rows checkpoints or both"));
  };
  need_checkpoints(o.both_wrong != "unsafe", "--both-wrong");
  need_checkpoints(o.unsafe_label != CheckpointRule{}.unsafe, "--unsafe-label");
  if (o.prompt_share > 0 && o.rows != "both")
    throw UsageError(
        cat("--prompt-share: it weighs prompts against checkpoints, --rows is ", o.rows, "; give --rows both"));
  if (o.augment_raw && !o.has_prompts())
    throw UsageError("--augment-raw: it adds prompts, --rows is checkpoints; give --rows prompt or both");
  if (o.validation == 0 && o.early_stop > 0)
    throw UsageError("--early-stop: it waits for the validation loss, --validation is 0; drop one of them");
}

BothWrong both_wrong_of(const std::string& text) {
  return text == "safe" ? BothWrong::kSafe : text == "drop" ? BothWrong::kDropped : BothWrong::kUnsafe;
}

TrainerSettings trainer_settings(const TrainOptions& o) {
  TrainerSettings settings;
  settings.hidden = o.hidden;
  settings.loss = usual_mlp_loss(parse_mlp_loss(o.loss));
  settings.optimizer = parse_optimizer(o.optimizer);
  settings.learning_rate = o.lr;
  settings.weight_decay = o.weight_decay;
  settings.batch = o.batch;
  settings.epochs = static_cast<int>(o.epochs);
  settings.patience = o.validation == 0 ? 0 : o.early_stop < 0 ? settings.patience : static_cast<int>(o.early_stop);
  settings.validation_share = o.validation;
  settings.standardise = o.standardize == "on";
  settings.seed = static_cast<std::uint64_t>(o.seed);
  settings.tau = o.tau;
  return settings;
}

WindowSpec window_of(const TrainOptions& o, std::int64_t model_layers) {
  WindowSpec window{.part = o.part == "kv"  ? GaugePart::kKV
                            : o.part == "k" ? GaugePart::kK
                                            : GaugePart::kV,
                    .layers = parse_layers("--layers", o.layers, model_layers),
                    .positions = o.window,
                    .mean_over_positions = o.pos == "mean",
                    .mean_over_heads = o.heads == "mean",
                    .mean_over_layers = o.over_layers == "mean"};
  if (window.layers.empty())
    for (std::int32_t layer = 0; layer < model_layers; ++layer) window.layers.push_back(layer);
  return window;
}

OrderedJson settings_json(const TrainOptions& o, const TrainerSettings& s) {
  return {{"rows", o.rows},
          {"both-wrong", o.both_wrong},
          {"unsafe-label", o.unsafe_label},
          {"prompt-share", o.prompt_share},
          {"augment-raw", o.augment_raw},
          {"easy-tokens", o.easy_tokens < 0 ? OrderedJson() : OrderedJson(o.easy_tokens)},
          {"layers", o.layers},
          {"window", o.window},
          {"part", o.part},
          {"pos", o.pos},
          {"heads", o.heads},
          {"over-layers", o.over_layers},
          {"hidden", s.hidden},
          {"loss", o.loss},
          {"optimizer", o.optimizer},
          {"lr", s.learning_rate},
          {"weight-decay", s.weight_decay},
          {"batch", s.batch},
          {"epochs", s.epochs},
          {"early-stop", s.patience},
          {"standardize", o.standardize},
          {"validation", s.validation_share},
          {"tau", s.tau},
          {"seed", o.seed},
          {"limit", o.limit}};
}

void say(const TrainOptions& o, const std::string& text) {
  if (!o.quiet) std::fputs(cat("kvgauge: ", text, "\n").c_str(), stderr);
}

/// What the head is worth on the validation rows of one kind.
struct Validation {
  std::string name;
  DifficultyMetrics metrics;
};

std::vector<Validation> validate(Backend& backend, const TrainingResult& result, const Examples& examples,
                                 const MatrixView& features, const TrainerSettings& settings) {
  std::vector<Validation> all;
  if (result.validation.rows == 0) return all;
  all.push_back({.name = "all", .metrics = result.validation});
  for (const auto& [kind, name] : {std::pair{ExampleKind::kPrompt, "prompt"},
                                   {ExampleKind::kCheckpoint, "checkpoint"},
                                   {ExampleKind::kRaw, "raw"}}) {
    std::vector<std::int32_t> rows;
    std::vector<float> labels;
    std::vector<std::uint64_t> questions;
    for (std::size_t i = 0; i < examples.kinds.size(); ++i)
      if (examples.kinds[i] == kind &&
          is_validation_question(examples.questions[i], settings.seed, settings.validation_share)) {
        rows.push_back(static_cast<std::int32_t>(i));
        labels.push_back(examples.labels[i]);
        questions.push_back(examples.questions[i]);
      }
    if (rows.empty() || std::ssize(rows) == result.validation.rows) continue;
    const std::vector<float> d = predict_difficulty(backend, result.head, features, rows);
    all.push_back(
        {.name = name,
         .metrics = difficulty_metrics(d, labels, questions, settings.tau, settings.resamples, settings.seed)});
  }
  return all;
}

OrderedJson estimate_json(const Estimate& estimate) {
  return {{"value", number_json(estimate.value)},
          {"ci95", {number_json(estimate.ci95.low), number_json(estimate.ci95.high)}}};
}

OrderedJson validation_json(const std::vector<Validation>& validations) {
  OrderedJson json = OrderedJson::object();
  for (const Validation& validation : validations) {
    const DifficultyMetrics& m = validation.metrics;
    json[validation.name] = {{"rows", m.rows},
                             {"questions", m.questions},
                             {"mse", estimate_json(m.mse)},
                             {"spearman", estimate_json(m.spearman)},
                             {"auroc_label_75", estimate_json(m.auroc)},
                             {"slow_share", estimate_json(m.slow_share)}};
  }
  return json;
}

OrderedJson epochs_json(const TrainingResult& result) {
  OrderedJson epochs = OrderedJson::array();
  for (const EpochRecord& record : result.history)
    epochs.push_back({{"epoch", record.epoch},
                      {"train_loss", number_json(record.train_loss)},
                      {"validation_loss", number_json(record.validation_loss)},
                      {"validation_mse", number_json(record.validation_mse)},
                      {"best", record.best}});
  return epochs;
}

std::string shown(const Estimate& estimate) {
  if (!std::isfinite(estimate.value)) return "-";
  if (!std::isfinite(estimate.ci95.low)) return fmt::format("{:.4g}", estimate.value);
  return fmt::format("{:.4g} [{:.4g}, {:.4g}]", estimate.value, estimate.ci95.low, estimate.ci95.high);
}

void print(const std::vector<Validation>& validations, double tau) {
  std::string text = fmt::format("{:<12}{:>8} {:>10}  {:<24}  {:<24}  {:<24}  {}\n", "validation", "rows", "questions",
                                 "MSE", "Spearman", "AUROC (label >= 75)", fmt::format("share with d > {:g}", tau));
  for (const Validation& validation : validations) {
    const DifficultyMetrics& m = validation.metrics;
    text += fmt::format("{:<12}{:>8} {:>10}  {:<24}  {:<24}  {:<24}  {}\n", validation.name, m.rows, m.questions,
                        shown(m.mse), shown(m.spearman), shown(m.auroc), shown(m.slow_share));
  }
  std::fputs(text.c_str(), stdout);
}

/// Features of all examples; nothing after a signal.
std::optional<Examples> read_examples(const TrainOptions& o, Engine& engine, const Labels& labels,
                                      const ExamplePlan& plan, const GracefulInterruption& interruption) {
  Progress progress(Progress::style(o.quiet), std::ssize(labels.rows), 0);
  Examples examples = collect_examples(engine, labels, plan, [&](std::int64_t rows, std::int64_t tokens) {
    progress.update(rows, tokens);
    return !interruption.requested();
  });
  progress.clear();
  if (interruption.requested()) return std::nullopt;
  say(o, fmt::format("{} examples of {} features from {} questions; {} tokens in {:.1f} s", examples.size(),
                     examples.columns, labels.rows.size(), examples.tokens, progress.seconds()));
  return examples;
}

/// So that prompts have `share` of the whole weight, and the mean is 1. Empty for share 0.
std::vector<float> example_weights(const std::vector<ExampleKind>& kinds, double share) {
  std::vector<float> weights;
  if (share == 0) return weights;
  const auto all = static_cast<double>(kinds.size());
  const auto checkpoints = static_cast<double>(std::count(kinds.begin(), kinds.end(), ExampleKind::kCheckpoint));
  for (const ExampleKind kind : kinds)
    weights.push_back(static_cast<float>(kind == ExampleKind::kCheckpoint ? (1 - share) * all / checkpoints
                                                                          : share * all / (all - checkpoints)));
  return weights;
}

TrainingResult fit(const TrainOptions& o, const TrainerSettings& settings, Backend& backend, const Examples& examples,
                   const MatrixView& features, const GracefulInterruption& interruption) {
  const std::vector<float> weights = example_weights(examples.kinds, o.prompt_share);
  const TrainingData data{
      .features = features, .labels = examples.labels, .questions = examples.questions, .weights = weights};
  return train_head(backend, data, settings, [&](const EpochRecord& record) {
    say(o, cat(fmt::format("epoch {}: training loss {:.5g}", record.epoch, record.train_loss),
               std::isfinite(record.validation_loss)
                   ? fmt::format(", validation loss {:.5g}{}", record.validation_loss, record.best ? " (best)" : "")
                   : ""));
    return !interruption.requested();
  });
}

DifficultyHead head_of(const TrainingResult& result, const WindowSpec& window, const ModelConfig& config,
                       const std::string& model_hash, const Labels& labels, const std::string& recipe) {
  DifficultyHead head;
  head.window = window;
  head.hidden = result.head.hidden;
  head.w1 = result.head.w1;
  head.b1 = result.head.b1;
  head.w2 = result.head.w2;
  head.b2 = result.head.b2;
  head.mean = result.head.mean;
  head.deviation = result.head.deviation;
  pin_to_model(head, config, model_hash);
  head.template_set = labels.template_set;
  head.training_data = labels.sha256;
  head.recipe = recipe;
  return head;
}

Labels labels_for(const TrainOptions& o) {
  Labels labels = read_labels(o.input, o.limit);
  if (labels.failed > 0) say(o, cat("warning: ", labels.failed, " rows of ", o.input, " have an error and no label"));
  if (o.has_checkpoints() &&
      std::all_of(labels.rows.begin(), labels.rows.end(), [](const LabelRow& row) { return row.checkpoints.empty(); }))
    throw InputError(
        cat(o.input, ": no row has checkpoints, --rows ", o.rows, " needs them; run kvgauge label with --checkpoints"));
  if (o.easy_tokens >= 0)
    for (LabelRow& row : labels.rows) row.label = label_of(row, {.easy_tokens = o.easy_tokens});
  return labels;
}

int interrupted(const TrainOptions& o) {
  say(o, cat("interrupted: ", o.output, " is not written"));
  return kInterrupted;
}

int train(const TrainOptions& o) {
  check(o);
  const TrainerSettings settings = trainer_settings(o);
  const Labels labels = labels_for(o);
  const EngineOptions options = engine_options(o.model);
  const ModelFiles files = ModelFiles::open(options.model);
  const ModelConfig config = files.config();
  const WindowSpec window = window_of(o, config.layers);
  const std::string model_hash = files.content_hash();
  if (!model_hash.starts_with(labels.model))
    throw InputError(cat(o.input, ": its answers are of the model ", printable(labels.model), ", --model is ",
                         model_hash.substr(0, kModelDigits), "; give that model, or label with this one"));
  const GracefulInterruption interruption;
  auto engine = std::make_unique<Engine>(options);
  const ExamplePlan plan{
      .window = window,
      .prompts = o.has_prompts(),
      .checkpoints = o.has_checkpoints(),
      .raw = o.augment_raw,
      .checkpoint_rule = {.safe = 0, .unsafe = o.unsafe_label, .both_wrong = both_wrong_of(o.both_wrong)}};
  say(o, cat(config.name, " on ", engine->describe()));
  const auto examples = read_examples(o, *engine, labels, plan, interruption);
  engine.reset();  // its memory is the trainer's now
  if (!examples) return interrupted(o);

  const std::unique_ptr<Backend> backend = open_backend(options, config);
  const DeviceFeatures features(*backend, examples->size(), examples->columns, examples->features);
  const std::string started = utc_now();
  const TrainingResult result = fit(o, settings, *backend, *examples, features.view(), interruption);
  if (interruption.requested()) return interrupted(o);

  const std::vector<Validation> validations = validate(*backend, result, *examples, features.view(), settings);
  const OrderedJson reached = {{"train_questions", result.train_questions},
                               {"train_rows", result.train_rows},
                               {"best_epoch", result.best_epoch},
                               {"validation", validation_json(validations)}};
  const OrderedJson recipe = {
      {"kvgauge", build_info().version}, {"settings", settings_json(o, settings)}, {"reached", reached}};
  write_difficulty_head(o.output, head_of(result, plan.window, config, model_hash, labels, to_line(recipe)));
  const std::string id = read_difficulty_head(o.output).id;
  if (!o.log.empty()) {
    OrderedJson log = {
        {"kvgauge", {{"version", build_info().version}, {"commit", build_info().commit}}},
        {"head", {{"path", o.output}, {"id", id}}},
        {"labels",
         {{"path", o.input}, {"sha256", labels.sha256}, {"rows", labels.rows.size()}, {"failed", labels.failed}}},
        {"model", {{"path", options.model.string()}, {"hash", model_hash}}},
        {"template_set", labels.template_set},
        {"settings", settings_json(o, settings)},
        {"examples", examples->size()},
        {"features", examples->columns},
        {"started", started},
        {"finished", utc_now()},
        {"stopped_early", result.stopped_early}};
    log.update(reached);
    log["epochs"] = epochs_json(result);
    write_file_atomically(o.log, log.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n");
  }
  say(o, cat("epoch ", result.best_epoch, " of ", result.history.size(), " is kept; ", o.output, " is head ", id));
  if (!o.quiet && !validations.empty()) print(validations, o.tau);
  return kDone;
}

}  // namespace

Command add_train(CLI::App& root) {
  CLI::App* const app = root.add_subcommand(
      "train", "Train a difficulty head: labels in, a small network that reads difficulty off the KV cache out");
  const auto o = std::make_shared<TrainOptions>();
  add_text(*app, "--input", o->input, "FILE", "rows of `kvgauge label`");
  add_text(*app, "--output", o->output, "FILE", "the head, a .safetensors file (docs/difficulty_head.md)");
  add_text(*app, "--log", o->log, "FILE", "settings, loss curves and results as JSON");
  add_model_options(*app, o->model);
  add_count(*app, "--limit", o->limit, 1, kMany, "only the first N labelled questions");
  add_choice(*app, "--rows", o->rows, {"prompt", "checkpoints", "both"},
             "windows at the end of prompts (the paper's), at checkpoints of slow answers, or both (prompt)");
  add_text(*app, "--layers", o->layers, "all|lastN|LIST", "layers of the window, e.g. last2 or 0,3,8-11 (all)");
  add_count(*app, "--window", o->window, 0, INT32_MAX, "the last N positions; 0: all (128)");
  add_choice(*app, "--part", o->part, {"kv", "k", "v"}, "what of the cache it is made of (kv)");
  add_choice(*app, "--pos", o->pos, {"sum", "mean"}, "over positions (sum)");
  add_choice(*app, "--heads", o->heads, {"flatten", "mean"}, "heads one behind the other, or their mean (flatten)");
  add_choice(*app, "--over-layers", o->over_layers, {"mean", "sum"}, "over layers (mean)");
  add_count(*app, "--easy-tokens", o->easy_tokens, 0, kMany,
            "make labels anew: a right fast answer is 0 below N tokens, else 25 (as they are in the file)");
  add_real(*app, "--unsafe-label", o->unsafe_label, 0, 100,
           "of a checkpoint where closing gives a wrong answer; where it gives a right one: 0 (100)");
  add_choice(*app, "--both-wrong", o->both_wrong, {"unsafe", "safe", "drop"},
             "a checkpoint where thinking to the end is wrong as well: unsafe, safe (0), or no example (unsafe)");
  add_real(*app, "--prompt-share", o->prompt_share, 0.001, 0.999,
           "with --rows both: the prompts' part of the whole weight (every example counts alike)");
  app->add_flag("--augment-raw", o->augment_raw, "add each question without its chat template, with the same label");
  add_count(*app, "--hidden", o->hidden, 1, 65536, "width of the network (512)");
  add_choice(*app, "--loss", o->loss, {"mse", "bce", "ordinal"},
             "squared error of the label, cross entropy of label >= 75, or of its four steps (mse)");
  add_choice(*app, "--optimizer", o->optimizer, {"adam", "adamw"}, "(adam)");
  add_real(*app, "--lr", o->lr, 1e-12, 1e3, "learning rate (0.001)");
  add_real(*app, "--weight-decay", o->weight_decay, 0, 1e3, "(0)");
  add_count(*app, "--batch", o->batch, 1, 1 << 20, "examples of a step (1024)");
  add_count(*app, "--epochs", o->epochs, 1, 1'000'000, "at most (200)");
  add_count(*app, "--early-stop", o->early_stop, 0, 1'000'000,
            "end after N epochs without a better validation loss; 0: never (20)");
  add_choice(*app, "--standardize", o->standardize, {"on", "off"},
             "features by mean and deviation of the training rows, kept in the head (on)");
  add_real(*app, "--validation", o->validation, 0, 0.9, "share of the questions kept out of training (0.1)");
  add_real(*app, "--tau", o->tau, -1e6, 1e6, "the report's share of slow questions is above it (50)");
  add_count(*app, "--seed", o->seed, 0, INT64_MAX, "of the split, the first weights and the order (0)");
  app->add_flag("--quiet", o->quiet, "no progress, no report");
  app->footer(kExamples);
  return {app, [o] { return train(*o); }};
}

}  // namespace kvgauge::cli
