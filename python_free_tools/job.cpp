#include "job.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>

#include "cli.h"
#include "core/cat.h"
#include "interruption.h"
#include "kvgauge/error.h"
#include "loader/model_files.h"
#include "report/build_info.h"
#include "report/progress.h"

namespace kvgauge::cli {
namespace {

constexpr int kShownWarnings = 20;

enum class Level { kError, kWarn, kInfo, kDebug };

Level level_of(const JobOptions& options) {
  if (options.quiet || options.log_level == "error") return Level::kError;
  return options.log_level == "warn" ? Level::kWarn : options.log_level == "debug" ? Level::kDebug : Level::kInfo;
}

/// The usual row: one request, whose answer is the row.
class OneRequest : public RowTask {
 public:
  OneRequest(Request request, const InputRow& input, const OutputFormat& format)
      : request_(std::move(request)), input_(input), format_(format) {
    if (format.token_ids) prompt_ = request_.prompt;
  }
  std::vector<Request> begin() override {
    std::vector<Request> requests;
    requests.push_back(std::move(request_));
    return requests;
  }
  std::vector<Request> accept(std::int64_t, Finished finished) override {
    row_ = output_row(input_, finished, prompt_, format_);
    return {};
  }
  OrderedJson row() override { return std::move(row_); }

 private:
  Request request_;
  const InputRow& input_;
  const OutputFormat& format_;
  std::vector<std::int32_t> prompt_;  // only if it is to be shown
  OrderedJson row_;
};

/// Makes a task of a row.
using TaskMaker = std::function<std::unique_ptr<RowTask>(InputRow&)>;
TaskMaker task_maker(const Job& job, Engine& engine) {
  if (job.open_tasks) return job.open_tasks(engine);
  return [&job, make = job.open(engine)](InputRow& input) -> std::unique_ptr<RowTask> {
    Request request = make(input);
    return std::make_unique<OneRequest>(std::move(request), input, job.output);
  };
}

class JobLoop {
 public:
  JobLoop(const Job& job, Engine& engine, RowOutput& output, JsonlReader& input, std::optional<std::int64_t> total)
      : job_(job),
        engine_(engine),
        output_(output),
        input_(input),
        make_task_(task_maker(job, engine)),
        level_(level_of(job.options)),
        window_(static_cast<std::size_t>(job.window_batches * job.engine.max_batch)),
        progress_(level_ < Level::kInfo ? Progress::Style::kNone : Progress::style(false), total,
                  output.totals().rows) {}

  /// @return false if a signal ended it before the last row
  bool run();
  double seconds() const { return progress_.seconds(); }
  std::int64_t tokens() const { return engine_.stats().prefill_tokens + engine_.stats().decode_tokens; }

 private:
  // A row that has been read and not been written.
  struct Row {
    InputRow input;
    std::unique_ptr<RowTask> task;
    std::int64_t handed_out = 0, unfinished = 0;  // requests
    std::optional<OrderedJson> output;            // when it has finished
  };
  struct Place {
    std::int64_t index = 0, number = 0;  // the row, and which of its requests
  };
  void read_rows();
  void start(InputRow input);
  void submit(std::int64_t index, std::vector<Request> requests);
  void accept(std::int64_t index, std::int64_t number, Finished finished);
  void collect();
  void fail(std::int64_t index, const std::string& error);
  void finish(std::int64_t index, OrderedJson output);
  void write_ready(bool all);
  void warn(const std::string& text);
  bool has_more() const { return !(input_.ended() || (job_.options.limit > 0 && next_index_ >= job_.options.limit)); }

