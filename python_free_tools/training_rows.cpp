#include "training_rows.h"

#include <algorithm>
#include <map>

#include "core/cat.h"
#include "core/check.h"
#include "core/printable.h"
#include "difficulty/trainer.h"
#include "engine/prompt.h"
#include "gold_answer.h"
#include "kvgauge/error.h"
#include "loader/model_config.h"
#include "report/input_row.h"
#include "report/jsonl_reader.h"
#include "report/manifest.h"
#include "requests.h"

namespace kvgauge::cli {
namespace {

struct Place {
  ExampleKind kind;
  float label;
};
/// A request and what its windows are.
struct Reading {
  Request request;
  std::vector<Place> places;
};

/// The prompt, and behind it the first slow generation up to the last checkpoint. Nothing if no window is wanted.
Reading reading_of(const LabelRow& row, const ExamplePlan& plan) {
  Reading reading;
  Request& request = reading.request;
  request.prompt = row.prompt_ids;
  request.window = plan.window;
  if (plan.prompts) {
    request.window_ends.push_back(std::ssize(row.prompt_ids));
    reading.places.push_back({ExampleKind::kPrompt, static_cast<float>(row.label)});
  }
  const LabelledGeneration& slow = row.slow.front();
  std::int64_t last = -1;
  if (plan.checkpoints)
    for (const LabelledCheckpoint& checkpoint : row.checkpoints) {
      const auto label =
          checkpoint_label(checkpoint.closing.outcome.correct, slow.outcome.correct, plan.checkpoint_rule);
      if (!label) continue;
      last = checkpoint.at;
      request.window_ends.push_back(std::ssize(row.prompt_ids) + std::ssize(row.open_ids) + last);
      reading.places.push_back({ExampleKind::kCheckpoint, static_cast<float>(*label)});
    }
  if (last < 0) {
    request.prompt_only = true;
    return reading;
  }
  request.response = row.open_ids;
  // The last token of a response is not fed to the model: one more than the last window needs.
  request.response->insert(request.response->end(), slow.output_ids.begin(), slow.output_ids.begin() + last + 1);
  request.response_finished = false;
  return reading;
}

Reading raw_reading(const LabelRow& row, const ExamplePlan& plan, const Prompter& prompter, const std::string& where) {
  if (!row.question)
    throw InputError(
        cat(where, ": the question of id '", printable(row.id), "' is not there as text, which --augment-raw needs"));
  Reading reading;
  reading.request.prompt = prompter.tokens_of_text(*row.question);
  reading.request.prompt_only = true;
  reading.request.window = plan.window;
  reading.request.window_ends = {std::ssize(reading.request.prompt)};
  reading.places = {{ExampleKind::kRaw, static_cast<float>(row.label)}};
  return reading;
}

/// Submits readings and puts their windows where they belong, in the order of the rows.
class Collector {
 public:
  Collector(Engine& engine, const Labels& labels, const ExamplePlan& plan)
      : engine_(engine), labels_(labels), plan_(plan), prompter_(prompter_of(engine)) {
    const ModelConfig& config = engine.config();
    examples_.columns = window_features(plan.window, config.kv_heads, config.head_dim);
  }

  std::int64_t unfinished() const { return std::ssize(first_of_); }
  void start(const LabelRow& row) {
    submit(row, reading_of(row, plan_));
    if (plan_.raw) submit(row, raw_reading(row, plan_, prompter_, labels_.file));
  }
  void collect() {
    while (const auto finished = engine_.next_finished()) {
      const auto at = first_of_.find(finished->request);
      const Where where = at->second;
      first_of_.erase(at);
      if (!finished->error.empty())
        throw InputError(cat(labels_.file, ": id '", printable(*where.id), "': ", finished->error));
      const std::vector<float>& windows = finished->answers.front().windows;
      KVGAUGE_CHECK(std::ssize(windows) == where.count * examples_.columns);
      std::copy(windows.begin(), windows.end(), examples_.features.begin() + where.first * examples_.columns);
    }
  }
  Examples take() {
    const EngineStats stats = engine_.stats();
    examples_.tokens = stats.prefill_tokens;
    return std::move(examples_);
  }

 private:
  struct Where {
    std::int64_t first = 0, count = 0;  // examples
    const std::string* id = nullptr;
  };
  void submit(const LabelRow& row, Reading reading) {
    if (reading.places.empty()) return;
    const Where where{.first = examples_.size(), .count = std::ssize(reading.places), .id = &row.id};
    const std::uint64_t question = question_key(row.question ? *row.question : row.id);
    for (const Place& place : reading.places) {
      examples_.labels.push_back(place.label);
      examples_.kinds.push_back(place.kind);
      examples_.questions.push_back(question);
    }
    examples_.features.resize(static_cast<std::size_t>(examples_.size() * examples_.columns));
    first_of_.emplace(engine_.submit(std::move(reading.request)), where);
  }

  Engine& engine_;
  const Labels& labels_;
  const ExamplePlan& plan_;
  Prompter prompter_;
  Examples examples_;
  std::map<std::int64_t, Where> first_of_;  // by request
};

}  // namespace

Labels read_labels(const std::string& path, std::int64_t limit) {
  Labels labels;
  labels.file = path;
  labels.sha256 = inspect_input(path).sha256;
  JsonlReader reader(path);
  while (const auto line = reader.next()) {
    if (limit > 0 && std::ssize(labels.rows) == limit) break;
    const std::string where = cat(path, ":", line->number);
    LabelRow row;
    try {
      const OrderedJson json = parse_row(*line, where);
      if (given(json, "error")) {
        ++labels.failed;
        continue;
      }
      row = read_label_row(json);
    } catch (const RequestError& error) {
      throw FormatError(cat(where, ": ", error.what()));
    }
    if (labels.rows.empty()) {
      labels.model = row.model;
      labels.template_set = row.template_set;
    }
    const auto same = [&](const char* what, const std::string& first, const std::string& here) {
      if (first != here)
        throw FormatError(cat(where, ": ", what, " is '", printable(here), "', '", printable(first),
                              "' was needed, as in the rows before"));
    };
    same("'model'", labels.model, row.model);
    same("'template_set'", labels.template_set, row.template_set);
    labels.rows.push_back(std::move(row));
  }
  if (labels.rows.empty()) throw FormatError(cat(path, ": found no row with a label, at least one was needed"));
  return labels;
}

Examples collect_examples(Engine& engine, const Labels& labels, const ExamplePlan& plan,
                          const std::function<bool(std::int64_t, std::int64_t)>& progress) {
  constexpr std::int64_t kUnderWay = 256;
  Collector collector(engine, labels, plan);
  std::size_t next = 0;
  while (next < labels.rows.size() || collector.unfinished() > 0) {
    while (next < labels.rows.size() && collector.unfinished() < kUnderWay) collector.start(labels.rows[next++]);
    engine.step();
    collector.collect();
    if (!progress(std::max<std::int64_t>(static_cast<std::int64_t>(next) - collector.unfinished(), 0),
                  engine.stats().prefill_tokens))
      break;
  }
  return collector.take();
}

}  // namespace kvgauge::cli
