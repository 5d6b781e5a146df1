#include "bench_workload.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "core/cat.h"
#include "core/ceil_div.h"
#include "core/rng.h"
#include "kv/paged_view.h"
#include "kvgauge/error.h"
#include "loader/model_files.h"

namespace kvgauge::cli {
namespace {

constexpr std::int64_t kSparePages = 2;  // of each sequence: what admission keeps free for those that run

constexpr std::uint64_t kFreshStreams = std::uint64_t{1} << 40;  // behind those of the prefixes

std::int64_t pages(std::int64_t positions) { return ceil_div(positions, kPageTokens); }

}  // namespace

std::string GridPoint::describe() const {
  return cat("batch ", batch, ", depth ", depth, ", prompt ", prompt, ", ", generated, " generated");
}

void fit_to_grid(EngineOptions& options, const ModelConfig& config, const std::vector<GridPoint>& points) {
  std::int64_t longest = 1, batch = 1;
  bool shares = false;
  for (const GridPoint& point : points) {
    if (point.positions() > config.max_positions)
      throw UsageError(cat("--depth, --n-prompt, --n-gen: ", point.describe(), " need ", point.positions(),
                           " positions, the model's context is ", config.max_positions));
    longest = std::max(longest, point.positions());
    batch = std::max(batch, point.batch);
    shares = shares || point.depth > 0;
  }
  options.max_batch = batch;
  options.max_model_len = std::min(config.max_positions, longest + kSparePages * kPageTokens);
  options.prefix_cache = shares;
}

void check_pages(const Engine& engine, const std::vector<GridPoint>& points) {
  const EngineStats stats = engine.stats();
  for (const GridPoint& point : points)
    if (const std::int64_t need = point.batch * pages(point.positions()); need > stats.blocks)
      throw UsageError(cat("--kv-memory: ", point.describe(), " need ", need, " pages of ", kPageTokens,
                           " positions, there are ", stats.blocks, " (", stats.kv_bytes >> 20, " MiB); raise it to ",
                           (stats.kv_bytes / static_cast<std::uint64_t>(stats.blocks) *
                                static_cast<std::uint64_t>(need + kSparePages * point.batch) >>
                            20) +
                               1,
                           "MiB"));
}

std::vector<std::int32_t> random_tokens(std::uint64_t seed, std::uint64_t stream, std::int64_t count,
                                        std::int64_t vocab) {
  const std::uint64_t key = mix64(mix64(seed) + stream);
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < tokens.size(); ++i)
    tokens[i] = static_cast<std::int32_t>(mix64(key + i) % static_cast<std::uint64_t>(vocab));
  return tokens;
}

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

BenchRunner::BenchRunner(const EngineOptions& options, bool quiet) : engine_(options), quiet_(quiet) {
  if (!quiet) std::fputs(cat("kvgauge: ", engine_.config().name, " on ", engine_.describe(), "\n").c_str(), stderr);
}

BatchRun BenchRunner::run(std::vector<Request> requests) {
  const std::size_t count = requests.size();
  BatchRun run;
  run.times.resize(count);
  run.finished.resize(count);
  run.begin = seconds_now();
  std::int64_t first = -1;
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t number = engine_.submit(std::move(requests[i]));
    if (first < 0) first = number;
    run.times[i].sent = run.begin;
  }
  std::vector<bool> done(count);
  const auto saw = [&](std::size_t i, std::int64_t tokens, double now) {
    while (std::ssize(run.times[i].tokens) < tokens) run.times[i].tokens.push_back(now);
  };
  for (EngineStats before = engine_.stats();;) {
    if (interruption_.requested()) {
      for (std::size_t i = 0; i < count; ++i) engine_.cancel(first + static_cast<std::int64_t>(i));
      while (engine_.next_finished()) {
      }
      throw BenchInterrupted();
    }
    const double start = seconds_now();
    if (!engine_.step()) break;
    const double now = seconds_now();
    const EngineStats after = engine_.stats();
    const std::int64_t prefilled = after.prefill_tokens - before.prefill_tokens,
                       decoded = after.decode_tokens - before.decode_tokens;
    before = after;
    run.all_s += now - start;
    if (decoded == 0) {
      run.prefill_s += now - start;
      run.prefill_tokens += prefilled;
    } else if (prefilled == 0 && decoded == static_cast<std::int64_t>(count)) {
      run.decode_s += now - start;
      run.decode_tokens += decoded;
    }
    while (auto finished = engine_.next_finished()) {
      const auto i = static_cast<std::size_t>(finished->request - first);
      if (!finished->answers.empty()) saw(i, std::ssize(finished->answers.front().tokens), now);
      done[i] = true;
      run.finished[i] = std::move(*finished);
    }
    for (std::size_t i = 0; i < count; ++i)
      if (!done[i])
        if (const auto progress = engine_.progress(first + static_cast<std::int64_t>(i)))
          saw(i, progress->sampled, now);
    run.end = now;
  }
  while (auto finished = engine_.next_finished())  // those that were refused
    run.finished[static_cast<std::size_t>(finished->request - first)] = std::move(*finished);
  for (const Finished& finished : run.finished)
    if (!finished.error.empty()) throw InputError(finished.error);
  return run;
}

std::vector<std::int32_t> BenchRunner::prefix(std::int64_t index, std::int64_t depth) const {
  return random_tokens(seed_, static_cast<std::uint64_t>(index), depth, engine_.config().vocab);
}

std::vector<std::int32_t> BenchRunner::fresh_tokens(std::int64_t count) {
  return random_tokens(seed_, kFreshStreams + streams_++, count, engine_.config().vocab);
}

void BenchRunner::warm_prefixes(std::int64_t batch, std::int64_t depth) {
  if (depth == 0) return;
  for (std::int64_t i = 0; i < batch; ++i) {  // one after another: each may take what the others have left
    std::vector<Request> one(1);
    one.front().prompt = prefix(i, depth);
    one.front().prompt_only = true;
    run(std::move(one));
  }
}

void BenchRunner::check_prefixes(const BatchRun& run, std::int64_t depth) const {
  const std::int64_t whole = depth / kPageTokens * kPageTokens;
  for (const Finished& finished : run.finished)
    if (finished.cached_tokens < whole)
      throw UsageError(cat("--kv-memory: the pages of depth ", depth, " were evicted while it was measured (",
                           finished.cached_tokens, " of ", whole, " positions were left); raise it"));
}

void BenchRunner::expect(std::int64_t measurements) {
  progress_.emplace(quiet_ ? Progress::Style::kNone : Progress::style(false), measurements, 0);
}

void BenchRunner::measured() {
  const EngineStats stats = engine_.stats();
  if (progress_) progress_->update(++measured_, stats.prefill_tokens + stats.decode_tokens);
}

}  // namespace kvgauge::cli
