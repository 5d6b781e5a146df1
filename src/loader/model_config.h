#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/dtype.h"

namespace kvgauge {

enum class Architecture : std::uint8_t { kLlama, kQwen2, kQwen3 };
constexpr const char* name(Architecture a) {
  return a == Architecture::kLlama ? "llama" : a == Architecture::kQwen2 ? "qwen2" : "qwen3";
}

/// Llama 3.1 frequency scaling (rope_type "llama3"); in GGUF it arrives as the tensor rope_freqs.weight instead.
struct Llama3RopeScaling {
  double factor = 8, low_freq_factor = 1, high_freq_factor = 4;
  std::int64_t original_max_position = 8192;
};

/// The shape of a decoder. All counts are positive and consistent once load_model_config has returned:
/// attention_heads % kv_heads == 0, head_dim even.
struct ModelConfig {
  Architecture architecture = Architecture::kLlama;
  std::string name;  ///< for messages and manifests
  std::int64_t layers = 0, hidden = 0, heads = 0, kv_heads = 0, head_dim = 0, intermediate = 0, vocab = 0;
  std::int64_t max_positions = 0;  ///< context length that the file states
  double rms_norm_eps = 1e-6;
  double rope_theta = 10000;
  std::optional<Llama3RopeScaling> rope_scaling;
  std::vector<float> rope_factors;  ///< head_dim/2 divisors of the inverse frequencies, empty if none (GGUF rope_freqs)
  bool qkv_bias = false;            ///< Qwen2
  bool qk_norm = false;             ///< Qwen3: RMSNorm of each q and k head before RoPE
  bool tied_head = false;           ///< the output projection is the embedding matrix
  DType stored_dtype = DType::kBF16;  ///< of the matrices; quantized files count as bf16
};

/// What generation_config.json or GGUF metadata says about the ends of a text, and how the model is meant to be
/// sampled.
struct GenerationDefaults {
  std::vector<std::int32_t> eos;  ///< every id that ends a response
  std::optional<std::int32_t> bos;
  std::optional<bool> samples;  ///< do_sample
  std::optional<double> temperature, top_p;
  std::optional<std::int64_t> top_k;
};

/// Inverse frequencies of RoPE, scaling applied, in double: head_dim/2 values.
///   f_i = theta^(-2i/d); llama3: smooth interpolation between f/factor (long wavelengths) and f (transformers,
///   modeling_rope_utils).
std::vector<double> rope_inverse_frequencies(const ModelConfig& config);

}  // namespace kvgauge
