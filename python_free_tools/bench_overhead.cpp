// kvgauge bench overhead: the same work with gauges off and on, paired in one process.
#include <algorithm>
#include <functional>
#include <memory>

#include "bench_commands.h"
#include "bench_output.h"
#include "bench_workload.h"
#include "core/cat.h"
#include "core/check.h"
#include "decode_loop.h"
#include "kvgauge/error.h"
#include "measure/value_grid.h"
#include "metrics/sample_statistics.h"
#include "option_values.h"
#include "overhead_modes.h"

namespace kvgauge::cli {
namespace {

constexpr const char* kExamples = R"(
Scores: a list of kv-coe, prob, coe (hidden states), difficulty is switched on together; semicolons separate lists that are measured one by one.
Beside them, for decode: second-pass (score the finished answer), copy-kv (all K and V to the host after each step), copy-new-kv (the new token's),
store-hidden (the states of all layers stay in memory).

Examples:
  kvgauge bench overhead                                                      prefill, decode and score at batch 1, 8 (decode: 32)
  kvgauge bench overhead --model SmolLM2.gguf --phase decode -b 1,8,32 --pairs 60 --format json --output overhead.json
  kvgauge bench overhead --phase decode -b 1 -d 0,1024 --scores 'kv-coe;coe;second-pass;copy-kv;copy-new-kv;store-hidden' --format html --output o.html
)";

constexpr std::int64_t kShortPrompt = 8;  // in front of what decode and score measure
constexpr std::int64_t kLeastPairs = 6;   // fewer have no 95 % interval

struct OverheadOptions {
  BenchModelOptions model;
  BenchOutputOptions output;
  std::string phases = "prefill,decode,score", batch, depth = "0", difficulty;
  std::vector<std::string> scores = {"kv-coe;kv-coe,prob;difficulty"};
  std::int64_t prompt = 128, generated = 16, pairs = 80, warmup = 2, interval = 16, window = 32, window_layers = 8;
};

enum class Phase : std::uint8_t { kPrefill, kDecode, kScore };
constexpr const char* name(Phase phase) {
  return phase == Phase::kPrefill ? "prefill" : phase == Phase::kDecode ? "decode" : "score";
}

/// One row: a phase at a grid point, and what is switched on.
struct Cell {
  Phase phase = Phase::kDecode;
  GridPoint point;
  const OverheadMode* mode = nullptr;
  bool by_engine() const {
    return mode->kind == OverheadMode::Kind::kScores || mode->kind == OverheadMode::Kind::kSecondPass;
  }
};

GridPoint point_of(Phase phase, const OverheadOptions& o, std::int64_t batch, std::int64_t depth) {
  switch (phase) {
    case Phase::kPrefill: return {.batch = batch, .depth = depth, .prompt = o.prompt, .generated = 1};
    case Phase::kDecode:  // the first token comes with the prompt's step
      return {.batch = batch, .depth = depth, .prompt = kShortPrompt, .generated = o.generated + 1};
    case Phase::kScore: break;
  }
  return {.batch = batch, .depth = depth, .prompt = kShortPrompt + o.prompt, .generated = 0};
}

std::vector<Cell> cells(const OverheadOptions& o, const std::vector<OverheadMode>& modes) {
  std::vector<Cell> out;
  for (const std::string& word : split_list(o.phases)) {
    const std::string known = parse_choice("--phase", word, {"prefill", "decode", "score"});
    const Phase phase = known == "prefill" ? Phase::kPrefill : known == "decode" ? Phase::kDecode : Phase::kScore;
    const std::string batches = !o.batch.empty() ? o.batch : phase == Phase::kDecode ? "1,8,32" : "1,8";
    for (const std::int64_t depth : parse_grid("--depth", o.depth, 0, kMany))
      for (const std::int64_t batch : parse_grid("--batch", batches, 1, 4096))
        for (const OverheadMode& mode : modes)
          if (mode.kind == OverheadMode::Kind::kScores || phase == Phase::kDecode)
            out.push_back({.phase = phase, .point = point_of(phase, o, batch, depth), .mode = &mode});
  }
  if (out.empty())
    throw UsageError("--phase: no decode among them, which all of --scores are about; add it, or score groups");
  return out;
}

/// Seconds and tokens of the steps that a measurement is about.
struct Measured {
  double seconds = 0;
  std::int64_t tokens = 0;
};

/// Measurements that run through the engine.
class EngineSide {
 public:
  EngineSide(BenchRunner& runner, const OverheadOptions& o) : runner_(runner), o_(o) {}

