#include "model/step_costs.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kvgauge/error.h"

namespace kvgauge {
namespace {

double bytes_of(const std::vector<OperationCost>& costs, const std::string& part, bool gauges = false) {
  double bytes = 0;
  for (const OperationCost& cost : costs)
    if (cost.gauge == gauges && cost.operation.find(part) != std::string::npos) bytes += cost.bytes;
  return bytes;
}

// Published parameter counts less the embedding table, which a decode step does not read: 8.03e9 - 128256 * 4096, and
// so on. Results in f32 add 4 bytes to the 2 * hidden of each row of weights: 0.35 % at 576 values.
TEST(StepCosts, OneTokenReadsTheWeightsOnce) {
  const struct {
    const char* shape;
    double parameters, vocab_hidden;
  } models[] = {{"llama-3.1-8b", 8.030e9, 128256.0 * 4096},
                {"qwen2-7b", 7.616e9, 152064.0 * 3584},
                {"qwen3-8b", 8.191e9, 151936.0 * 4096},
                {"r1-distill-qwen-14b", 14.770e9, 152064.0 * 5120},
                {"smollm2-135m", 134.5e6, 0},  // the table is the head: a step reads it
                {"qwen2.5-0.5b", 494.0e6, 0},
                {"qwen3-0.6b", 596.0e6, 0}};
  for (const auto& model : models) {
    const auto costs = decode_step_costs(shape_of(model.shape), {.batch = 1, .context = 1});
    EXPECT_NEAR(bytes_of(costs, "linear"), 2 * (model.parameters - model.vocab_hidden), 5e-3 * 2 * model.parameters)
        << model.shape;
  }
}

// 131,072 bytes of KV a token and position for Llama-3.1-8B: all of it is read, and little besides.
TEST(StepCosts, AttentionReadsTheCacheOnce) {
  const auto costs = decode_step_costs(shape_of("llama-3.1-8b"), {.batch = 32, .context = 4096});
  const double cache = 32.0 * 4096 * 131072;
  EXPECT_GT(bytes_of(costs, "paged_attention"), cache);
  EXPECT_LT(bytes_of(costs, "paged_attention"), 1.06 * cache);
}

TEST(StepCosts, TheTrajectoryReadsOneTokensValuesAndIsOneLaunch) {
  for (const GaugePart part : {GaugePart::kV, GaugePart::kKV}) {
    const auto costs = decode_step_costs(shape_of("llama-3.1-8b"), {.batch = 1, .context = 4096, .part = part});
    const double values = part == GaugePart::kKV ? 131072 : 65536;  // of all layers
    EXPECT_NEAR(bytes_of(costs, "kv_trajectory", true), values, 0.25 * values);
    for (const OperationCost& cost : costs) {
      if (cost.operation == "kv_trajectory") {
        EXPECT_EQ(cost.launches, 1);
      }
    }
    double step = 0;
    for (const OperationCost& cost : costs) step += cost.gauge ? 0 : cost.bytes;
    EXPECT_LT(bytes_of(costs, "kv_trajectory", true), 1e-3 * step);
  }
}

TEST(StepCosts, UnknownShapesAreRefused) { EXPECT_THROW(shape_of("gpt-5"), UsageError); }

}  // namespace
}  // namespace kvgauge
