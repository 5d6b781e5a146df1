// kvgauge bench throughput: requests that arrive by themselves, served by the engine's own scheduling.
#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>
#include <random>
#include <thread>

#include "bench_commands.h"
#include "bench_output.h"
#include "bench_workload.h"
#include "core/cat.h"
#include "kvgauge/error.h"
#include "loader/model_files.h"
#include "measure/arrival_times.h"
#include "measure/value_grid.h"
#include "metrics/sample_statistics.h"
#include "option_values.h"

namespace kvgauge::cli {
namespace {

constexpr const char* kExamples = R"(
Examples:
  kvgauge bench throughput                                                            100 requests at once
  kvgauge bench throughput --num-prompts 200 --request-rate 2,4,8 --random-range-ratio 0.5 --format json
  kvgauge bench throughput --prefix-len 1000 -p 64 -n 16 --request-rate inf            a shared instruction
  kvgauge bench throughput --ramp-up-strategy linear --ramp-up-start-rps 1 --ramp-up-end-rps 16
)";

struct ThroughputOptions {
  BenchModelOptions model;
  BenchOutputOptions output;
  std::string rate = "inf", ramp = "none", scores = "kv-coe,prob", concurrency = "0";
  std::int64_t prompts = 100, prompt = 128, generated = 64, prefix = 0, repeats = 1, warmup = 1;
  std::int64_t max_batch = 32, max_model_len = 0;
  double range_ratio = 0, burstiness = 1, start_rps = 0, end_rps = 0;
  bool no_prefix_cache = false;
};

/// A row: how requests come, and how many may be under way.
struct Load {
  std::string rate_text;
  Traffic traffic = {};
  std::int64_t concurrency = 0;  ///< 0: any
};

double rate_of(const std::string& text) {
  return text == "inf" ? std::numeric_limits<double>::infinity() : parse_real("--request-rate", text, 1e-6, 1e9);
}

std::vector<Load> loads(const ThroughputOptions& o) {
  const bool ramps = o.ramp != "none";
  if (ramps && o.rate != "inf")
    throw UsageError("--request-rate: --ramp-up-strategy says how the rate grows; drop one of them");
  if (ramps != (o.start_rps > 0) || ramps != (o.end_rps > 0))
    throw UsageError(ramps ? "--ramp-up-start-rps, --ramp-up-end-rps: --ramp-up-strategy needs both"
                           : "--ramp-up-start-rps, --ramp-up-end-rps: there is no --ramp-up-strategy; give one");
  if (o.burstiness != 1 && o.rate == "inf" && !ramps)
    throw UsageError("--burstiness: --request-rate is inf, all requests come at once; give a rate");
  std::vector<Load> out;
  const std::vector<std::string> rates = split_list(o.rate);
  if (rates.empty()) throw UsageError("--request-rate: found '', rates such as 2,4,inf were needed");
  for (const std::string& rate : rates)
    for (const std::int64_t concurrency : parse_grid("--max-concurrency", o.concurrency, 0, 1000000)) {
      Load load{.rate_text = ramps ? cat(o.ramp, " ", o.start_rps, " to ", o.end_rps) : rate,
                .concurrency = concurrency};
      load.traffic = {
          .rate = rate_of(rate), .burstiness = o.burstiness, .start_rate = o.start_rps, .end_rate = o.end_rps};
      if (ramps) load.traffic.ramp = o.ramp == "linear" ? RampUp::kLinear : RampUp::kExponential;
      out.push_back(std::move(load));
    }
  return out;
}

struct Lengths {
  std::int64_t prompt = 0, generated = 0;
};

/// Uniform in [(1 - ratio) mean, (1 + ratio) mean], at least 1.
std::vector<Lengths> lengths(const ThroughputOptions& o, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto draw = [&](std::int64_t mean) {
    const auto low = std::max<std::int64_t>(
                   1, static_cast<std::int64_t>(std::floor(static_cast<double>(mean) * (1 - o.range_ratio)))),
               high =
                   std::max(low, static_cast<std::int64_t>(std::ceil(static_cast<double>(mean) * (1 + o.range_ratio))));
    return low + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(high - low + 1));
  };
  std::vector<Lengths> out(static_cast<std::size_t>(o.prompts));
  for (Lengths& one : out) one = {draw(o.prompt), draw(o.generated)};
  return out;
}

