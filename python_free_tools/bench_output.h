#pragma once
#include <CLI/App.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common_options.h"
#include "core/dtype.h"
#include "core/json.h"
#include "kvgauge/engine.h"
#include "report/bench_report.h"
#include "result_file.h"

namespace kvgauge::cli {

/// Where a benchmark's result goes.
struct BenchOutputOptions {
  std::string format = "md", output = "-", compare;
  bool quiet = false;
};
void add_bench_output_options(CLI::App& app, BenchOutputOptions& options);

/// The model a benchmark runs, and how the engine cuts its steps.
struct BenchModelOptions : ComputeOptions {
  std::int64_t step_tokens = 512, chunk_tokens = 512, seed = 0;
};
void add_bench_model_options(CLI::App& app, BenchModelOptions& options);
/// Without sizes. @throws UsageError, DeviceError, InputError
EngineOptions engine_options(const BenchModelOptions& options);

/// Opens what the result is written to and reads --compare, before anything is measured.
class BenchOutput {
 public:
  /// @throws OutputError, InputError, FormatError
  BenchOutput(const BenchOutputOptions& options, const std::string& benchmark);
  /// Writes the report. @return the exit code: kInterrupted if it is not complete
  int write(BenchReport report);

 private:
  BenchOutputOptions options_;
  ResultFile file_;
  std::optional<Json> compare_;
};

/// A sentence for the notes if other work had the machine when it began; else empty. Unless `quiet`, also on stderr.
std::string busy_machine(const OrderedJson& machine, bool quiet);

/// The machine and the build: cpu, cores, memory_bytes, isa, version, commit, build, date, load.
OrderedJson machine_block();
/// With device, threads, dtype, model and model_sha256 of an engine behind them.
OrderedJson machine_block(const Engine& engine, const EngineOptions& options);
/// What the engine multiplies in and keeps K and V in, as the size of its pages shows.
DType compute_dtype(const Engine& engine);
/// Physical memory of this machine, bytes.
std::uint64_t machine_memory();

}  // namespace kvgauge::cli