  /// Prompts of the next pair: both sides of it compute the same tokens unless the prefix cache would know them.
  void next_pair(const Cell& cell) {
    prompts_.clear();
    for (std::int64_t i = 0; i < cell.point.batch; ++i) prompts_.push_back(runner_.fresh_tokens(cell.point.prompt));
  }
  Measured measure(const Cell& cell, bool on) {
    if (cell.point.depth > 0 && cell.phase != Phase::kDecode) next_pair(cell);
    const EngineStats before = runner_.engine().stats();
    const BatchRun run = runner_.run(requests(cell, on));
    check_gauges(cell, on, before, runner_.engine().stats());
    if (!(on && cell.mode->spec.coe)) runner_.check_prefixes(run, cell.point.depth);
    if (cell.phase != Phase::kDecode) {
      const std::int64_t each = cell.point.prompt - (cell.phase == Phase::kScore ? 1 : 0);
      return {.seconds = run.all_s, .tokens = cell.point.batch * each};
    }
    Measured measured{.seconds = run.decode_s, .tokens = run.decode_tokens};
    if (on && cell.mode->kind == OverheadMode::Kind::kSecondPass) measured.seconds += second_pass(cell, run);
    return measured;
  }

 private:
  // What was to be measured did happen, and on this side only.
  void check_gauges(const Cell& cell, bool on, const EngineStats& before, const EngineStats& after) const {
    const bool gauges = on && cell.mode->kind == OverheadMode::Kind::kScores;
    const auto check = [&](const char* group, bool wanted, std::int64_t calls) {
      KVGAUGE_CHECK(calls == 0 || (gauges && wanted), group, " ran ", calls, " times where it is off");
      if (gauges && wanted && calls == 0)
        throw UsageError(cat("--n-prompt, --n-gen: ", name(cell.phase), " of ", cell.point.describe(), " leaves ",
                             group, " nothing to read; raise them"));
    };
    check("kv-coe", cell.mode->spec.kv_coe, after.gauge_calls - before.gauge_calls);
    check("prob", cell.mode->spec.prob, after.stats_calls - before.stats_calls);
    check("difficulty", cell.mode->difficulty, after.difficulty_calls - before.difficulty_calls);
  }
  std::vector<Request> requests(const Cell& cell, bool on) const {
    std::vector<Request> out(prompts_.size());
    for (std::size_t i = 0; i < out.size(); ++i) {
      Request& request = out[i];
      request.prompt = runner_.prefix(static_cast<std::int64_t>(i), cell.point.depth);
      const std::vector<std::int32_t>& fresh = prompts_[i];
      const auto given = fresh.begin() + (cell.phase == Phase::kScore ? kShortPrompt : std::ssize(fresh));
      request.prompt.insert(request.prompt.end(), fresh.begin(), given);
      if (cell.phase == Phase::kScore) request.response.emplace(given, fresh.end());
      request.stop = {.max_tokens = std::max<std::int64_t>(1, cell.point.generated), .stop = {}, .ignore_eos = true};
      if (on && cell.mode->kind == OverheadMode::Kind::kScores) switch_on(request, cell);
    }
    return out;
  }
  void switch_on(Request& request, const Cell& cell) const {
    request.scores = cell.mode->spec;
    if (cell.phase == Phase::kPrefill) request.scores.span = GaugeSpan::kAll;  // so that there is something to gauge
    if (!cell.mode->difficulty) return;
    if (cell.phase != Phase::kDecode) {
      request.difficulty = true;
      return;
    }
    request.thinking = ThinkingSpec{.start = ThinkingStart::kPrompt, .dry_run = true};
    request.thinking->settings.interval = o_.interval;
    request.thinking->settings.min_tokens = 0;
  }
  double second_pass(const Cell& cell, const BatchRun& run) {
    std::vector<Request> again = requests(cell, false);
    for (std::size_t i = 0; i < again.size(); ++i) {
      again[i].response = run.finished[i].answers.front().tokens;
      again[i].scores.kv_coe = true;
    }
    return runner_.run(std::move(again)).all_s;
  }

