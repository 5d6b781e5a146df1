// kvgauge bench latency: static batches, timed token by token.
#include <memory>

#include "bench_commands.h"
#include "bench_output.h"
#include "bench_workload.h"
#include "core/cat.h"
#include "kvgauge/error.h"
#include "loader/model_files.h"
#include "measure/value_grid.h"
#include "metrics/sample_statistics.h"
#include "option_values.h"

namespace kvgauge::cli {
namespace {

constexpr const char* kExamples = R"(
Lists are grids: every combination is measured. A list is N,N,... or first-last+step or first-last*factor.

Examples:
  kvgauge bench latency                                                prompts of 512, 128 tokens, batches 1, 8 and 32
  kvgauge bench latency --model SmolLM2.gguf -p 128 -n 64 -b 1-32*2 -d 0,1024 --format json --output now.json
  kvgauge bench latency -b 1,16 --scores kv-coe,prob --compare before.json --format html --output latency.html
)";

struct LatencyOptions {
  BenchModelOptions model;
  BenchOutputOptions output;
  std::string prompt = "512", generated = "128", batch = "1,8,32", depth = "0", scores = "none";
  std::int64_t repeats = 5, warmup = 1;
};

std::vector<GridPoint> grid(const LatencyOptions& o) {
  std::vector<GridPoint> points;
  for (const std::int64_t depth : parse_grid("--depth", o.depth, 0, kMany))
    for (const std::int64_t prompt : parse_grid("--n-prompt", o.prompt, 1, kMany))
      for (const std::int64_t generated : parse_grid("--n-gen", o.generated, 1, kMany))
        for (const std::int64_t batch : parse_grid("--batch", o.batch, 1, 4096))
          points.push_back({.batch = batch, .depth = depth, .prompt = prompt, .generated = generated});
  return points;
}

std::vector<Request> requests(BenchRunner& runner, const GridPoint& point, const ScoreSpec& scores) {
  std::vector<Request> out(static_cast<std::size_t>(point.batch));
  for (std::int64_t i = 0; i < point.batch; ++i) {
    Request& request = out[static_cast<std::size_t>(i)];
    request.prompt = runner.prefix(i, point.depth);
    const auto fresh = runner.fresh_tokens(point.prompt);
    request.prompt.insert(request.prompt.end(), fresh.begin(), fresh.end());
    request.stop = {.max_tokens = point.generated, .stop = {}, .ignore_eos = true};
    request.scores = scores;
  }
  return out;
}

OrderedJson measure(BenchRunner& runner, const LatencyOptions& o, const GridPoint& point, const ScoreSpec& scores) {
  runner.warm_prefixes(point.batch, point.depth);
  std::vector<double> latencies, prefill, decode, output, total;
  LatencySamples samples;
  for (std::int64_t repeat = -o.warmup; repeat < o.repeats; ++repeat) {
    const BatchRun run = runner.run(requests(runner, point, scores));
    runner.check_prefixes(run, point.depth);
    runner.measured();
    if (repeat < 0) continue;
    const double took = run.end - run.begin;
    latencies.push_back(took);
    for (const RequestTimes& times : run.times) samples.add(times);
    if (run.prefill_s > 0) prefill.push_back(static_cast<double>(run.prefill_tokens) / run.prefill_s);
    if (run.decode_s > 0) decode.push_back(static_cast<double>(run.decode_tokens) / run.decode_s);
    const auto drawn = static_cast<double>(point.batch * point.generated);
    output.push_back(drawn / took);
    total.push_back((drawn + static_cast<double>(point.batch * point.prompt)) / took);
  }
  const auto of = [](std::vector<double> values) {
    return values.empty() ? OrderedJson() : OrderedJson(median(std::move(values)));
  };
  const SampleSummary summary = summarize(latencies);
  OrderedJson row = {{"n_prompt", point.prompt},
                     {"n_gen", point.generated},
                     {"batch", point.batch},
                     {"depth", point.depth},
                     {"repeats", o.repeats},
                     {"avg_latency", summary.mean},
                     {"std_latency", summary.std},
                     {"median_latency", summary.median},
                     {"latency_range", {summary.min, summary.max}},
                     {"latencies", latencies}};
  for (const int p : {10, 25, 50, 75, 90, 99}) row["percentiles"][cat(p)] = quantile(latencies, p / 100.0);
  row["prefill_tok_s"] = of(prefill);
  row["decode_tok_s"] = of(decode);
  row["output_throughput"] = of(output);
  row["total_token_throughput"] = of(total);
  put_latencies(row, samples);
  return row;
}

BenchReport new_report(const LatencyOptions& o) {
  BenchReport report;
  report.benchmark = "latency";
  report.title = "Latency of batches";
  report.keys = {"n_prompt", "n_gen", "batch", "depth"};
  report.measures = {"median_latency", "median_ttft_ms", "median_tpot_ms",
                     "median_itl_ms",  "prefill_tok_s",  "decode_tok_s"};
  report.columns = {{.field = "n_prompt", .title = "prompt"},
                    {.field = "n_gen", .title = "generated"},
                    {.field = "batch", .title = "batch"},
                    {.field = "depth", .title = "depth"},
                    {.field = "median_latency", .title = "latency, s", .places = 3},
                    {.field = "latency_range", .title = "min to max", .places = 3},
                    {.field = "median_ttft_ms", .title = "TTFT, ms", .places = 1},
                    {.field = "p99_ttft_ms", .title = "p99", .places = 1},
                    {.field = "median_tpot_ms", .title = "TPOT, ms", .places = 2},
                    {.field = "p99_tpot_ms", .title = "p99", .places = 2},
                    {.field = "median_itl_ms", .title = "ITL, ms", .places = 2},
                    {.field = "p99_itl_ms", .title = "p99", .places = 2},
                    {.field = "prefill_tok_s", .title = "prefill tok/s", .places = 1},
                    {.field = "decode_tok_s", .title = "decode tok/s", .places = 1}};
  using Kind = BenchFigure::Kind;
  for (const char* const over : {"batch", "depth"}) {
    if ((std::string_view(over) == "batch" ? o.batch : o.depth).find_first_of(",-") == std::string::npos) continue;
    report.figures.push_back({.kind = Kind::kLines,
                              .caption = cat("Decoding over ", over),
                              .axis = "tokens a second",
                              .fields = {"decode_tok_s"},
                              .over = over});
    report.figures.push_back({.kind = Kind::kLines,
                              .caption = cat("Time to first token over ", over),
                              .axis = "ms",
                              .fields = {"median_ttft_ms"},
                              .over = over});
    report.figures.push_back({.kind = Kind::kLines,
                              .caption = cat("Time per token over ", over),
                              .axis = "ms",
                              .fields = {"median_tpot_ms"},
                              .over = over});
  }
  if (report.figures.empty())
    report.figures.push_back({.kind = Kind::kIntervals,
                              .caption = "Latency of a batch",
                              .axis = "s",
                              .fields = {"median_latency", "latency_range"},
                              .names = {"median, lowest to highest"}});
  report.notes = {"All requests of a batch are submitted at once; random token ids, greedy, end-of-text ignored.",
                  "Depth: positions that the prefix cache holds before the clock starts, in whole pages of 32; prompts "
                  "are new every time.",
                  "prefill tok/s: steps in which no sequence decodes; decode tok/s: steps in which every one does. "
                  "Medians of the repeats; latencies of requests are pooled over the repeats."};
  report.settings = {{"repeats", o.repeats},
                     {"warmup", o.warmup},
                     {"seed", o.model.seed},
                     {"scores", o.scores},
                     {"step_tokens", o.model.step_tokens},
                     {"chunk_tokens", o.model.chunk_tokens}};
  return report;
}

int bench_latency(const LatencyOptions& o) {
  const std::vector<GridPoint> points = grid(o);
  ScoreOptions score_options;
  score_options.scores = o.scores;
  const ScoreSpec scores = score_groups(score_options, AnswerCount::kOne).spec;
  EngineOptions options = engine_options(o.model);
  fit_to_grid(options, ModelFiles::open(options.model).config(), points);
  BenchOutput output(o.output, "latency");
  BenchRunner runner(options, o.output.quiet);
  check_pages(runner.engine(), points);
  runner.set_seed(static_cast<std::uint64_t>(o.model.seed));
  BenchReport report = new_report(o);
  report.machine = machine_block(runner.engine(), options);
  try {
    runner.expect(std::ssize(points) * (o.repeats + o.warmup));
    for (const GridPoint& point : points) report.rows.push_back(measure(runner, o, point, scores));
  } catch (const BenchInterrupted&) {
    report.complete = false;
  }
  return output.write(std::move(report));
}

}  // namespace

Command add_bench_latency(CLI::App& bench) {
  CLI::App* const app = bench.add_subcommand(
      "latency", "Time of whole batches: to the first token, per token, between tokens, end to end");
  const auto o = std::make_shared<LatencyOptions>();
  add_text(*app, "-p,--n-prompt", o->prompt, "LIST", "tokens of a prompt (512)");
  add_text(*app, "-n,--n-gen", o->generated, "LIST", "tokens generated for each (128)");
  add_text(*app, "-b,--batch", o->batch, "LIST", "requests at once (1,8,32)");
  add_text(*app, "-d,--depth", o->depth, "LIST", "positions in the cache before the prompt (0)");
  add_count(*app, "-r,--repeats", o->repeats, 1, 1000000, "measurements of each grid point (5)");
  add_count(*app, "--warmup", o->warmup, 0, 1000000, "measurements before them that do not count (1)");
  add_text(*app, "--scores", o->scores, "none|all|LIST", "score groups that the requests ask for (none)");
  add_bench_output_options(*app, o->output);
  add_bench_model_options(*app, o->model);
  app->footer(kExamples);
  return {app, [o] { return bench_latency(*o); }};
}

}  // namespace kvgauge::cli
