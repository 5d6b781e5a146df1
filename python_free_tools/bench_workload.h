#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "interruption.h"
#include "kvgauge/engine.h"
#include "kvgauge/request.h"
#include "measure/request_times.h"
#include "report/progress.h"

namespace kvgauge::cli {

/// The user ended a benchmark: what was not finished is dropped.
struct BenchInterrupted {};

/// A grid point: `batch` sequences that have `depth` positions in the cache already, with `prompt` further tokens to
/// compute and `generated` ones to draw.
struct GridPoint {
  std::int64_t batch = 1, depth = 0, prompt = 0, generated = 0;
  std::int64_t positions() const { return depth + prompt + generated; }
  std::string describe() const;  ///< "batch 8, depth 1024, prompt 512, 128 generated"
};

/// Sizes an engine for every point of a grid: batch, context, prefix cache (on where a depth is shared), pages.
/// @throws UsageError naming the first point that the model's context cannot hold
void fit_to_grid(EngineOptions& options, const ModelConfig& config, const std::vector<GridPoint>& points);
/// @throws UsageError naming the first point whose pages the engine lacks
void check_pages(const Engine& engine, const std::vector<GridPoint>& points);

/// Token ids that depend on (seed, stream, position) only: the first `count` are the same whatever `count` is.
std::vector<std::int32_t> random_tokens(std::uint64_t seed, std::uint64_t stream, std::int64_t count,
                                        std::int64_t vocab);

/// What running some requests to their end took.
struct BatchRun {
  double begin = 0, end = 0;        ///< seconds of a clock that only goes forward
  std::vector<RequestTimes> times;  ///< one for each request
  std::vector<Finished> finished;   ///< in the order of the requests
  double prefill_s = 0,
         decode_s = 0;  ///< of steps in which no sequence decoded; in which `whole` ones did and none prefilled
  std::int64_t prefill_tokens = 0, decode_tokens = 0;
  double all_s = 0;  ///< of all steps
};

double seconds_now();

/// An engine under measurement: runs batches, shows progress, hears the user's signals.
class BenchRunner {
 public:
  /// @param measurements how many there will be, for the progress bar
  BenchRunner(const EngineOptions& options, bool quiet);

  Engine& engine() { return engine_; }
  /// Submits all at once and steps to the end. @throws BenchInterrupted, InputError if a request failed
  BatchRun run(std::vector<Request> requests);
  /// The tokens that `depth` positions of sequence `index` hold, for a prompt to begin with.
  std::vector<std::int32_t> prefix(std::int64_t index, std::int64_t depth) const;
  /// `count` tokens that no prompt had before.
  std::vector<std::int32_t> fresh_tokens(std::int64_t count);
  /// Brings the prefixes of `batch` sequences into the prefix cache.
  void warm_prefixes(std::int64_t batch, std::int64_t depth);
  /// @throws UsageError if a request of a run did not find its whole pages of `depth` in the cache
  void check_prefixes(const BatchRun& run, std::int64_t depth) const;

  bool interrupted() const { return interruption_.requested(); }
  void expect(std::int64_t measurements);
  void measured();  ///< one more
  void set_seed(std::uint64_t seed) { seed_ = seed; }

 private:
  Engine engine_;
  GracefulInterruption interruption_;
  bool quiet_;
  std::uint64_t seed_ = 0, streams_ = 0;
  std::int64_t measured_ = 0;
  std::optional<Progress> progress_;
};

}  // namespace kvgauge::cli