  BenchRunner& runner_;
  const OverheadOptions& o_;
  std::vector<std::vector<std::int32_t>> prompts_;
};

OrderedJson number_or_null(double value) { return std::isfinite(value) ? OrderedJson(value) : OrderedJson(); }

/// The two columns of times of a row.
struct Pairs {
  std::vector<double> off, on;
  std::int64_t tokens = 0;

  OrderedJson row(const Cell& cell, const OverheadOptions& o) const {
    const PairedRatio ratio = paired_ratio(off, on);
    const auto rate = [&](const std::vector<double>& times) { return static_cast<double>(tokens) / median(times); };
    return {
        {"phase", name(cell.phase)},
        {"batch", cell.point.batch},
        {"depth", cell.point.depth},
        {"scores", cell.mode->name},
        {"off_tok_s", rate(off)},
        {"on_tok_s", rate(on)},
        {"ratio", ratio.ratio},
        {"ratio_ci95", {number_or_null(ratio.ci95.low), number_or_null(ratio.ci95.high)}},
        {"ratio_quartiles", {ratio.q25, ratio.q75}},
        {"pairs", ratio.pairs},
        {"tokens", tokens},
        {"off_ms", 1e3 * median(off)},
        {"on_ms", 1e3 * median(on)},
        {cell.phase == Phase::kDecode ? "n_gen" : "n_prompt", cell.phase == Phase::kDecode ? o.generated : o.prompt},
        {"kind", cell.mode->kind == OverheadMode::Kind::kScores ? "gauges" : "alternative"}};
  }
};

/// Off, on, on, off, off, on, ...: what drifts hits both sides alike.
void measure_pairs(BenchReport& report, const Cell& cell, const OverheadOptions& o,
                   const std::function<void()>& next_pair, const std::function<Measured(bool)>& measure) {
  Pairs pairs;
  const auto keep = [&] {
    if (std::ssize(pairs.off) >= std::min(kLeastPairs, o.pairs)) report.rows.push_back(pairs.row(cell, o));
  };
  try {
    for (std::int64_t pair = -o.warmup; pair < o.pairs; ++pair) {
      next_pair();
      const bool on_first = pair % 2 != 0;
      const Measured first = measure(on_first), second = measure(!on_first);
      if (pair < 0) continue;
      pairs.tokens = first.tokens;
      pairs.off.push_back((on_first ? second : first).seconds);
      pairs.on.push_back((on_first ? first : second).seconds);
    }
  } catch (const BenchInterrupted&) {
    keep();
    throw;
  }
  keep();
}

void measure_by_engine(BenchReport& report, const OverheadOptions& o, const EngineOptions& options,
                       const std::vector<Cell>& all) {
  std::vector<GridPoint> points;
  std::int64_t by_engine = 0;
  bool looks = false;
  for (const Cell& cell : all) {
    points.push_back(cell.point);
    by_engine += cell.by_engine();
    looks = looks || cell.mode->difficulty;
  }
  BenchRunner runner(options, o.output.quiet);
  check_pages(runner.engine(), points);
  runner.set_seed(static_cast<std::uint64_t>(o.model.seed));
  report.machine = machine_block(runner.engine(), options);
  if (looks)
    runner.engine().use_difficulty_head(o.difficulty.empty()
                                            ? untrained_head(runner.engine(), o.window, o.window_layers)
                                            : read_difficulty_head(o.difficulty));
  runner.expect(by_engine * 2 * (o.pairs + o.warmup));
  EngineSide side(runner, o);
  for (const Cell& cell : all) {
    if (!cell.by_engine()) continue;
    runner.warm_prefixes(cell.point.batch, cell.point.depth);
    measure_pairs(
        report, cell, o, [&] { side.next_pair(cell); },
        [&](bool on) {
          const Measured measured = side.measure(cell, on);
          runner.measured();
          return measured;
        });
  }
}

void measure_by_loop(BenchReport& report, const OverheadOptions& o, const EngineOptions& options,
                     const std::vector<Cell>& all) {
  std::int64_t sequences = 0, positions = 0, rows = 0, done = 0, tokens = 0;
  for (const Cell& cell : all) {
    if (cell.by_engine()) continue;
    ++rows;
    sequences = std::max(sequences, cell.point.batch);
    positions = std::max(positions, cell.point.positions());
  }
  if (rows == 0) return;
  const GracefulInterruption interruption;
  DecodeLoop loop(options, sequences, positions);
  Progress progress(o.output.quiet ? Progress::Style::kNone : Progress::style(false), rows * 2 * (o.pairs + o.warmup),
                    0);
  for (const Cell& cell : all) {
    if (cell.by_engine()) continue;
    measure_pairs(
        report, cell, o, [] {},
        [&](bool on) {
          if (interruption.requested()) throw BenchInterrupted();
          const double took = loop.run(cell.point.batch, cell.point.depth + kShortPrompt, o.generated,
                                       on ? cell.mode->kind : OverheadMode::Kind::kScores);
          progress.update(++done, tokens += cell.point.batch * o.generated);
          return Measured{.seconds = took, .tokens = cell.point.batch * o.generated};
        });
  }
}

BenchReport new_report(const OverheadOptions& o) {
  BenchReport report;
  report.benchmark = "overhead";
  report.title = "What the gauges cost";
  report.keys = {"phase", "batch", "depth", "scores"};
  report.measures = {"off_tok_s", "on_tok_s", "ratio"};
  report.columns = {{.field = "phase", .title = "phase"},
                    {.field = "scores", .title = "scores"},
                    {.field = "batch", .title = "batch"},
                    {.field = "depth", .title = "depth"},
                    {.field = "off_tok_s", .title = "off tok/s", .places = 1},
                    {.field = "on_tok_s", .title = "on tok/s", .places = 1},
                    {.field = "ratio", .title = "time on / off", .places = 4},
                    {.field = "ratio_ci95", .title = "95 % interval", .places = 4},
                    {.field = "ratio_quartiles", .title = "quartiles of pairs", .places = 4},
                    {.field = "pairs", .title = "pairs"}};
  report.figures = {{.kind = BenchFigure::Kind::kIntervals,
                     .caption = "Time with it, divided by time without",
                     .axis = "ratio (1: costs nothing)",
                     .fields = {"ratio", "ratio_ci95"},
                     .names = {"median of the pairs with its 95 % interval"},
                     .mark = 1}};
  report.notes = {
      "Each pair runs the same work off and on, one right after the other, in turns which comes first; ratio: median "
      "of "
      "the pairs' time on / time off, interval: order statistics of the pairs' ratios (sign test).",
      "decode: steps in which every sequence decodes, behind prompts of 8; prefill: all steps of prompts alone, the "
      "gauge over all positions; score: given answers, nothing generated, off computes no logits.",
      "Random token ids, greedy, end-of-text ignored; the prefix cache is off at depth 0.",
      "difficulty: a look every --interval tokens in decode, at the end of the prompt elsewhere. copy-kv, copy-new-kv "
      "and "
      "store-hidden: the back end's decode steps without the engine, with and without them."};
  report.settings = {{"n_prompt", o.prompt},
                     {"n_gen", o.generated},
                     {"pairs", o.pairs},
                     {"warmup", o.warmup},
                     {"seed", o.model.seed},
                     {"step_tokens", o.model.step_tokens},
                     {"chunk_tokens", o.model.chunk_tokens},
                     {"difficulty", o.difficulty.empty() ? cat("untrained, ", o.window, " positions, ", o.window_layers,
                                                               " layers, 512 units")
                                                         : o.difficulty},
                     {"interval", o.interval}};
  return report;
}

int bench_overhead(const OverheadOptions& o) {
  const std::vector<OverheadMode> modes = overhead_modes(o.scores);
  const std::vector<Cell> all = cells(o, modes);
  if (!o.difficulty.empty() && std::none_of(modes.begin(), modes.end(), [](const auto& m) { return m.difficulty; }))
    throw UsageError("--difficulty: no list of --scores has difficulty; add it");
  for (const Cell& cell : all)
    if (cell.phase == Phase::kDecode && cell.mode->difficulty && o.generated < o.interval)
      throw UsageError(cat("--n-gen: ", o.generated, " decode steps see no look at the difficulty, which comes every ",
                           o.interval, " (--interval); raise it to that"));
  std::vector<GridPoint> points;
  for (const Cell& cell : all) points.push_back(cell.point);
  EngineOptions options = engine_options(o.model);
  fit_to_grid(options, ModelFiles::open(options.model).config(), points);
  BenchOutput output(o.output, "overhead");
  BenchReport report = new_report(o);
  try {
    measure_by_engine(report, o, options, all);
    measure_by_loop(report, o, options, all);
  } catch (const BenchInterrupted&) {
    report.complete = false;
  }
  return output.write(std::move(report));
}

}  // namespace

Command add_bench_overhead(CLI::App& bench) {
  CLI::App* const app = bench.add_subcommand(
      "overhead", "What gauges cost: the same work with and without them, in pairs, with an interval");
  const auto o = std::make_shared<OverheadOptions>();
  add_text(*app, "--phase", o->phases, "LIST", "of prefill, decode, score (all)");
  const auto scores = app->add_option(
      "--scores", o->scores, "what is switched on; may be given several times (kv-coe;kv-coe,prob;difficulty)");
  scores->type_name("LIST[;LIST]...")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
  add_text(*app, "-b,--batch", o->batch, "LIST", "sequences at once (decode: 1,8,32; prefill and score: 1,8)");
  add_text(*app, "-d,--depth", o->depth, "LIST", "positions in the cache before (0)");
  add_count(*app, "-p,--n-prompt", o->prompt, 1, kMany,
            "tokens of each prompt that prefill computes, and of each answer that is scored (128)");
  add_count(*app, "-n,--n-gen", o->generated, 1, kMany, "timed decode steps of a measurement (16)");
  add_count(*app, "-r,--pairs", o->pairs, 1, 1000000,
            "of measurements for each row; under 6 there is no interval (80)");
  add_count(*app, "--warmup", o->warmup, 0, 1000000, "pairs before them that do not count (2)");
  add_count(*app, "--interval", o->interval, 1, kMany, "decoded tokens between looks at the difficulty (16)");
  add_count(*app, "--window", o->window, 1, kMany, "positions that a look reads, without --difficulty (32)");
  add_count(*app, "--window-layers", o->window_layers, 1, 4096, "layers that it reads, without --difficulty (8)");
  add_text(*app, "--difficulty", o->difficulty, "FILE",
           "a trained head; left out: one of constants, which costs the same");
  add_bench_output_options(*app, o->output);
  add_bench_model_options(*app, o->model);
  app->footer(kExamples);
  return {app, [o] { return bench_overhead(*o); }};
}

}  // namespace kvgauge::cli
