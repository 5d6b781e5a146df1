#include <gtest/gtest.h>

#include <cmath>

#include "loader/model_files.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

constexpr const char* kFile = "SmolLM2-135M-Instruct.Q4_1.gguf";

TEST(SmolLm2, TheRealGgufOpens) {
  const auto path = testing::model_path(kFile);
  if (!std::filesystem::exists(path)) GTEST_SKIP() << testing::missing_model(kFile);
  const auto model = ModelFiles::open(path);
  const ModelConfig& c = model.config();
  EXPECT_EQ(c.architecture, Architecture::kLlama);
  EXPECT_EQ((std::vector<std::int64_t>{c.layers, c.hidden, c.heads, c.kv_heads, c.head_dim, c.intermediate, c.vocab,
                                       c.max_positions}),
            (std::vector<std::int64_t>{30, 576, 9, 3, 64, 1536, 49152, 8192}));
  EXPECT_EQ(c.rope_theta, 100000);
  EXPECT_FLOAT_EQ(static_cast<float>(c.rms_norm_eps), 1e-5f);
  EXPECT_TRUE(c.tied_head);
  EXPECT_FALSE(c.qkv_bias || c.qk_norm || c.rope_scaling);
  EXPECT_EQ(c.stored_dtype, DType::kBF16);
  EXPECT_EQ(model.tokenizer().tokens.size(), 49152u);
  EXPECT_EQ(model.tokenizer().merges.size(), 48900u);
  EXPECT_EQ(model.generation().eos.front(), 2);
  EXPECT_EQ(model.eos_token(), "<|im_end|>");
  ASSERT_TRUE(model.chat_template());
  EXPECT_NE(model.chat_template()->find("<|im_start|>"), std::string::npos);
  std::vector<float> rows(3 * 576);
  model.read_rows(TensorRole::kQ, 29, 60, 3, rows.data());
  for (const float value : rows) EXPECT_LT(std::abs(value), 10);
}

}  // namespace
}  // namespace kvgauge