  const Job& job_;
  Engine& engine_;
  RowOutput& output_;
  JsonlReader& input_;
  TaskMaker make_task_;
  Level level_;
  std::size_t window_;
  Progress progress_;
  GracefulInterruption interruption_;
  std::map<std::int64_t, Row> rows_;        // by index
  std::map<std::int64_t, Place> place_of_;  // request -> row
  std::int64_t next_index_ = 0;
  int warnings_ = 0;
};

bool JobLoop::run() {
  while (!interruption_.requested() && (has_more() || !rows_.empty())) {
    read_rows();
    engine_.step();
    collect();
    write_ready(job_.options.unordered);
    progress_.update(output_.totals().rows, tokens());
  }
  const bool complete = !has_more() && rows_.empty();
  write_ready(true);  // after a signal: what has finished out of order is kept
  output_.finish(complete && !job_.options.unordered);
  progress_.clear();
  return complete;
}

void JobLoop::read_rows() {
  while (has_more() && rows_.size() < window_ && !interruption_.requested()) {
    auto line = input_.next(rows_.empty());  // with rows under way, only what has arrived
    if (!line) return;
    next_index_ = line->index + 1;
    if (!output_.done(line->index)) start(parse_input_row(*line, job_.rows));
  }
}

void JobLoop::start(InputRow input) {
  const std::int64_t index = input.index;
  Row& row = rows_[index];
  row.input = std::move(input);
  if (!row.input.error.empty()) {
    fail(index, row.input.error);
    return;
  }
  // As in parse_input_row: here the failure of one row becomes a value, so that the job goes on.
  try {
    row.task = make_task_(row.input);
    submit(index, row.task->begin());
    if (row.unfinished == 0) finish(index, row.task->row());
  } catch (const RequestError& error) {
    fail(index, error.what());
  }
}

void JobLoop::submit(std::int64_t index, std::vector<Request> requests) {
  Row& row = rows_.at(index);
  row.unfinished += std::ssize(requests);
  for (Request& request : requests)
    place_of_.emplace(engine_.submit(std::move(request)), Place{.index = index, .number = row.handed_out++});
}

void JobLoop::accept(std::int64_t index, std::int64_t number, Finished finished) {
  const auto at = rows_.find(index);
  if (at == rows_.end() || at->second.output) return;  // the row has failed in another of its requests
  Row& row = at->second;
  --row.unfinished;
  if (!finished.error.empty()) {
    fail(index, finished.error);
    return;
  }
  try {
    submit(index, row.task->accept(number, std::move(finished)));
    if (row.unfinished == 0) finish(index, row.task->row());
  } catch (const RequestError& error) {
    fail(index, error.what());
  }
}

void JobLoop::collect() {
  while (auto finished = engine_.next_finished()) {
    const auto at = place_of_.find(finished->request);
    const Place place = at->second;
    place_of_.erase(at);
    accept(place.index, place.number, std::move(*finished));
  }
}

void JobLoop::fail(std::int64_t index, const std::string& error) {
  InputRow& input = rows_.at(index).input;
  if (input.error.empty()) input.error = cat(job_.rows.file, ":", input.line, ": ", error);
  finish(index, error_row(input, input.error));
}

void JobLoop::finish(std::int64_t index, OrderedJson output) {
  Row& row = rows_.at(index);
  const RowFacts facts = row_facts(output, "row");
  if (facts.failed) warn(row.input.error);
  row.output = std::move(output);
  row.task.reset();  // before the input, which it may look at
  row.input = {};
}

void JobLoop::write_ready(bool all) {
  for (auto row = rows_.begin(); row != rows_.end();) {
    if (row->second.output) {
      output_.write(*row->second.output);
      row = rows_.erase(row);
    } else if (all) {
      ++row;
    } else {
      return;
    }
  }
}

void JobLoop::warn(const std::string& text) {
  if (level_ < Level::kWarn || ++warnings_ > kShownWarnings) return;
  progress_.clear();
  std::fputs(cat("kvgauge: warning: ", text, "\n").c_str(), stderr);
  if (warnings_ == kShownWarnings)
    std::fputs("kvgauge: warning: further rows that fail are shown in the output only\n", stderr);
}

void say(const Job& job, Level level, const std::string& text) {
  if (level_of(job.options) >= level) std::fputs(cat("kvgauge: ", text, "\n").c_str(), stderr);
}

}  // namespace

int run_job(Job job) {
  JsonlReader input(job.options.input);
  job.rows.file = input.name();
  std::optional<std::int64_t> total;
  job.manifest.input = job.options.input;
  if (input.is_regular()) {
    const InputFacts facts = inspect_input(job.options.input);
    job.manifest.input_sha256 = facts.sha256;
    total = job.options.limit > 0 ? std::min(job.options.limit, facts.lines) : facts.lines;
  } else if (job.options.resume) {
    throw UsageError(cat("--resume: ", input.name(), " cannot be read again, a file was needed for --input"));
  }
  const std::unique_ptr<RowOutput> output =
      job.make_output ? job.make_output()
                      : std::make_unique<JobOutput>(JobOutput::Options{.path = job.options.output,
                                                                       .resume = job.options.resume,
                                                                       .retry_failed = job.options.retry_failed},
                                                    job.manifest);

  Engine engine(job.engine);
  job.manifest.model = job.engine.model.string();
  if (output->is_regular()) {
    job.manifest.model_hash = engine.files().content_hash();
    output->model_opened(job.manifest);
    job.manifest.started = output->started().value_or(utc_now());
    job.manifest.totals = output->totals();
    job.manifest.environment["engine"] = engine.describe();
    job.manifest.environment["cpu_features"] = cpu_features();
    job.manifest.environment["max-batch"] = job.engine.max_batch;
    job.manifest.environment["prefix-cache"] = job.engine.prefix_cache;
  }
  say(job, Level::kInfo, cat(engine.config().name, " on ", engine.describe()));
  JobLoop loop(job, engine, *output, input, total);  // refuses what does not go with this model
  if (output->is_regular()) write_manifest(job.options.output, job.manifest);
  const bool complete = loop.run();

  const JobTotals& totals = output->totals();
  job.manifest.totals = totals;
  if (complete) job.manifest.finished = utc_now();
  if (output->is_regular()) write_manifest(job.options.output, job.manifest);
  if (totals.truncated > 0)
    say(job, Level::kWarn,
        cat("warning: ", totals.truncated, " texts were longer than --max-length or the context and were cut"));
  const EngineStats stats = engine.stats();
  say(job, Level::kInfo,
      fmt::format("{} rows, {} failed, {} completion tokens; {:.1f} s, {:.0f} tok/s", totals.rows, totals.failed,
                  totals.completion_tokens, loop.seconds(),
                  static_cast<double>(loop.tokens()) / std::max(loop.seconds(), 1e-3)));
  say(job, Level::kDebug,
      cat(stats.steps, " steps, ", stats.prefill_tokens, " prefill and ", stats.decode_tokens, " decode tokens, ",
          stats.cached_tokens, " from the prefix cache, ", stats.preemptions, " preemptions, ", stats.gauge_calls,
          " gauge and ", stats.stats_calls, " statistics calls"));
  if (!complete) {
    const char* const remedy = output->resumable() ? "; go on with --resume"
                               : output->is_regular()
                                   ? " to nothing that can be continued: this format is made as a whole"
                                   : "";
    say(job, Level::kError, cat("interrupted: ", totals.rows, " rows are written", remedy));
    return kInterrupted;
  }
  return totals.failed > 0 ? kRowsFailed : kDone;
}

}  // namespace kvgauge::cli
