// kvgauge bench memory: what a model, its cache and its gauges take, and what stored hidden states would.
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <memory>

#include "bench_commands.h"
#include "bench_output.h"
#include "bench_workload.h"
#include "core/cat.h"
#include "kvgauge/error.h"
#include "loader/model_files.h"
#include "measure/memory_costs.h"
#include "measure/value_grid.h"
#include "model/cache_layout.h"
#include "model/step_costs.h"
#include "option_values.h"

namespace kvgauge::cli {
namespace {

constexpr const char* kExamples = R"(
Examples:
  kvgauge bench memory                                                      the embedded model, 4,096 and 32,768 positions
  kvgauge bench memory --shape qwen3-32b --context 131072                   the paper's Figure 1
  kvgauge bench memory --shape all --memory 80GiB --format html --output memory.html
  kvgauge bench memory --model SmolLM2.gguf --context 1024-4096*2 -b 1,8 --measure
)";

struct MemoryOptions {
  BenchModelOptions model;
  BenchOutputOptions output;
  std::string shape, context = "4096,32768", batch = "1";
  std::uint64_t memory = 0;
  bool measure = false;
};

struct Subject {
  ModelConfig config;
  DType dtype = DType::kBF16;
};

std::vector<Subject> subjects(const MemoryOptions& o) {
  if (!o.shape.empty() && !o.model.model.empty())
    throw UsageError("--shape: --model was given as well, one of them was needed");
  if (o.measure && !o.shape.empty()) throw UsageError("--measure: a --shape has no weights to load; give --model");
  std::vector<Subject> out;
  if (o.shape.empty())
    out.push_back({.config = ModelFiles::open(model_path(o.model.model)).config()});
  else
    for (const std::string& name : o.shape == "all" ? known_shapes() : split_list(o.shape))
      out.push_back({.config = shape_of(name)});
  for (Subject& subject : out) {
    const bool wide = o.model.dtype == "f32" || (o.model.dtype == "auto" && subject.config.stored_dtype == DType::kF32);
    subject.dtype = wide ? DType::kF32 : DType::kBF16;
  }
  return out;
}

/// The row of a point; the bytes are those of the formula until something is measured.
OrderedJson row_of(const ModelConfig& config, DType dtype, const char* source, const GridPoint& point,
                   const MemoryCosts& costs, std::uint64_t weights, std::uint64_t kv, std::uint64_t gauges,
                   std::uint64_t memory) {
  const std::uint64_t hidden = costs.hidden(point.batch, point.depth), total = weights + kv + gauges;
  MemoryCosts found = costs;
  found.weights = weights;
  return {{"model", config.name},
          {"dtype", name(dtype)},
          {"source", source},
          {"context", point.depth},
          {"batch", point.batch},
          {"weights_bytes", weights},
          {"kv_bytes", kv},
          {"gauge_bytes", gauges},
          {"total_bytes", total},
          {"hidden_bytes", hidden},
          {"total_with_hidden_bytes", total + hidden},
          {"factor", static_cast<double>(total + hidden) / static_cast<double>(total)},
          {"kv_bytes_per_token", costs.kv_per_token},
          {"hidden_bytes_per_token", costs.hidden_per_token},
          {"memory_bytes", memory},
          {"sequences", found.sequences(memory, point.depth, false)},
          {"sequences_with_hidden", found.sequences(memory, point.depth, true)}};
}

std::uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::vector<Request> prompts(BenchRunner& runner, const GridPoint& point, bool gauged) {
  std::vector<Request> out(static_cast<std::size_t>(point.batch));
  for (Request& request : out) {
    request.prompt = runner.fresh_tokens(std::max<std::int64_t>(1, point.depth - 1));
    request.stop = {.max_tokens = 1, .stop = {}, .ignore_eos = true};
    request.scores.kv_coe = request.scores.prob = gauged;
    request.scores.span = GaugeSpan::kAll;
  }
  return out;
}

/// Loads the model with pages for the point, fills them, and sees what the process has become.
OrderedJson measured(const MemoryOptions& o, const GridPoint& point, std::uint64_t memory, OrderedJson& machine) {
  EngineOptions options = engine_options(o.model);
  options.max_batch = point.batch;
  options.max_model_len = point.depth;
  options.prefix_cache = false;
  const std::uint64_t before = resident_bytes();
  BenchRunner runner(options, o.output.quiet);
  const std::uint64_t loaded = resident_bytes();
  const ModelConfig& config = runner.engine().config();
  const DType dtype = compute_dtype(runner.engine());
  const EngineStats stats = runner.engine().stats();
  const MemoryCosts costs = memory_costs(config, dtype);
  machine = machine_block(runner.engine(), options);
  runner.run(prompts(runner, point, false));
  const std::uint64_t filled = resident_bytes();
  runner.run(prompts(runner, point, true));
  const std::uint64_t gauged = resident_bytes();
  OrderedJson row = row_of(config, dtype, "measured", point, costs, stats.weight_bytes + stats.table_bytes,
                           stats.kv_bytes, gauged > filled ? gauged - filled : 0, memory);
  row["activation_bytes"] = stats.activation_bytes;
  if (!runner.engine().describe().starts_with("cpu")) {  // the arenas are not in this process
    row["gauge_bytes"] = costs.gauges(point.batch, point.depth);
    return row;
  }
  row["resident_before_bytes"] = before;
  row["resident_loaded_bytes"] = loaded - before;
  row["resident_filled_bytes"] = filled - before;
  row["resident_gauged_bytes"] = gauged - before;
  row["resident_over_formula"] =
      static_cast<double>(gauged - before) /
      static_cast<double>(costs.weights + costs.kv(point.batch, point.depth) + costs.gauges(point.batch, point.depth));
  return row;
}

BenchReport new_report(const MemoryOptions& o, std::uint64_t memory) {
  BenchReport report;
  report.benchmark = "memory";
  report.title = "Memory of weights, cache, gauges, and of hidden states if they were stored";
  report.timed = false;
  report.keys = {"model", "dtype", "source", "context", "batch"};
  report.measures = {"weights_bytes", "kv_bytes", "gauge_bytes", "total_bytes", "sequences"};
  constexpr double kGb = 1e-9;
  report.columns = {{.field = "model", .title = "model"},
                    {.field = "dtype", .title = "dtype"},
                    {.field = "source", .title = "by"},
                    {.field = "context", .title = "context"},
                    {.field = "batch", .title = "batch"},
                    {.field = "weights_bytes", .title = "weights, GB", .places = 3, .scale = kGb},
                    {.field = "kv_bytes", .title = "KV, GB", .places = 3, .scale = kGb},
                    {.field = "gauge_bytes", .title = "gauges, MB", .places = 3, .scale = 1e-6},
                    {.field = "total_bytes", .title = "total, GB", .places = 2, .scale = kGb},
                    {.field = "hidden_bytes", .title = "hidden states, GB", .places = 3, .scale = kGb},
                    {.field = "total_with_hidden_bytes", .title = "total with them, GB", .places = 2, .scale = kGb},
                    {.field = "factor", .title = "factor", .places = 2},
                    {.field = "sequences", .title = "sequences that fit"},
                    {.field = "sequences_with_hidden", .title = "with hidden states"}};
  if (o.measure)
    report.columns.push_back({.field = "resident_gauged_bytes", .title = "resident, GB", .places = 3, .scale = kGb});
  report.figures = {{.kind = BenchFigure::Kind::kStacked,
                     .caption = "Memory by what it is for",
                     .axis = "GB",
                     .fields = {"weights_bytes", "kv_bytes", "gauge_bytes", "hidden_bytes"},
                     .names = {"weights", "KV cache", "gauges (kv-coe and prob)", "hidden states, if they were stored"},
                     .scale = kGb}};
  report.notes = {
      cat("By formula: weights = parameters in the dtype; KV = 2 x layers x KV heads x head size of each position, in "
          "pages of 32; hidden states = layers x hidden of each position, in the dtype; gauges: kv-coe keeps two "
          "floats "
          "of each position and two vectors of a sequence, prob six doubles of each token."),
      cat("Sequences that fit: of that context into ", memory,
          " bytes (--memory), beside the weights, with their gauges.")};
  if (o.measure)
    report.notes.emplace_back(
        "Measured: the arenas of the engine, and what the process became when the pages were filled (resident); "
        "gauges: "
        "its growth when the same prompts ran with kv-coe and prob over all positions. The engine packs weights as its "
        "products want them and keeps the embeddings once more for look-ups.");
  report.settings = {{"memory", memory}, {"seed", o.model.seed}};
  return report;
}

int bench_memory(const MemoryOptions& o) {
  const std::vector<Subject> all = subjects(o);
  const std::vector<std::int64_t> contexts = parse_grid("--context", o.context, 1, std::int64_t{1} << 24),
                                  batches = parse_grid("--batch", o.batch, 1, 65536);
  std::vector<GridPoint> points;
  for (const std::int64_t context : contexts)
    for (const std::int64_t batch : batches) points.push_back({.batch = batch, .depth = context});
  if (o.measure)
    for (const std::int64_t context : contexts)
      if (context > all.front().config.max_positions)
        throw UsageError(cat("--context: ", context, " cannot be measured, the model's context is ",
                             all.front().config.max_positions, "; give --context, or drop --measure"));
  const std::uint64_t memory = o.memory > 0 ? o.memory : machine_memory();
  BenchOutput output(o.output, "memory");
  BenchReport report = new_report(o, memory);
  report.machine = machine_block();
  for (const Subject& subject : all) {
    const MemoryCosts costs = memory_costs(subject.config, subject.dtype);
    for (const GridPoint& point : points)
      report.rows.push_back(row_of(subject.config, subject.dtype, "formula", point, costs, costs.weights,
                                   costs.kv(point.batch, point.depth), costs.gauges(point.batch, point.depth), memory));
  }
  try {
    if (o.measure)
      for (const GridPoint& point : points) report.rows.push_back(measured(o, point, memory, report.machine));
  } catch (const BenchInterrupted&) {
    report.complete = false;
  }
  return output.write(std::move(report));
}

}  // namespace

Command add_bench_memory(CLI::App& bench) {
  CLI::App* const app = bench.add_subcommand(
      "memory", "Bytes of weights, cache, gauges and stored hidden states, and how many sequences fit");
  const auto o = std::make_shared<MemoryOptions>();
  add_text(*app, "--shape", o->shape, "NAME,...",
           cat("models by their shapes alone: all, or of ", join(known_shapes(), ", ")));
  add_text(*app, "-c,--context", o->context, "LIST", "positions of each sequence (4096,32768)");
  add_text(*app, "-b,--batch", o->batch, "LIST", "sequences (1)");
  add_bytes(*app, "--memory", o->memory, "what everything has to fit into, e.g. 80GiB; left out: the machine's memory");
  app->add_flag("--measure", o->measure, "also load the model, fill the pages and see what the process takes");
  add_bench_output_options(*app, o->output);
  add_bench_model_options(*app, o->model);
  app->footer(kExamples);
  return {app, [o] { return bench_memory(*o); }};
}

}  // namespace kvgauge::cli
