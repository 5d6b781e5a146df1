// Decode and prefill rates of the whole engine at batch 1, 8, 32, with scores off and on.
//   engine_bench [--model PATH] [--dtype auto|bf16|f32] [--threads N] [--prompt 512] [--tokens 64] [--repeats 5]
//   [--batch-invariant]
// Prints a Markdown table of medians; scores are switched within each repeat, so drift of the machine hits all columns
// alike.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "kvgauge/engine.h"
#include "kvgauge/error.h"
#include "loader/model_config.h"
#include "measure.h"

namespace {

using namespace kvgauge;
using bench::median;
using bench::seconds;

struct Settings {
  EngineOptions engine;
  std::int64_t prompt = 512, tokens = 64;
  int repeats = 5;
};

struct Rates {
  double prefill = 0, decode = 0;  // tokens per second
};

// Runs the batch to its end. A step counts as decode if every sequence decoded in it, as prefill if none did.
Rates measure(Engine& engine, std::int64_t batch, std::int64_t prompt, std::int64_t tokens, const ScoreSpec& scores,
              std::uint64_t seed) {
  std::mt19937_64 random(seed);
  for (std::int64_t i = 0; i < batch; ++i) {
    Request request;
    for (std::int64_t t = 0; t < prompt; ++t)
      request.prompt.push_back(
          static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(engine.config().vocab - 8)));
    request.stop = {.max_tokens = tokens, .stop = {}, .ignore_eos = true};
    request.scores = scores;
    engine.submit(std::move(request));
  }
  double prefill_time = 0, decode_time = 0;
  std::int64_t prefill_tokens = 0, decode_tokens = 0;
  for (EngineStats before = engine.stats();;) {
    const double start = seconds();
    if (!engine.step()) break;
    const double took = seconds() - start;
    const EngineStats after = engine.stats();
    const std::int64_t prefilled = after.prefill_tokens - before.prefill_tokens,
                       decoded = after.decode_tokens - before.decode_tokens;
    if (prefilled == 0 && decoded == batch) decode_time += took, decode_tokens += decoded;
    if (decoded == 0) prefill_time += took, prefill_tokens += prefilled;
    before = after;
  }
  while (engine.next_finished()) {
  }
  return {static_cast<double>(prefill_tokens) / prefill_time,
          tokens > 1 ? static_cast<double>(decode_tokens) / decode_time : 0};
}

void run(const Settings& settings) {
  EngineOptions options = settings.engine;
  options.prefix_cache = false;  // the same random prompt must be computed every time
  options.max_batch = 32;
  Engine engine(options);
  const std::int64_t prompt = std::min(settings.prompt, engine.max_model_len() - settings.tokens - 32);
  fmt::print("{}: {}\n\nprefill: prompts of {} tokens; decode: {} tokens after prompts of 16; medians of {}\n\n",
             options.model.filename().string(), engine.describe(), prompt, settings.tokens, settings.repeats);
  fmt::print(
      "| batch | phase | off tok/s | kv-coe tok/s | kv-coe+prob tok/s | kv-coe/off time | kv-coe+prob/off time "
      "|\n|---|---|---|---|---|---|---|\n");
  const std::vector<ScoreSpec> modes = {{}, {.kv_coe = true}, {.kv_coe = true, .prob = true}};
  for (const std::int64_t batch : {1, 8, 32}) {
    std::vector<std::vector<double>> prefill(3), decode(3), prefill_ratio(3), decode_ratio(3);
    for (int repeat = -1; repeat < settings.repeats; ++repeat) {  // the first is warm-up
      std::vector<Rates> rates;
      for (const ScoreSpec& mode : modes) {
        const auto seed = static_cast<std::uint64_t>(batch);
        ScoreSpec prompt_mode = mode;
        prompt_mode.span = GaugeSpan::kAll;  // so that prefill has something to gauge
        rates.push_back({measure(engine, batch, prompt, 1, prompt_mode, seed).prefill,
                         measure(engine, batch, 16, settings.tokens, mode, seed).decode});
      }
      for (std::size_t m = 0; repeat >= 0 && m < 3; ++m) {
        prefill[m].push_back(rates[m].prefill);
        decode[m].push_back(rates[m].decode);
        prefill_ratio[m].push_back(rates[0].prefill / rates[m].prefill);
        decode_ratio[m].push_back(rates[0].decode / rates[m].decode);
      }
    }
    for (const bool is_prefill : {true, false}) {
      auto& rate = is_prefill ? prefill : decode;
      auto& ratio = is_prefill ? prefill_ratio : decode_ratio;
      fmt::print("| {} | {} | {:.0f} | {:.0f} | {:.0f} | {:.3f} | {:.3f} |\n", batch, is_prefill ? "prefill" : "decode",
                 median(rate[0]), median(rate[1]), median(rate[2]), median(ratio[1]), median(ratio[2]));
      std::fflush(stdout);
    }
  }
}

Settings parse(int argc, char** argv) {
  Settings settings;
  settings.engine.model = "models/tiny-reasoner";
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--batch-invariant") {
      settings.engine.batch_invariant = true;
      continue;
    }
    if (i + 1 >= argc) throw UsageError(fmt::format("engine_bench: '{}' is unknown or lacks its value", flag));
    const std::string value = argv[++i];
    if (flag == "--model")
      settings.engine.model = value;
    else if (flag == "--dtype")
      settings.engine.dtype = value;
    else if (flag == "--threads")
      settings.engine.threads = std::atoi(value.c_str());
    else if (flag == "--prompt")
      settings.prompt = std::atoll(value.c_str());
    else if (flag == "--tokens")
      settings.tokens = std::atoll(value.c_str());
    else if (flag == "--repeats")
      settings.repeats = std::max(1, std::atoi(value.c_str()));
    else
      throw UsageError(
          fmt::format("engine_bench: '{}' is unknown; one of --model, --dtype, --threads, --prompt, --tokens, "
                      "--repeats, --batch-invariant was needed",
                      flag));
  }
  return settings;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(parse(argc, argv));
  } catch (const Error& error) {
    std::fprintf(stderr, "kvgauge: %s\n", error.what());
    return 2;
  }
}