/// What serving all requests of a load took.
struct Served {
  double begin = 0, end = 0;
  std::vector<RequestTimes> times;
  std::int64_t completed = 0, failed = 0, input_tokens = 0, cached_tokens = 0, output_tokens = 0, preemptions = 0;
  std::string first_error;
  bool interrupted = false;  ///< requests are missing
};

/// Sends requests when they are due and steps the engine, with a clock.
class Server {
 public:
  Server(BenchRunner& runner, const ThroughputOptions& o, const ScoreSpec& scores)
      : runner_(runner), engine_(runner.engine()), o_(o), scores_(scores) {}

  Served serve(const Load& load, std::uint64_t seed) {
    const std::vector<Lengths> sizes = lengths(o_, seed);
    const std::vector<double> due = arrival_times(load.traffic, o_.prompts, seed);
    const std::vector<std::int32_t> shared = runner_.fresh_tokens(o_.prefix);
    served_ = {};
    served_.times.resize(sizes.size());
    running_.clear();
    served_.begin = seconds_now();
    double full_until = 0;  // all places were taken
    std::size_t next = 0;
    while (next < sizes.size() || !running_.empty()) {
      if (asked_to_stop()) break;
      double now = seconds_now();
      while (next < sizes.size() && served_.begin + due[next] <= now &&
             (load.concurrency == 0 || std::ssize(running_) < load.concurrency)) {
        // When it was due, also within a step; or, if all places were taken then, when one became free.
        served_.times[next].sent = std::max(served_.begin + due[next], full_until);
        running_.push_back({engine_.submit(request(shared, sizes[next])), next});
        ++next;
      }
      if (running_.empty()) {
        std::this_thread::sleep_for(
            std::chrono::duration<double>(std::clamp(served_.begin + due[next] - now, 0.0, 0.05)));
        continue;
      }
      const bool full = std::ssize(running_) == load.concurrency;
      engine_.step();
      now = seconds_now();
      if (full) full_until = now;
      collect(now);
      served_.end = now;
    }
    return std::move(served_);
  }

 private:
  struct Running {
    std::int64_t number = 0;
    std::size_t index = 0;
  };

  Request request(const std::vector<std::int32_t>& shared, const Lengths& size) {
    Request out;
    out.prompt = shared;
    const auto fresh = runner_.fresh_tokens(size.prompt);
    out.prompt.insert(out.prompt.end(), fresh.begin(), fresh.end());
    out.stop = {.max_tokens = size.generated, .stop = {}, .ignore_eos = true};
    out.scores = scores_;
    return out;
  }
  void saw(std::size_t index, std::int64_t tokens, double now) {
    auto& times = served_.times[index].tokens;
    while (std::ssize(times) < tokens) times.push_back(now);
  }
  void collect(double now) {
    while (auto finished = engine_.next_finished()) {
      const auto at = std::find_if(running_.begin(), running_.end(),
                                   [&](const Running& r) { return r.number == finished->request; });
      const std::size_t index = at->index;
      running_.erase(at);
      served_.preemptions += finished->preemptions;
      if (!finished->error.empty()) {
        ++served_.failed;
        if (served_.first_error.empty()) served_.first_error = finished->error;
        served_.times[index].tokens.clear();
        continue;
      }
      ++served_.completed;
      served_.input_tokens += finished->prompt_tokens;
      served_.cached_tokens += finished->cached_tokens;
      const std::int64_t drawn = std::ssize(finished->answers.front().tokens);
      served_.output_tokens += drawn;
      saw(index, drawn, now);
    }
    // Oldest first: no more than max_batch of those that are left have run in this step.
    std::int64_t looked = 0;
    for (const Running& one : running_) {
      if (++looked > o_.max_batch) break;
      if (const auto progress = engine_.progress(one.number)) saw(one.index, progress->sampled, now);
    }
  }
  // What has finished counts; the rest is dropped.
  bool asked_to_stop() {
    if (!runner_.interrupted()) return false;
    for (const Running& one : running_) {
      engine_.cancel(one.number);
      served_.times[one.index].tokens.clear();
    }
    while (engine_.next_finished()) {
    }
    return served_.interrupted = true;
  }

