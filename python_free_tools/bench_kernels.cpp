#include <memory>

#include "bench_commands.h"
#include "bench_output.h"
#include "common_options.h"
#include "core/cat.h"
#include "core/json.h"
#include "engine/open_backend.h"
#include "kernel_timing.h"
#include "kvgauge/error.h"
#include "loader/model_files.h"
#include "measure/value_grid.h"
#include "model/step_costs.h"
#include "option_values.h"

namespace kvgauge::cli {
namespace {

constexpr const char* kExamples = R"(
Examples:
  kvgauge bench kernels --shape llama-3.1-8b --batch 1,32,128 --context 4096      bytes, FLOP and floor time of a decode step
  kvgauge bench kernels --measure                                                 the embedded model on this machine's device
  kvgauge bench kernels --shape qwen3-8b --device cuda --measure --format json
)";

constexpr std::int64_t kUsualContext = 4096;

struct KernelsOptions {
  ModelOptions model;
  BenchOutputOptions output;
  std::string shape, batch = "1";
  std::int64_t context = 0;
  double peak_gb_s = 3350, peak_tflop_s = 989;
  bool measure = false;
};

/// One operation of one batch size, with the device's floor and what was measured (0: nothing).
struct Row {
  OperationCost cost;
  double floor_s = 0, measured_s = 0;
};
struct Table {
  StepShape shape;
  std::vector<Row> rows;
  std::string device;
  double bytes = 0, flop = 0, floor_s = 0, gauge_bytes = 0;  ///< of the step without gauges, and of kv_trajectory
};

Table table_of(const KernelsOptions& o, const ModelConfig& config, std::vector<StepMatrix> matrices,
               std::int64_t batch) {
  Table table;
  table.shape.batch = batch;
  table.shape.context = o.context > 0 ? o.context : std::min(kUsualContext, config.max_positions);
  if (o.model.dtype == "f32") table.shape.dtype = DType::kF32;
  std::map<std::string, double> measured;
  if (o.measure) {
    EngineOptions options = engine_options(o.model);
    const auto backend = open_backend(options, config);
    table.shape.dtype = backend->compute_dtype();
    table.device = backend->describe();
    measured = time_operations(*backend, config, matrices, table.shape);
  }
  for (OperationCost& cost : decode_step_costs(config, matrices, table.shape)) {
    Row row;
    row.cost = std::move(cost);
    row.floor_s = std::max(row.cost.bytes / (o.peak_gb_s * 1e9), row.cost.flop / (o.peak_tflop_s * 1e12));
    if (const auto found = measured.find(row.cost.operation); found != measured.end())
      row.measured_s = found->second * static_cast<double>(row.cost.launches);
    if (!row.cost.gauge) {
      table.bytes += row.cost.bytes;
      table.flop += row.cost.flop;
      table.floor_s += row.floor_s;
    } else if (row.cost.operation == "kv_trajectory") {
      table.gauge_bytes += row.cost.bytes;
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::string as_markdown(const KernelsOptions& o, const ModelConfig& config, const std::vector<Table>& tables) {
  std::string out;
  for (const Table& t : tables) {
    out += fmt::format("### {}, batch {}, context {}, {}; peaks {:.0f} GB/s, {:.0f} TFLOP/s\n\n", config.name,
                       t.shape.batch, t.shape.context, name(t.shape.dtype), o.peak_gb_s, o.peak_tflop_s);
    out += o.measure ? "| operation | launches | MB | GFLOP | floor us | measured us | GB/s | of floor "
                       "|\n|---|---:|---:|---:|---:|---:|---:|---:|\n"
                     : "| operation | launches | MB | GFLOP | floor us |\n|---|---:|---:|---:|---:|\n";
    for (const Row& row : t.rows) {
      out +=
          fmt::format("| {}{} | {} | {:.3f} | {:.3f} | {:.2f} |", row.cost.operation, row.cost.gauge ? " (gauge)" : "",
                      row.cost.launches, row.cost.bytes / 1e6, row.cost.flop / 1e9, row.floor_s * 1e6);
      if (o.measure)
        out += fmt::format(" {:.2f} | {:.1f} | {:.2f} |", row.measured_s * 1e6, row.cost.bytes / row.measured_s / 1e9,
                           row.floor_s / row.measured_s);
      out += '\n';
    }
    out += fmt::format(
        "\nThe step without gauges: {:.1f} MB, {:.1f} GFLOP, floor {:.3f} ms. kv_trajectory adds {:.4f} % of its bytes "
        "and one launch.\n\n",
        t.bytes / 1e6, t.flop / 1e9, t.floor_s * 1e3, 100 * t.gauge_bytes / t.bytes);
  }
  return out;
}

std::vector<OrderedJson> rows_of(const KernelsOptions& o, const ModelConfig& config, const std::vector<Table>& tables) {
  std::vector<OrderedJson> rows;
  for (const Table& t : tables)
    for (const Row& row : t.rows) {
      OrderedJson entry = {
          {"model", config.name},          {"batch", t.shape.batch},          {"context", t.shape.context},
          {"dtype", name(t.shape.dtype)},  {"operation", row.cost.operation}, {"gauge", row.cost.gauge},
          {"launches", row.cost.launches}, {"bytes", row.cost.bytes},         {"flop", row.cost.flop},
          {"floor_us", row.floor_s * 1e6}};
      if (o.measure) {
        entry["measured_us"] = row.measured_s * 1e6;
        entry["gb_s"] = row.cost.bytes / row.measured_s / 1e9;
      }
      rows.push_back(std::move(entry));
    }
  return rows;
}

BenchReport report_of(const KernelsOptions& o, const ModelConfig& config, const std::vector<Table>& tables) {
  BenchReport report;
  report.benchmark = "kernels";
  report.title = "What a decode step moves and computes";
  report.timed = o.measure;
  report.keys = {"model", "batch", "context", "dtype", "operation", "launches"};
  report.measures = {"bytes", "flop", "floor_us"};
  report.columns = {{.field = "operation", .title = "operation"},
                    {.field = "batch", .title = "batch"},
                    {.field = "context", .title = "context"},
                    {.field = "launches", .title = "launches"},
                    {.field = "bytes", .title = "MB", .places = 3, .scale = 1e-6},
                    {.field = "flop", .title = "GFLOP", .places = 3, .scale = 1e-9},
                    {.field = "floor_us", .title = "floor us", .places = 2}};
  if (o.measure) {
    report.measures.insert(report.measures.end(), {"measured_us", "gb_s"});
    report.columns.push_back({.field = "measured_us", .title = "measured us", .places = 2});
    report.columns.push_back({.field = "gb_s", .title = "GB/s", .places = 1});
  }
  using Kind = BenchFigure::Kind;
  report.figures = {{.kind = Kind::kIntervals,
                     .caption = o.measure ? "Time of each operation in a step" : "Floor of each operation in a step",
                     .axis = "us",
                     .fields = {o.measure ? "measured_us" : "floor_us"},
                     .names = {o.measure ? "median of 5" : "what cannot be undercut"}}};
  report.markdown = as_markdown(o, config, tables);
  report.machine = machine_block();
  report.machine["device"] = o.measure ? OrderedJson(tables.front().device) : OrderedJson();
  report.machine["model"] = config.name;
  report.settings = {{"peak_bandwidth_gb_s", o.peak_gb_s}, {"peak_tflop_s", o.peak_tflop_s}};
  report.rows = rows_of(o, config, tables);
  return report;
}

int bench_kernels(const KernelsOptions& o) {
  if (!o.shape.empty() && !o.model.model.empty())
    throw UsageError("--shape: --model was given as well, one of them was needed");
  ModelConfig config;
  std::vector<StepMatrix> matrices;
  if (o.shape.empty()) {
    const ModelFiles files = ModelFiles::open(model_path(o.model.model));
    config = files.config();
    matrices = step_matrices(files);
  } else {
    config = shape_of(o.shape);
    matrices = step_matrices(config);
  }
  if (o.context > config.max_positions)
    throw UsageError(
        cat("--context: found ", o.context, ", at most the model's ", config.max_positions, " was needed"));
  const std::vector<std::int64_t> batches = parse_grid("--batch", o.batch, 1, 4096);
  BenchOutput output(o.output, "kernels");
  std::vector<Table> tables;
  for (const std::int64_t batch : batches) tables.push_back(table_of(o, config, matrices, batch));
  return output.write(report_of(o, config, tables));
}

}  // namespace

Command add_bench_kernels(CLI::App& bench) {
  CLI::App* const app = bench.add_subcommand(
      "kernels", "What a decode step costs: bytes, FLOP and floor of every kernel, and its time here");
  const auto o = std::make_shared<KernelsOptions>();
  add_text(*app, "--model", o->model.model, "PATH",
           "Hugging Face folder or .gguf file; left out: the embedded tiny-reasoner");
  add_text(*app, "--device", o->model.device, known_devices(), "where --measure computes");
  add_choice(*app, "--dtype", o->model.dtype, {"auto", "bf16", "f32"}, "of products and KV pages");
  add_count(*app, "--threads", o->model.threads, 1, 4096, "processor threads; left out: all cores");
  app->add_flag("--batch-invariant", o->model.batch_invariant, "products as with this flag of other verbs");
  add_text(*app, "--shape", o->shape, join(known_shapes(), "|"), "a model by its shape alone, without its file");
  add_text(*app, "-b,--batch", o->batch, "LIST", "sequences of a step (1)");
  add_count(*app, "--context", o->context, 1, std::int64_t{1} << 24,
            "positions of each sequence (4096, or the model's context)");
  add_real(*app, "--peak-bandwidth", o->peak_gb_s, 1e-3, 1e9, "GB/s of the device's memory (3350: H100 SXM)");
  add_real(*app, "--peak-flops", o->peak_tflop_s, 1e-6, 1e9, "TFLOP/s of its products (989: H100 SXM, bf16)");
  app->add_flag("--measure", o->measure, "also run every operation on --device and print its time");
  add_bench_output_options(*app, o->output);
  app->footer(kExamples);
  return {app, [o] { return bench_kernels(*o); }};
}

}  // namespace kvgauge::cli
