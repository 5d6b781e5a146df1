#pragma once
#include <filesystem>
#include <ostream>
#include <string>

#include "support/paths.h"

namespace kvgauge::testing {

/// A model and what transformers computes with it in float64, as paths under tests/golden/models.
struct GoldenModel {
  const char* model;
  const char* golden;
};
inline void PrintTo(const GoldenModel& golden, std::ostream* out) { *out << golden.model; }

inline std::filesystem::path golden_path(const std::string& relative) {
  return repo_path("tests/golden/models/" + relative);
}

inline constexpr GoldenModel kHuggingFaceModels[] = {{"llama31", "llama31/golden.safetensors"},
                                                     {"llama_tied", "llama_tied/golden.safetensors"},
                                                     {"qwen2", "qwen2/golden.safetensors"},
                                                     {"qwen3", "qwen3/golden.safetensors"}};
inline constexpr GoldenModel kGgufModels[] = {{"llama31/model-f32.gguf", "llama31/golden.safetensors"},
                                              {"llama31/model-f16.gguf", "llama31/golden-f16.safetensors"},
                                              {"llama_tied/model-f32.gguf", "llama_tied/golden.safetensors"},
                                              {"llama_tied/model-f16.gguf", "llama_tied/golden.safetensors"},
                                              {"qwen2/model-f32.gguf", "qwen2/golden.safetensors"},
                                              {"qwen2/model-f16.gguf", "qwen2/golden.safetensors"},
                                              {"qwen2/model-bf16.gguf", "qwen2/golden.safetensors"},
                                              {"qwen3/model-f32.gguf", "qwen3/golden.safetensors"},
                                              {"qwen3/model-f16.gguf", "qwen3/golden-f16.safetensors"}};
inline constexpr GoldenModel kQuantizedModels[] = {{"quantized/q8_0.gguf", "quantized/q8_0.golden.safetensors"},
                                                   {"quantized/q4_0.gguf", "quantized/q4_0.golden.safetensors"},
                                                   {"quantized/q4_1.gguf", "quantized/q4_1.golden.safetensors"},
                                                   {"quantized/q5_0.gguf", "quantized/q5_0.golden.safetensors"},
                                                   {"quantized/q5_1.gguf", "quantized/q5_1.golden.safetensors"},
                                                   {"quantized/q4_k.gguf", "quantized/q4_k.golden.safetensors"},
                                                   {"quantized/q5_k.gguf", "quantized/q5_k.golden.safetensors"},
                                                   {"quantized/q6_k.gguf", "quantized/q6_k.golden.safetensors"}};

}  // namespace kvgauge::testing

/// `suite` with every golden model.
#define KVGAUGE_ON_EVERY_GOLDEN_MODEL(suite)                                                               \
  INSTANTIATE_TEST_SUITE_P(HuggingFace, suite, ::testing::ValuesIn(kvgauge::testing::kHuggingFaceModels)); \
  INSTANTIATE_TEST_SUITE_P(Gguf, suite, ::testing::ValuesIn(kvgauge::testing::kGgufModels));               \
  INSTANTIATE_TEST_SUITE_P(Quantized, suite, ::testing::ValuesIn(kvgauge::testing::kQuantizedModels))