  BenchRunner& runner_;
  Engine& engine_;
  const ThroughputOptions& o_;
  const ScoreSpec& scores_;
  Served served_;
  std::deque<Running> running_;
};

OrderedJson row_of(const ThroughputOptions& o, const Load& load, const std::vector<Served>& repeats) {
  LatencySamples samples;
  Served sum;
  double duration = 0, peak = 0;
  std::vector<double> outputs;
  std::int64_t concurrency = 0;
  for (const Served& one : repeats) {
    duration += one.end - one.begin;
    outputs.push_back(static_cast<double>(one.output_tokens) / (one.end - one.begin));
    sum.completed += one.completed;
    sum.failed += one.failed;
    sum.input_tokens += one.input_tokens;
    sum.cached_tokens += one.cached_tokens;
    sum.output_tokens += one.output_tokens;
    sum.preemptions += one.preemptions;
    if (sum.first_error.empty()) sum.first_error = one.first_error;
    for (const RequestTimes& times : one.times) samples.add(times);
    peak = std::max(peak, peak_tokens_per_second(one.times, one.begin));
    concurrency = std::max(concurrency, peak_concurrency(one.times));
  }
  const auto rate = [&](std::int64_t count) { return static_cast<double>(count) / duration; };
  const SampleSummary output = summarize(outputs);
  OrderedJson row = {{"request_rate", load.rate_text},
                     {"max_concurrency", load.concurrency > 0 ? OrderedJson(load.concurrency) : OrderedJson()},
                     {"num_prompts", o.prompts},
                     {"n_prompt", o.prompt},
                     {"n_gen", o.generated},
                     {"prefix_len", o.prefix},
                     {"repeats", repeats.size()},
                     {"duration", duration},
                     {"completed", sum.completed},
                     {"failed", sum.failed},
                     {"total_input_tokens", sum.input_tokens},
                     {"total_output_tokens", sum.output_tokens},
                     {"request_throughput", rate(sum.completed)},
                     {"output_throughput", rate(sum.output_tokens)},
                     {"output_throughput_range", {output.min, output.max}},
                     {"total_token_throughput", rate(sum.input_tokens + sum.output_tokens)},
                     {"max_output_tokens_per_s", peak},
                     {"max_concurrent_requests", concurrency},
                     {"prefix_hit_share", sum.input_tokens > 0 ? OrderedJson(static_cast<double>(sum.cached_tokens) /
                                                                             static_cast<double>(sum.input_tokens))
                                                               : OrderedJson()},
                     {"preemptions", sum.preemptions}};
  put_latencies(row, samples);
  if (!sum.first_error.empty()) row["error"] = sum.first_error;
  return row;
}

