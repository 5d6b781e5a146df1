// What looks at a difficulty head cost a decode step: the same batch with and without them, one after another in one
// process.
//   difficulty_bench [--model PATH] [--interval 16] [--window 32] [--layers 8] [--tokens 160] [--repeats 20] [--threads
//   N]
// Windows are sums over the last positions and the last layers, K and V (METHOD.md F.1), the head has 512 units. Ratios
// are medians of the repeats' ratios, with the quartiles.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "control/difficulty_head.h"
#include "flags.h"
#include "kvgauge/embedding.h"
#include "kvgauge/engine.h"
#include "kvgauge/error.h"
#include "loader/model_files.h"
#include "measure.h"

namespace {

using namespace kvgauge;
using bench::median;
using bench::seconds;

struct Settings {
  EngineOptions engine;
  std::int64_t interval = 16, window = 32, layers = 8, tokens = 160;
  int repeats = 20;
};

DifficultyHead head_for(const Engine& engine, const Settings& settings) {
  const ModelConfig& config = engine.config();
  DifficultyHead head;
  head.window.positions = settings.window;
  head.window.layers = last_layers(settings.layers, config.layers);
  pin_to_model(head, config, engine.files().content_hash());
  const auto features = static_cast<std::size_t>(head.features()), hidden = static_cast<std::size_t>(head.hidden);
  head.w1.assign(hidden * features, 0.01f);
  head.b1.assign(hidden, 0.1f);
  head.w2.assign(hidden, 0.01f);
  head.b2 = {50};
  head.mean.assign(features, 0.0f);
  head.deviation.assign(features, 1.0f);
  return head;
}

/// Seconds of a decode step of `batch` sequences.
double decode(Engine& engine, const Settings& settings, std::int64_t batch, bool looks) {
  for (std::int64_t i = 0; i < batch; ++i) {
    Request request;
    for (std::int32_t t = 0; t < 16; ++t) request.prompt.push_back(static_cast<std::int32_t>(100 + 31 * i + 7 * t));
    request.stop = {.max_tokens = settings.tokens, .stop = {}, .ignore_eos = true};
    if (looks) {
      request.thinking = ThinkingSpec{.start = ThinkingStart::kPrompt, .dry_run = true};
      request.thinking->settings.interval = settings.interval;
      request.thinking->settings.min_tokens = 0;
    }
    engine.submit(std::move(request));
  }
  engine.step();  // the prompts
  const std::int64_t before = engine.stats().steps;
  const double start = seconds();
  while (engine.step()) {
  }
  const double took = seconds() - start;
  while (auto done = engine.next_finished())
    if (!done->error.empty()) throw InputError(done->error);
  return took / static_cast<double>(engine.stats().steps - before);
}

void run(const Settings& settings) {
  fmt::print("| batch | step, ms | with looks, ms | ratio | quartiles |\n|---|---|---|---|---|\n");
  for (const std::int64_t batch : {1, 8, 32}) {
    EngineOptions options = settings.engine;
    options.max_batch = batch;
    options.max_model_len = settings.tokens + 64;
    options.prefix_cache = false;
    Engine engine(options);
    engine.use_difficulty_head(head_for(engine, settings));
    std::vector<double> off, on, ratios;
    for (int repeat = -1; repeat < settings.repeats; ++repeat) {  // the first is warm-up
      const double a = decode(engine, settings, batch, false), b = decode(engine, settings, batch, true);
      if (repeat < 0) continue;
      off.push_back(a);
      on.push_back(b);
      ratios.push_back(b / a);
    }
    std::sort(ratios.begin(), ratios.end());
    fmt::print("| {} | {:.3f} | {:.3f} | {:.4f} | {:.4f} to {:.4f} |\n", batch, 1e3 * median(off), 1e3 * median(on),
               median(ratios), ratios[ratios.size() / 4], ratios[ratios.size() * 3 / 4]);
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  std::string model = "models/tiny-reasoner";
  return bench::run_bench(
      "difficulty_bench", argc, argv,
      {bench::text_flag("--model", model), bench::count_flag("--interval", settings.interval),
       bench::count_flag("--window", settings.window), bench::count_flag("--layers", settings.layers),
       bench::count_flag("--tokens", settings.tokens), bench::count_flag("--repeats", settings.repeats),
       bench::count_flag("--threads", settings.engine.threads)},
      [&] {
        settings.engine.model = model;
        run(settings);
      });
}
