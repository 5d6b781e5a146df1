#include "switch_runs.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <span>

#include "core/cat.h"
#include "core/printable.h"
#include "core/sha256.h"
#include "kvgauge/error.h"
#include "report/input_row.h"
#include "report/jsonl_reader.h"
#include "report/manifest.h"
#include "report/output_row.h"
#include "report/progress.h"

namespace kvgauge::cli {
namespace {

constexpr std::int64_t kWindowBatches = 4;
constexpr std::size_t kNameDigits = 16;

OrderedJson switches_json(const ThinkingRecord& record) {
  OrderedJson out = OrderedJson::array();
  for (const ThinkingSwitch& s : record.switches)
    out.push_back(
        {{"at", s.at}, {"from", name(s.from)}, {"to", name(s.to)}, {"d", number_json(s.d)}, {"injected", s.injected}});
  return out;
}

double number_of(const OrderedJson& row, const char* key) {
  const OrderedJson* const value = given(row, key);
  if (!value || !value->is_number()) throw FormatError(cat("runs: a row has no number '", key, "'"));
  return value->get<double>();
}

}  // namespace

QuestionSet read_questions(const std::string& path, std::int64_t limit, const QuestionOptions& options,
                           const QuestionPrompts& prompts) {
  JsonlReader input(path);
  QuestionSet set{.file = input.name(), .sha256 = {}, .questions = {}, .errors = {}};
  if (input.is_regular()) set.sha256 = inspect_input(path).sha256;
  RowFormat format;
  format.prompt_template = options.prompt_template;
  format.bare_question = options.paper();
  format.file = input.name();
  while (const auto line = input.next()) {
    if (limit > 0 && line->index >= limit) break;
    const InputRow row = parse_input_row(*line, format);
    const std::string where = cat(input.name(), ":", line->number);
    // A row that is no question does not end the job.
    try {
      if (!row.error.empty()) throw RequestError(row.error);
      const auto gold = gold_of(row.carried);
      if (!gold)
        throw RequestError(cat(where, ": no right answer to grade by, one of gold, answer or solution was needed"));
      AskedQuestion question{.index = row.index,
                             .where = where,
                             .id = row.id,
                             .key = {},
                             .fast_prompt = prompts.fast(row),
                             .slow_prompt = prompts.slow(row),
                             .gold = *gold};
      const auto bytes = std::as_bytes(std::span(question.slow_prompt));
      question.key = sha256_hex({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
      set.questions.push_back(std::move(question));
    } catch (const RequestError& error) {
      const std::string text = error.what();
      set.errors.push_back(text.starts_with(where) ? text : cat(where, ": ", text));
    }
  }
  return set;
}

/// The file of one plan and set.
struct SwitchRunner::Store {
  std::map<std::int64_t, OrderedJson> rows;  ///< by index
  std::unique_ptr<JsonlWriter> writer;       ///< nullptr: nothing is kept

  Store(const std::string& folder, const std::string& plan, const OrderedJson& key) {
    if (folder.empty()) return;
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error) throw OutputError(cat("--runs: ", folder, ": cannot be made: ", error.message()));
    const std::string first = to_line({{"key", key}});
    const std::string path =
        (std::filesystem::path(folder) / cat(plan, "-", sha256_hex(first).substr(0, kNameDigits), ".jsonl")).string();
    const bool is_there = std::filesystem::exists(path, error);
    std::uintmax_t whole = 0;  // up to the end of the last whole row: a killed process may have left a part of one
    if (is_there) whole = read(path, first);
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file < 0) throw OutputError(cat(path, ": cannot be opened for writing: ", std::strerror(errno)));
    writer = std::make_unique<JsonlWriter>(file, path, true);
    if (is_there && std::filesystem::file_size(path, error) > whole) std::filesystem::resize_file(path, whole);
    if (whole == 0) writer->write(first);
  }

  std::uintmax_t read(const std::string& path, const std::string& first) {
    JsonlReader reader(path);
    std::uintmax_t whole = 0;
    const std::uintmax_t size = std::filesystem::file_size(path);
    while (const auto line = reader.next()) {
      if (whole + line->text.size() + 1 > size) break;  // no line end: cut off
      if (line->index == 0) {
        if (line->text != first)
          throw FormatError(cat(path, ": does not begin with the key of its name; give another folder to --runs"));
      } else {
        OrderedJson row = parse_row(*line, cat(path, ":", line->number));
        const auto index = static_cast<std::int64_t>(number_of(row, "index"));
        rows[index] = std::move(row);
      }
      whole += line->text.size() + 1;
    }
    return whole;
  }

  void keep(std::int64_t index, OrderedJson row) {
    if (writer) writer->write(to_line(row));
    rows[index] = std::move(row);
  }
};

SwitchRunner::SwitchRunner(Engine& engine, Options options) : engine_(&engine), options_(std::move(options)) {}

OrderedJson SwitchRunner::outcome_row(const AskedQuestion& question, const Finished& finished) const {
  OrderedJson row = {{"index", question.index}, {"id", question.id}};
  if (!finished.error.empty()) {
    row["error"] = cat(question.where, ": ", finished.error);
    return row;
  }
  row["prompt"] = static_cast<std::int64_t>(question.slow_prompt.size());
  if (std::isfinite(finished.difficulty)) row["d"] = finished.difficulty;
  if (finished.answers.empty()) return row;
  const Answer& answer = finished.answers.front();
  GradeOptions grading = options_.grading;
  grading.finished = answer.finish_reason == FinishReason::kStop;
  grading.answer_type = question.gold.answer_type;
  const Grade grade = kvgauge::grade(options_.dataset, answer.text, question.gold.text, grading);
  row["correct"] = grade.correct;
  row["paper_correct"] = grade.paper_correct;
  row["predicted"] = grade.predicted ? OrderedJson(*grade.predicted) : OrderedJson();
  row["finish_reason"] = name(answer.finish_reason);
  const ThinkingRecord record = answer.thinking.value_or(ThinkingRecord{});
  row["first"] = name(record.first);
  row["last"] = name(record.last);
  row["switches"] = switches_json(record);
  row["sampled"] = record.sampled;
  row["injected"] = record.injected;
  row["paper"] = record.last_segment;
  row["probes"] = record.probes;
  row["wall_ms"] = finished.e2e_ms - finished.queue_ms;
  row["text"] = answer.text;
  if (options_.scores.kv_coe || options_.scores.prob || options_.scores.coe)
    row["scores"] = scores_json(answer, options_.scores);
  return row;
}

bool SwitchRunner::interrupted() const { return interruption_.requested(); }

std::vector<OrderedJson> SwitchRunner::run(const RunPlan& plan, const QuestionSet& set) {
  OrderedJson key = options_.shared;
  key["plan"] = plan.name;
  key.update(plan.key);
  key["input"] = set.sha256.empty() ? OrderedJson(set.file) : OrderedJson(set.sha256);
  Store store(set.sha256.empty() ? "" : options_.folder, plan.name, key);
  Progress progress(options_.quiet ? Progress::Style::kNone : Progress::style(false),
                    static_cast<std::int64_t>(set.questions.size()), static_cast<std::int64_t>(store.rows.size()));
  const EngineStats before = engine_->stats();
  std::map<std::int64_t, const AskedQuestion*> under_way;
  const auto window = static_cast<std::size_t>(kWindowBatches * options_.batch);
  std::size_t next = 0, done = 0;
  while (!interrupted() && (next < set.questions.size() || !under_way.empty())) {
    for (; next < set.questions.size() && under_way.size() < window; ++next) {
      const AskedQuestion& question = set.questions[next];
      if (store.rows.contains(question.index))
        ++done;
      else
        under_way.emplace(engine_->submit(plan.request(question)), &question);
    }
    engine_->step();
    while (const auto finished = engine_->next_finished()) {
      const auto at = under_way.find(finished->request);
      if (at == under_way.end()) continue;  // of a plan that was interrupted
      store.keep(at->second->index, outcome_row(*at->second, *finished));
      under_way.erase(at);
      ++done;
      ++generated_;
    }
    const EngineStats now = engine_->stats();
    progress.update(static_cast<std::int64_t>(done),
                    now.prefill_tokens + now.decode_tokens - before.prefill_tokens - before.decode_tokens);
  }
  progress.clear();
  if (store.writer) store.writer->flush();
  std::vector<OrderedJson> rows;
  if (interrupted()) return rows;
  for (const AskedQuestion& question : set.questions) rows.push_back(std::move(store.rows.at(question.index)));
  return rows;
}

RunOutcome outcome_of(const OrderedJson& row, double full_first) {
  RunOutcome out;
  out.correct = row.value("correct", false);
  out.truncated = row.value("finish_reason", "") != "stop";
  out.slow = row.value("first", "") == "slow";
  const double sampled = number_of(row, "sampled"), injected = number_of(row, "injected");
  double after_first = 0;
  if (const OrderedJson* const switches = given(row, "switches"); switches && switches->is_array())
    for (const OrderedJson& s : *switches) {
      if (number_of(s, "injected") == 0) continue;  // the model closed the block itself
      if (out.switches++ == 0) after_first = sampled - number_of(s, "at");
    }
  out.tokens.of(TokenCounter::kSampled) = sampled;
  out.tokens.of(TokenCounter::kInjected) = injected;
  out.tokens.of(TokenCounter::kProcessed) = sampled + injected;
  out.tokens.of(TokenCounter::kPrompt) = number_of(row, "prompt");
  out.tokens.of(TokenCounter::kPaper) = number_of(row, "paper");
  out.tokens.of(TokenCounter::kPosthocTrue) = out.switches > 0 ? full_first + after_first : sampled;
  out.probes = number_of(row, "probes");
  out.wall_ms = number_of(row, "wall_ms");
  return out;
}

}  // namespace kvgauge::cli
