#include "support/random_model.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/json.h"
#include "core/rng.h"
#include "support/paths.h"

namespace kvgauge::testing {
namespace {

struct Tensor {
  std::string name;
  std::int64_t rows, columns;  // rows 0: a vector of ones (norm weights)
};

std::vector<Tensor> tensors_of(const RandomModelShape& s) {
  std::vector<Tensor> all = {{"model.embed_tokens.weight", s.vocab, s.hidden}, {"model.norm.weight", 0, s.hidden}};
  for (std::int64_t l = 0; l < s.layers; ++l) {
    const std::string p = "model.layers." + std::to_string(l) + ".";
    all.push_back({p + "input_layernorm.weight", 0, s.hidden});
    all.push_back({p + "post_attention_layernorm.weight", 0, s.hidden});
    all.push_back({p + "self_attn.q_proj.weight", s.heads * s.head_dim, s.hidden});
    all.push_back({p + "self_attn.k_proj.weight", s.kv_heads * s.head_dim, s.hidden});
    all.push_back({p + "self_attn.v_proj.weight", s.kv_heads * s.head_dim, s.hidden});
    all.push_back({p + "self_attn.o_proj.weight", s.hidden, s.heads * s.head_dim});
    all.push_back({p + "mlp.gate_proj.weight", s.intermediate, s.hidden});
    all.push_back({p + "mlp.up_proj.weight", s.intermediate, s.hidden});
    all.push_back({p + "mlp.down_proj.weight", s.hidden, s.intermediate});
  }
  return all;
}

}  // namespace

void write_random_model(const std::filesystem::path& folder, const RandomModelShape& s, std::uint64_t seed) {
  std::filesystem::create_directories(folder);
  const auto donor = repo_path("tests/golden/models/llama_tied");
  for (const char* file : {"tokenizer.json", "tokenizer_config.json", "generation_config.json"})
    std::filesystem::copy_file(donor / file, folder / file);
  const Json config = {{"architectures", {"LlamaForCausalLM"}},
                       {"model_type", "llama"},
                       {"hidden_size", s.hidden},
                       {"num_hidden_layers", s.layers},
                       {"num_attention_heads", s.heads},
                       {"num_key_value_heads", s.kv_heads},
                       {"head_dim", s.head_dim},
                       {"intermediate_size", s.intermediate},
                       {"vocab_size", s.vocab},
                       {"max_position_embeddings", s.max_positions},
                       {"rms_norm_eps", 1e-5},
                       {"rope_theta", 10000.0},
                       {"hidden_act", "silu"},
                       {"tie_word_embeddings", true},
                       {"torch_dtype", "bfloat16"},
                       {"attention_bias", false}};
  write_file(folder / "config.json", config.dump());

  Json header;
  std::uint64_t offset = 0;
  for (const Tensor& t : tensors_of(s)) {
    const std::uint64_t bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(t.rows, 1) * t.columns) * 2;
    header[t.name] = {{"dtype", "BF16"},
                      {"shape", t.rows == 0 ? Json{t.columns} : Json{t.rows, t.columns}},
                      {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  const std::string text = header.dump();
  std::ofstream file(folder / "model.safetensors", std::ios::binary);
  const std::uint64_t length = text.size();
  file.write(reinterpret_cast<const char*>(&length), 8).write(text.data(), static_cast<std::streamsize>(text.size()));
  std::uint64_t word = seed;
  for (const Tensor& t : tensors_of(s)) {
    std::vector<bf16_t> values(static_cast<std::size_t>(std::max<std::int64_t>(t.rows, 1) * t.columns), to_bf16(1.0f));
    const float scale =
        static_cast<float>(std::sqrt(3.0 / static_cast<double>(s.hidden)));  // unit variance in, unit variance out
    if (t.rows > 0)
      for (bf16_t& x : values)
        x = to_bf16(scale * static_cast<float>(static_cast<double>((word = mix64(word)) >> 11) * 0x1p-52 - 1.0));
    file.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size() * 2));
  }
  if (!file) throw std::runtime_error("cannot write " + (folder / "model.safetensors").string());
}

}  // namespace kvgauge::testing
