#include "loader/tensor_names.h"

#include <array>

#include "core/cat.h"

namespace kvgauge {
namespace {

struct Spelling {
  const char* hugging_face;
  const char* gguf;
};

// In the order of TensorRole; layers' names follow "model.layers.N." and "blk.N.".
constexpr std::array<Spelling, kTensorRoles> kSpellings{{
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"lm_head.weight", "output.weight"},
    {"input_layernorm.weight", "attn_norm.weight"},
    {"self_attn.q_proj.weight", "attn_q.weight"},
    {"self_attn.k_proj.weight", "attn_k.weight"},
    {"self_attn.v_proj.weight", "attn_v.weight"},
    {"self_attn.q_proj.bias", "attn_q.bias"},
    {"self_attn.k_proj.bias", "attn_k.bias"},
    {"self_attn.v_proj.bias", "attn_v.bias"},
    {"self_attn.q_norm.weight", "attn_q_norm.weight"},
    {"self_attn.k_norm.weight", "attn_k_norm.weight"},
    {"self_attn.o_proj.weight", "attn_output.weight"},
    {"post_attention_layernorm.weight", "ffn_norm.weight"},
    {"mlp.gate_proj.weight", "ffn_gate.weight"},
    {"mlp.up_proj.weight", "ffn_up.weight"},
    {"mlp.down_proj.weight", "ffn_down.weight"},
}};

}  // namespace

std::string tensor_name(Naming naming, TensorRole role, std::int64_t layer) {
  const Spelling& spelling = kSpellings[static_cast<std::size_t>(role)];
  const char* const text = naming == Naming::kGguf ? spelling.gguf : spelling.hugging_face;
  if (!is_per_layer(role)) return text;
  return cat(naming == Naming::kGguf ? "blk." : "model.layers.", layer, ".", text);
}

TensorShape tensor_shape(const ModelConfig& config, TensorRole role) {
  const std::int64_t q = config.heads * config.head_dim, kv = config.kv_heads * config.head_dim;
  switch (role) {
    case TensorRole::kEmbedding:
    case TensorRole::kOutputHead: return {config.vocab, config.hidden};
    case TensorRole::kOutputNorm:
    case TensorRole::kAttentionNorm:
    case TensorRole::kFfnNorm: return {1, config.hidden};
    case TensorRole::kQ: return {q, config.hidden};
    case TensorRole::kK:
    case TensorRole::kV: return {kv, config.hidden};
    case TensorRole::kQBias: return {1, q};
    case TensorRole::kKBias:
    case TensorRole::kVBias: return {1, kv};
    case TensorRole::kQNorm:
    case TensorRole::kKNorm: return {1, config.head_dim};
    case TensorRole::kAttentionOut: return {config.hidden, q};
    case TensorRole::kGate:
    case TensorRole::kUp: return {config.intermediate, config.hidden};
    case TensorRole::kDown: return {config.hidden, config.intermediate};
  }
  return {};
}

std::vector<TensorRole> tensor_roles(const ModelConfig& config) {
  std::vector<TensorRole> roles;
  for (int i = 0; i < kTensorRoles; ++i) {
    const auto role = static_cast<TensorRole>(i);
    const bool is_bias = role == TensorRole::kQBias || role == TensorRole::kKBias || role == TensorRole::kVBias;
    const bool is_head_norm = role == TensorRole::kQNorm || role == TensorRole::kKNorm;
    if ((is_bias && !config.qkv_bias) || (is_head_norm && !config.qk_norm)) continue;
    if (role == TensorRole::kOutputHead && config.tied_head) continue;
    roles.push_back(role);
  }
  return roles;
}

bool is_ignorable(Naming naming, const ModelConfig& config, std::string_view name) {
  if (naming == Naming::kGguf) return name == "rope_freqs.weight";  // read into ModelConfig::rope_factors
  // Frequencies that old transformers saved follow from the config; a tied head may be saved as a copy.
  constexpr std::string_view kFrequencies = ".rotary_emb.inv_freq";
  return name.ends_with(kFrequencies) || (config.tied_head && name == "lm_head.weight");
}

}  // namespace kvgauge
