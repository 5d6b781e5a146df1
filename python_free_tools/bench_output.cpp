#include "bench_output.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "cli.h"
#include "core/cat.h"
#include "core/processor.h"
#include "engine/open_backend.h"
#include "kvgauge/error.h"
#include "loader/model_files.h"
#include "model/cache_layout.h"
#include "option_values.h"
#include "report/bench_html.h"
#include "report/build_info.h"
#include "report/manifest.h"

namespace kvgauge::cli {
namespace {

Json read_json(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw InputError(cat("--compare: ", path, ": cannot be read"));
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (file.bad()) throw InputError(cat("--compare: ", path, ": cannot be read"));
  return parse_json(text, path);
}

}  // namespace

void add_bench_output_options(CLI::App& app, BenchOutputOptions& o) {
  add_choice(app, "--format", o.format, {"md", "json", "jsonl", "csv", "html"}, "of the result (md)");
  add_text(app, "--output", o.output, "FILE", "or - for stdout (the default)");
  add_text(app, "--compare", o.compare, "FILE", "an earlier result in json: adds the ratios now / then of equal rows");
  app.add_flag("--quiet", o.quiet, "no progress");
}

void add_bench_model_options(CLI::App& app, BenchModelOptions& o) {
  add_compute_options(app, o);
  add_bytes(app, "--kv-memory", o.kv_memory, "memory for KV pages, e.g. 4GiB; left out: what the grid needs");
  add_count(app, "--step-tokens", o.step_tokens, 1, 65536, "new tokens of one step, all sequences together (512)");
  add_count(app, "--chunk-tokens", o.chunk_tokens, 1, 65536, "new tokens of one sequence in one step (512)");
  add_count(app, "--seed", o.seed, 0, INT64_MAX, "of the random token ids (0)");
  app.add_flag("--batch-invariant", o.batch_invariant, "same bits whatever shares the batch, at some cost in speed");
}

EngineOptions engine_options(const BenchModelOptions& o) {
  EngineOptions options = compute_options(o);
  options.step_tokens = o.step_tokens;
  options.chunk_tokens = o.chunk_tokens;
  return options;
}

BenchOutput::BenchOutput(const BenchOutputOptions& options, const std::string& benchmark)
    : options_(options), file_(options.output) {
  if (options.compare.empty()) return;
  compare_ = read_json(options.compare);
  BenchReport none;
  none.benchmark = benchmark;
  compare_bench(none, *compare_, options.compare);  // refuses what cannot be compared before hours of measuring
}

int BenchOutput::write(BenchReport report) {
  if (report.timed)
    if (std::string busy = busy_machine(report.machine, options_.quiet); !busy.empty())
      report.notes.push_back(std::move(busy));
  if (compare_) report.comparison = compare_bench(report, *compare_, options_.compare);
  const auto text = [&] {
    if (options_.format == "json") return bench_json(report);
    if (options_.format == "jsonl") return bench_jsonl(report);
    if (options_.format == "csv") return bench_csv(report);
    if (options_.format == "html") return bench_html(report);
    return bench_markdown(report);
  };
  file_.write(text());
  file_.finish();
  if (report.complete) return kDone;
  std::fputs("kvgauge: interrupted; what had been measured is in the result\n", stderr);
  return kInterrupted;
}

DType compute_dtype(const Engine& engine) {
  const EngineStats stats = engine.stats();
  const PageLayout wide = page_layout(engine.config(), DType::kF32);
  return stats.kv_bytes == static_cast<std::uint64_t>(stats.blocks * wide.block_bytes()) ? DType::kF32 : DType::kBF16;
}

std::uint64_t machine_memory() {
  return static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::string busy_machine(const OrderedJson& machine, bool quiet) {
  const auto cores = machine.value("cores", std::int64_t{1});
  const auto load = machine.find("load");
  if (load == machine.end() || !load->is_number() || load->get<double>() < 0.5 * static_cast<double>(cores)) return "";
  const std::string text =
      fmt::format("other work had the machine when this began (load {:.1f} on {} cores): times are disturbed",
                  load->get<double>(), cores);
  if (!quiet) std::fputs(cat("kvgauge: warning: ", text, "\n").c_str(), stderr);
  return text + ".";
}

OrderedJson machine_block() {
  const BuildInfo& build = build_info();
  double load[1] = {0};
  OrderedJson json = {{"cpu", processor_name()}, {"cores", usable_cores()},  {"memory_bytes", machine_memory()},
                      {"isa", cpu_features()},   {"version", build.version}, {"commit", build.commit},
                      {"build", build.options},  {"date", utc_now()}};
  json["load"] = ::getloadavg(load, 1) == 1 ? OrderedJson(load[0]) : OrderedJson();
  return json;
}

OrderedJson machine_block(const Engine& engine, const EngineOptions& options) {
  OrderedJson json = machine_block();
  json["device"] = engine.describe();
  json["threads"] = options.threads > 0 ? OrderedJson(options.threads) : json["cores"];
  json["dtype"] = name(compute_dtype(engine));
  json["model"] = engine.config().name;
  json["model_file"] = options.model.filename().string();
  json["model_sha256"] = engine.files().content_hash();
  return json;
}

}  // namespace kvgauge::cli
