#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common_options.h"
#include "kvgauge/engine.h"
#include "report/input_row.h"
#include "report/job_output.h"
#include "report/jsonl_reader.h"
#include "report/output_row.h"

namespace kvgauge::cli {

/// Rows under way, in batches: those read ahead of the oldest one that is not done. Bounds the memory of a job.
inline constexpr std::int64_t kWindowBatches = 8;

/// What one row asks of the engine: requests, of which some may follow from the answers to others.
class RowTask {
 public:
  virtual ~RowTask() = default;
  /// The requests to begin with. @throws RequestError: the row fails
  virtual std::vector<Request> begin() = 0;
  /// One of them has finished without an error; numbered as they were handed out, from 0.
  /// @return what follows from it. @throws RequestError: the row fails
  virtual std::vector<Request> accept(std::int64_t number, Finished finished) = 0;
  /// The output row, when all are done.
  virtual OrderedJson row() = 0;
};

/// A verb that turns rows into requests and finished requests into rows. What `run` and `score` share:
/// the order of checks (everything that can be refused is refused before the model is loaded), resume, progress,
/// interruption.
struct Job {
  Manifest manifest = {};  ///< verb and settings filled in
  JobOptions options = {};
  EngineOptions engine = {};
  RowFormat rows = {};
  OutputFormat output = {};
  /// Called once when the model is open; returns what makes a request of a row (RequestError: the row fails).
  std::function<std::function<Request(InputRow&)>(Engine&)> open = {};
  /// In its place: returns what makes a task of a row, which outlives the task. `output` is then not looked at.
  std::function<std::function<std::unique_ptr<RowTask>(const InputRow&)>(Engine&)> open_tasks = {};
  std::int64_t window_batches = kWindowBatches;
  /// Where rows go, if not into JSONL.
  std::function<std::unique_ptr<RowOutput>()> make_output = {};
};

/// @return kDone, kRowsFailed or kInterrupted
int run_job(Job job);

}  // namespace kvgauge::cli