BenchReport new_report(const ThroughputOptions& o) {
  BenchReport report;
  report.benchmark = "throughput";
  report.title = "Throughput";
  report.keys = {"request_rate", "max_concurrency", "num_prompts", "n_prompt", "n_gen", "prefix_len"};
  report.measures = {"request_throughput", "output_throughput", "total_token_throughput",
                     "median_ttft_ms",     "median_tpot_ms",    "p99_itl_ms"};
  report.columns = {{.field = "request_rate", .title = "requests/s asked"},
                    {.field = "max_concurrency", .title = "at most at once"},
                    {.field = "duration", .title = "duration, s", .places = 2},
                    {.field = "completed", .title = "completed"},
                    {.field = "failed", .title = "failed"},
                    {.field = "request_throughput", .title = "requests/s", .places = 3},
                    {.field = "output_throughput", .title = "output tok/s", .places = 1},
                    {.field = "total_token_throughput", .title = "total tok/s", .places = 1},
                    {.field = "max_output_tokens_per_s", .title = "peak output tok/s", .places = 0},
                    {.field = "prefix_hit_share", .title = "prefix hits, %", .places = 1, .scale = 100},
                    {.field = "median_ttft_ms", .title = "TTFT, ms", .places = 1},
                    {.field = "p99_ttft_ms", .title = "p99", .places = 1},
                    {.field = "median_tpot_ms", .title = "TPOT, ms", .places = 2},
                    {.field = "median_itl_ms", .title = "ITL, ms", .places = 2},
                    {.field = "p99_itl_ms", .title = "p99", .places = 2},
                    {.field = "median_e2el_ms", .title = "E2EL, ms", .places = 1}};
  using Kind = BenchFigure::Kind;
  report.figures = {{.kind = Kind::kIntervals,
                     .caption = "Output tokens a second",
                     .axis = "tokens a second",
                     .fields = {"output_throughput", "output_throughput_range"},
                     .names = {"all repeats, lowest to highest"}},
                    {.kind = Kind::kIntervals,
                     .caption = "Median time to first token",
                     .axis = "ms",
                     .fields = {"median_ttft_ms"},
                     .names = {"median"}},
                    {.kind = Kind::kIntervals,
                     .caption = "99th percentile of the time between tokens",
                     .axis = "ms",
                     .fields = {"p99_itl_ms"},
                     .names = {"99th percentile"}}};
  report.notes = {
      "Requests are sent when they are due by the clock and served oldest first with continuous batching; TTFT counts "
      "from when a request was due, or from when it got one of --max-concurrency places.",
      "Gaps between requests: Gamma of shape --burstiness (1: Poisson). Lengths: uniform within --random-range-ratio "
      "around the means. Random token ids, greedy, end-of-text ignored.",
      "Peak: the second with the most tokens. Ranges: lowest and highest repeat."};
  report.settings = {{"num_prompts", o.prompts},
                     {"n_prompt", o.prompt},
                     {"n_gen", o.generated},
                     {"random_range_ratio", o.range_ratio},
                     {"prefix_len", o.prefix},
                     {"burstiness", o.burstiness},
                     {"seed", o.model.seed},
                     {"scores", o.scores},
                     {"max_batch", o.max_batch},
                     {"prefix_cache", !o.no_prefix_cache},
                     {"warmup", o.warmup},
                     {"step_tokens", o.model.step_tokens},
                     {"chunk_tokens", o.model.chunk_tokens}};
  return report;
}

void size_engine(EngineOptions& options, const ThroughputOptions& o) {
  const ModelConfig config = ModelFiles::open(options.model).config();
  const auto most = [&](std::int64_t mean) {
    return static_cast<std::int64_t>(std::ceil(static_cast<double>(mean) * (1 + o.range_ratio)));
  };
  const std::int64_t longest = o.prefix + most(o.prompt) + most(o.generated),
                     room = o.max_model_len > 0 ? o.max_model_len : config.max_positions;
  if (longest > room)
    throw UsageError(cat("--prefix-len, --n-prompt, --n-gen: the longest request can take ", longest, " positions, ",
                         o.max_model_len > 0 ? "--max-model-len" : "the model's context", " is ", room));
  options.max_batch = o.max_batch;
  options.max_model_len = o.max_model_len > 0 ? o.max_model_len : std::min(config.max_positions, longest + 64);
  options.prefix_cache = !o.no_prefix_cache;
}

