// Parameters against the counts that the models' makers give, and the paper's Figure 1.
#include "measure/memory_costs.h"

#include <gtest/gtest.h>

#include "model/step_costs.h"

namespace kvgauge {
namespace {

TEST(MemoryCosts, ParametersAreThoseOfTheModels) {
  // Sums of tensor sizes as the repositories' model.safetensors.index.json state them (bytes / 2).
  for (const auto& [name, parameters] : {std::pair{"llama-3.1-8b", 8030261248},
                                         {"qwen2-7b", 7615616512},
                                         {"qwen3-8b", 8190735360},
                                         {"qwen3-32b", 32762123264},
                                         {"r1-distill-qwen-14b", 14770033664},
                                         {"smollm2-135m", 134515008},
                                         {"qwen2.5-0.5b", 494032768},
                                         {"qwen3-0.6b", 596049920}})
    EXPECT_EQ(parameter_count(shape_of(name)), parameters) << name;
}

TEST(MemoryCosts, FigureOneOfThePaper) {
  const MemoryCosts costs = memory_costs(shape_of("qwen3-32b"), DType::kBF16);
  const std::int64_t tokens = 131072;
  const auto cache = static_cast<double>(costs.weights + costs.kv(1, tokens));
  const double stored = cache + static_cast<double>(costs.hidden(1, tokens));
  EXPECT_NEAR(cache / 1e9, 99.88, 0.005);
  EXPECT_NEAR(stored / 1e9, 185.78, 0.005);
  EXPECT_NEAR(stored / cache, 1.86, 0.005);
}

TEST(MemoryCosts, SequencesThatFit) {
  ModelConfig config;  // 2 layers of 1 KV head of 16, hidden 32
  config.layers = 2, config.hidden = 32, config.heads = 2, config.kv_heads = 1, config.head_dim = 16;
  config.intermediate = 64, config.vocab = 100, config.tied_head = true;
  const MemoryCosts costs = memory_costs(config, DType::kF32);
  // Per layer: 32 (32 + 2 * 16) + 32 * 32 + 3 * 32 * 64 + 64 = 9280; 100 * 32 + 2 * 9280 + 32 = 21792, four bytes each
  EXPECT_EQ(costs.weights, 87168u);
  EXPECT_EQ(costs.kv_per_token, 2u * 2 * 16 * 4);
  EXPECT_EQ(costs.hidden_per_token, 2u * 32 * 4);
  EXPECT_EQ(costs.kv(3, 33), 3u * 64 * 256);  // two pages each
  // A sequence of 32: 8192 of cache, 32 * 56 + 128 = 1920 of gauges, and 8192 of hidden states if they are stored.
  EXPECT_EQ(costs.gauges(1, 32), 1920u);
  EXPECT_EQ(costs.sequences(87168 + 4 * 10112, 32, false), 4);
  EXPECT_EQ(costs.sequences(87168 + 4 * 10112 - 1, 32, false), 3);
  EXPECT_EQ(costs.sequences(87168 + 2 * 18304, 32, true), 2);
  EXPECT_EQ(costs.sequences(87168, 32, false), 0);
  EXPECT_EQ(costs.sequences(100, 32, false), 0);
}

}  // namespace
}  // namespace kvgauge
