// What scores cost where nothing is generated: finished pairs through the engine, as `kvgauge score` runs them.
//   score_bench [--model PATH] [--pairs 1000] [--prompt 96] [--response 96] [--repeats 5] [--threads N]
// Each pair is a random prompt and response of half to one and a half times those lengths, the same in every column.
// Columns are run one after another within each repeat, so drift of the machine hits all alike; ratios are medians of
// the repeats' ratios. The logits that a prefill without statistics would compute are timed by themselves (gather, norm
// and product of as many rows).
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "engine/open_backend.h"
#include "flags.h"
#include "kvgauge/engine.h"
#include "kvgauge/error.h"
#include "loader/model_files.h"
#include "measure.h"
#include "model/cache_layout.h"
#include "model/decoder.h"

namespace {

using namespace kvgauge;
using bench::median;
using bench::seconds;

struct Settings {
  EngineOptions engine;
  std::int64_t pairs = 1000, prompt = 96, response = 96;
  int repeats = 5;
};

struct Pair {
  std::vector<std::int32_t> prompt, response;
};

std::vector<Pair> random_pairs(const Settings& settings, std::int64_t vocab) {
  std::mt19937_64 random(1);
  const auto tokens = [&](std::int64_t mean) {
    std::vector<std::int32_t> ids(mean / 2 + random() % static_cast<std::uint64_t>(mean + 1));
    for (std::int32_t& id : ids) id = static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(vocab - 8));
    return ids;
  };
  std::vector<Pair> pairs(static_cast<std::size_t>(settings.pairs));
  for (Pair& pair : pairs) pair = {tokens(settings.prompt), tokens(settings.response)};
  return pairs;
}

double score_all(Engine& engine, const std::vector<Pair>& pairs, const ScoreSpec& scores) {
  const double start = seconds();
  for (const Pair& pair : pairs) {
    Request request;
    request.prompt = pair.prompt;
    request.response = pair.response;
    request.scores = scores;
    engine.submit(std::move(request));
  }
  std::int64_t finished = 0;
  while (engine.step())
    while (engine.next_finished()) ++finished;
  while (engine.next_finished()) ++finished;
  if (finished != std::ssize(pairs))
    throw InputError(fmt::format("score_bench: {} of {} pairs finished", finished, pairs.size()));
  return seconds() - start;
}

// The product with the head that statistics need, for rows of one step again and again.
class Logits {
 public:
  Logits(const Settings& settings, std::int64_t step_tokens)
      : files_(ModelFiles::open(settings.engine.model)),
        backend_(open_backend(settings.engine, files_.config())),
        weights_(load_weights(files_, *backend_)),
        decoder_(files_.config(), weights_, *backend_, step_tokens, 64),
        layout_(page_layout(files_.config(), backend_->compute_dtype())),
        memory_(backend_->allocate(static_cast<std::size_t>(layout_.block_bytes()))),
        pages_(layout_, 1, memory_->data()) {
    backend_->warm_up(step_tokens, kPageTokens);
    const std::vector<std::int32_t> ids(kPageTokens, 1);
    const std::int32_t block = 0;
    const SequenceSlice slice{.first_row = 0, .rows = kPageTokens, .first_position = 0, .blocks = &block};
    decoder_.forward({.ids = ids, .sequences = {&slice, 1}, .pages = pages_.view()});
  }
  double time(std::int64_t rows) {
    const double start = seconds();
    std::vector<std::int32_t> list;
    while (rows > 0) {
      list.clear();
      for (std::int64_t i = 0; i < std::min(rows, decoder_.max_tile_rows()); ++i)
        list.push_back(static_cast<std::int32_t>(i % kPageTokens));
      rows -= std::ssize(list);
      decoder_.begin_tiles(list);
      for (std::int64_t first = 0; first < files_.config().vocab; first += kVocabTile) decoder_.logit_tile(first);
    }
    backend_->wait();
    return seconds() - start;
  }

 private:
  ModelFiles files_;
  std::unique_ptr<Backend> backend_;
  Weights weights_;
  Decoder decoder_;
  PageLayout layout_;
  std::unique_ptr<DeviceMemory> memory_;
  PageStorage pages_;
};

void run(const Settings& settings) {
  EngineOptions options = settings.engine;
  options.prefix_cache = false;  // the same pairs must be computed every time
  Engine engine(options);
  const std::vector<Pair> pairs = random_pairs(settings, engine.config().vocab);
  Logits logits(settings, options.step_tokens);
  std::int64_t tokens = 0, judged = 0;
  for (const Pair& pair : pairs) {
    tokens += std::ssize(pair.prompt) + std::ssize(pair.response) - 1;
    judged += std::ssize(pair.response);
  }
  fmt::print("{}: {}\n{} pairs, {} tokens computed, {} of them judged; medians of {}\n\n",
             options.model.filename().string(), engine.describe(), pairs.size(), tokens, judged, settings.repeats);
  const std::vector<ScoreSpec> modes = {{}, {.kv_coe = true}, {.prob = true}, {.kv_coe = true, .prob = true}};
  std::vector<std::vector<double>> times(5), ratios(3);
  for (int repeat = -1; repeat < settings.repeats; ++repeat) {  // the first is warm-up
    std::vector<double> took;
    for (const ScoreSpec& mode : modes) took.push_back(score_all(engine, pairs, mode));
    took.push_back(took[0] + logits.time(judged));
    if (repeat < 0) continue;
    for (std::size_t i = 0; i < took.size(); ++i) times[i].push_back(took[i]);
    ratios[0].push_back(took[1] / took[0]);
    ratios[1].push_back(took[2] / took[4]);
    ratios[2].push_back(took[3] / took[4]);
  }
  const auto row = [&](const char* what, std::size_t at, const std::string& ratio) {
    const double time = median(times[at]);
    fmt::print("| {} | {:.2f} | {:.0f} | {} |\n", what, time, static_cast<double>(tokens) / time, ratio);
  };
  fmt::print("| scores | s | tokens/s | ratio |\n|---|---|---|---|\n");
  row("none: a bare prefill", 0, "1");
  row("kv-coe", 1, fmt::format("{:.3f} of the bare prefill", median(ratios[0])));
  row("none, with the logits of the responses", 4, "1");
  row("prob", 2, fmt::format("{:.3f} of the prefill with logits", median(ratios[1])));
  row("kv-coe,prob", 3, fmt::format("{:.3f} of the prefill with logits", median(ratios[2])));
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  std::string model = "models/tiny-reasoner";
  return bench::run_bench(
      "score_bench", argc, argv,
      {bench::text_flag("--model", model), bench::count_flag("--pairs", settings.pairs),
       bench::count_flag("--prompt", settings.prompt, 2), bench::count_flag("--response", settings.response, 2),
       bench::count_flag("--repeats", settings.repeats), bench::count_flag("--threads", settings.engine.threads, 0)},
      [&] {
        settings.engine.model = model;
        run(settings);
      });
}
