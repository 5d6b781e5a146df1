#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "report/output_row.h"

namespace kvgauge {

/// Sums over the rows of an output.
struct JobTotals {
  std::int64_t rows = 0, failed = 0, prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
  std::int64_t truncated = 0;  ///< texts that were cut before they were computed (`embed`)
  void add(const RowFacts& row);
};

/// What made an output: OUTPUT.manifest.json. `settings` decide the results; an output is resumed only with equal ones.
struct Manifest {
  std::string verb = {};
  OrderedJson settings = OrderedJson::object();  ///< flat: flag name without dashes -> value
  std::string input = {}, input_sha256 = {};
  std::string model = {}, model_hash = {};          ///< the hash is empty until the model is open
  OrderedJson environment = OrderedJson::object();  ///< what does not decide results: threads, engine, machine
  std::string started = {}, finished = {};          ///< UTC; `finished` is empty while the job runs
  JobTotals totals = {};

  OrderedJson to_json() const;
};

std::string manifest_path(const std::string& output);
/// @return nothing if there is none. @throws FormatError if it is none of ours
std::optional<Json> read_manifest(const std::string& output);
/// Atomic. @throws OutputError
void write_manifest(const std::string& output, const Manifest& manifest);

/// One phrase per setting that differs: "--temperature (0 then, 0.7 now)". A model hash that is not known yet is not
/// compared.
std::vector<std::string> differences(const Json& then, const Manifest& now);

/// Facts of an input file that can be read again.
struct InputFacts {
  std::string sha256;
  std::int64_t lines = 0;
};
/// @throws InputError
InputFacts inspect_input(const std::string& path);

std::string utc_now();  ///< "2026-01-31T23:59:59Z"

}  // namespace kvgauge