int bench_throughput(const ThroughputOptions& o) {
  const std::vector<Load> all = loads(o);
  ScoreOptions score_options;
  score_options.scores = o.scores;
  const ScoreSpec scores = score_groups(score_options, AnswerCount::kOne).spec;
  EngineOptions options = engine_options(o.model);
  size_engine(options, o);
  BenchOutput output(o.output, "throughput");
  BenchRunner runner(options, o.output.quiet);
  runner.set_seed(static_cast<std::uint64_t>(o.model.seed));
  BenchReport report = new_report(o);
  report.machine = machine_block(runner.engine(), options);
  std::int64_t failed = 0;
  runner.expect(std::ssize(all) * o.repeats);
  for (std::int64_t i = 0; i < o.warmup && report.complete; ++i) {  // a batch, so that threads and memory are awake
    ThroughputOptions few = o;
    few.prompts = std::min(o.prompts, o.max_batch);
    few.prefix = 0;
    report.complete = !Server(runner, few, scores).serve({}, 0).interrupted;
  }
  for (const Load& load : all) {
    std::vector<Served> repeats;
    for (std::int64_t repeat = 0; repeat < o.repeats && report.complete; ++repeat) {
      repeats.push_back(Server(runner, o, scores).serve(load, static_cast<std::uint64_t>(o.model.seed + repeat)));
      runner.measured();
      failed += repeats.back().failed;
      report.complete = !repeats.back().interrupted;
      if (repeats.back().completed + repeats.back().failed == 0) repeats.pop_back();
    }
    if (!repeats.empty()) report.rows.push_back(row_of(o, load, repeats));
  }
  const int code = output.write(std::move(report));
  return code == kDone && failed > 0 ? kRowsFailed : code;
}

}  // namespace

Command add_bench_throughput(CLI::App& bench) {
  CLI::App* const app = bench.add_subcommand(
      "throughput",
      "Requests at a rate, of mixed lengths, with shared prefixes: tokens and requests a second, latencies");
  const auto o = std::make_shared<ThroughputOptions>();
  add_count(*app, "--num-prompts", o->prompts, 1, 10000000, "requests (100)");
  add_text(*app, "--request-rate", o->rate, "X,X,...", "requests a second, or inf: all at once; a row for each (inf)");
  add_real(*app, "--burstiness", o->burstiness, 1e-3, 1e6,
           "shape of the gaps' Gamma distribution: 1 is Poisson, less is burstier (1)");
  add_choice(*app, "--ramp-up-strategy", o->ramp, {"none", "linear", "exponential"}, "how the rate grows (none)");
  add_real(*app, "--ramp-up-start-rps", o->start_rps, 1e-6, 1e9, "requests a second at first");
  add_real(*app, "--ramp-up-end-rps", o->end_rps, 1e-6, 1e9, "requests a second in the end");
  add_text(*app, "--max-concurrency", o->concurrency, "LIST",
           "requests under way at once, 0: any number; a row for each (0)");
  add_count(*app, "-p,--n-prompt,--input-len", o->prompt, 1, kMany,
            "mean tokens of a prompt behind the shared prefix (128)");
  add_count(*app, "-n,--n-gen,--output-len", o->generated, 1, kMany, "mean tokens generated (64)");
  add_real(*app, "--random-range-ratio", o->range_ratio, 0, 0.999, "lengths vary by this share around their means (0)");
  add_count(*app, "--prefix-len", o->prefix, 0, kMany, "tokens that all prompts begin with (0)");
  add_count(*app, "-r,--repeats", o->repeats, 1, 1000000, "of each row, with further seeds (1)");
  add_count(*app, "--warmup", o->warmup, 0, 1000000, "batches before the first row that do not count (1)");
  add_text(*app, "--scores", o->scores, "none|all|LIST", "score groups that the requests ask for (kv-coe,prob)");
  add_count(*app, "--max-batch", o->max_batch, 1, 65536, "sequences computed at once (32)");
  add_count(*app, "--max-model-len", o->max_model_len, 1, kMany,
            "longest prompt and answer in tokens; left out: what the requests need");
  app->add_flag("--no-prefix-cache", o->no_prefix_cache, "compute every prompt from its first token");
  add_bench_output_options(*app, o->output);
  add_bench_model_options(*app, o->model);
  app->footer(kExamples);
  return {app, [o] { return bench_throughput(*o); }};
}

}  // namespace kvgauge::cli
