#include "model/step_costs.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "core/cat.h"
#include "kvgauge/error.h"
#include "loader/model_writer.h"

namespace kvgauge {
namespace {

double bytes_of(const std::vector<OperationCost>& costs, const std::string& part, bool gauges = false) {
  double bytes = 0;
  for (const OperationCost& cost : costs)
    if (cost.gauge == gauges && cost.operation.find(part) != std::string::npos) bytes += cost.bytes;
  return bytes;
}

std::vector<OperationCost> costs_of(const std::string& shape, const StepShape& step) {
  const ModelConfig config = shape_of(shape);
  return decode_step_costs(config, step_matrices(config), step);
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
    const auto costs = costs_of(model.shape, {.batch = 1, .context = 1});
    EXPECT_NEAR(bytes_of(costs, "linear"), 2 * (model.parameters - model.vocab_hidden), 5e-3 * 2 * model.parameters)
        << model.shape;
  }
}

// 131,072 bytes of KV a token and position for Llama-3.1-8B: all of it is read, and little besides.
TEST(StepCosts, AttentionReadsTheCacheOnce) {
  const auto costs = costs_of("llama-3.1-8b", {.batch = 32, .context = 4096});
  const double cache = 32.0 * 4096 * 131072;
  EXPECT_GT(bytes_of(costs, "paged_attention"), cache);
  EXPECT_LT(bytes_of(costs, "paged_attention"), 1.06 * cache);
}

TEST(StepCosts, TheTrajectoryReadsOneTokensValuesAndIsOneLaunch) {
  for (const GaugePart part : {GaugePart::kV, GaugePart::kKV}) {
    const auto costs = costs_of("llama-3.1-8b", {.batch = 1, .context = 4096, .part = part});
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

// Files of mixed types (Q4_K_M keeps some layers' down in Q6_K): what is stored alike is one kind.
TEST(StepCosts, MatricesThatLayersStoreOtherwiseAreKindsOfTheirOwn) {
  testing::GgufWriter file = testing::tiny_gguf("llama");
  for (const char* name : {"blk.1.attn_v.weight", "token_embd.weight"}) {
    auto& tensor = file.find_tensor(name);
    tensor.type = 8;  // Q8_0: 34 bytes for 32 values
    tensor.data.assign(tensor.data.size() / 4 / 32 * 34, '\0');
  }
  const auto path = std::filesystem::path(::testing::TempDir()) / "step_matrices.gguf";
  std::ofstream(path, std::ios::binary) << file.bytes();
  const ModelFiles files = ModelFiles::open(path);

  std::vector<StepMatrix> kinds = step_matrices(files);
  std::vector<std::string> found;
  for (const StepMatrix& kind : kinds) {
    std::string types;
    for (const auto& run : kind.runs) types += cat(" ", run.rows, " ", name(run.type));
    found.push_back(cat(kind.count, " ", kind.name, " [", kind.rows, ",", kind.columns, "]", types));
  }
  EXPECT_EQ(join(found, "\n"),
            join(std::vector<std::string>{"1 qkv (F32, F32, F32) [64,32] 32 F32 16 F32 16 F32",
                                          "1 qkv (F32, F32, Q8_0) [64,32] 32 F32 16 F32 16 Q8_0",
                                          "2 attention_out [32,32] 32 F32", "2 gate_up [96,32] 48 F32 48 F32",
                                          "2 down [32,48] 32 F32", "1 head [300,32] 300 Q8_0"},
                 "\n"));

  // every kind is a row of costs, with the bytes that a device said it keeps
  kinds[1].bytes = 1e6;
  const auto costs = decode_step_costs(files.config(), kinds, {.batch = 2, .dtype = DType::kF32});
  std::vector<std::string> linear;
  for (const OperationCost& cost : costs)
    if (cost.operation.rfind("linear ", 0) == 0)
      linear.push_back(cat(cost.launches, " ", cost.operation, " ", cost.bytes));
  const double rows = 2 * 4;
  EXPECT_EQ(linear.front(), cat("1 linear qkv (F32, F32, F32) ", 64 * 32 * 4 + rows * (32 + 64)));
  EXPECT_EQ(linear.at(1), cat("1 linear qkv (F32, F32, Q8_0) ", 1e6 + rows * (32 + 64)));
  EXPECT_EQ(linear.size(), kinds.size());
}

TEST(StepCosts, UnknownShapesAreRefused) { EXPECT_THROW(shape_of("gpt-5"), UsageError); }

}  // namespace
}  // namespace kvgauge
