// Writes GGUF models to measure with: random weights in a known shape, or a model's weights in another type.
//   random_gguf_bench --shape smollm2-135m|qwen2.5-0.5b|qwen3-0.6b|... --type
//   F32|F16|BF16|Q8_0|Q4_0|Q4_1|Q5_0|Q4_K|Q6_K
//                     --output FILE [--tokenizer FILE.gguf] [--seed N]
//   random_gguf_bench --weights FILE.gguf|FOLDER --type ... --output FILE
// The types of a file's matrices are those that llama-quantize would choose (models/gguf_models.h).
#include <fmt/format.h>

#include <cstdint>
#include <string>

#include "flags.h"
#include "kvgauge/error.h"
#include "model/step_costs.h"
#include "models/gguf_models.h"
#include "models/narrow.h"

namespace {

using namespace kvgauge;

struct Settings {
  std::string shape, type = "BF16", output, tokenizer, weights;
  std::uint64_t seed = 0;
};

StoredType type_named(const std::string& wanted) {
  std::string known;
  for (const StoredType type : bench::written_types()) {
    if (wanted == name(type)) return type;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", name(type));
  }
  throw UsageError(fmt::format("--type: found '{}', one of {} was needed", wanted, known));
}

void run(const Settings& s) {
  if (s.output.empty()) throw UsageError("--output: is missing, the name of a file was needed");
  if (s.shape.empty() == s.weights.empty()) throw UsageError("--shape, --weights: one of them was needed");
  const StoredType type = type_named(s.type);
  if (s.weights.empty()) {
    bench::write_random_model(s.output, shape_of(s.shape), type, s.seed, s.tokenizer);
    return;
  }
  if (!s.tokenizer.empty()) throw UsageError("--tokenizer: goes with --shape; a file's model keeps its own");
  bench::rewrite_model(s.weights, s.output, type);
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  return bench::run_bench("random_gguf_bench", argc, argv,
                          {bench::text_flag("--shape", s.shape), bench::text_flag("--type", s.type),
                           bench::text_flag("--output", s.output), bench::text_flag("--tokenizer", s.tokenizer),
                           bench::text_flag("--weights", s.weights), bench::count_flag("--seed", s.seed, 0)},
                          [&] { run(s); });
}
