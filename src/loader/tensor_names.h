#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "loader/model_config.h"
#include "loader/model_files.h"

namespace kvgauge {

/// The two spellings of tensor names: "model.layers.0.self_attn.q_proj.weight" and "blk.0.attn_q.weight".
enum class Naming : std::uint8_t { kHuggingFace, kGguf };

constexpr int kTensorRoles = static_cast<int>(TensorRole::kDown) + 1;
constexpr bool is_per_layer(TensorRole role) { return role >= TensorRole::kAttentionNorm; }

/// The name under which a file of that kind keeps the tensor; layer = -1 for those outside the layers.
std::string tensor_name(Naming naming, TensorRole role, std::int64_t layer);

struct TensorShape {
  std::int64_t rows = 1, columns = 0;
};
TensorShape tensor_shape(const ModelConfig& config, TensorRole role);

/// The roles that a model of this config has (an untied head only if it is untied, biases and norms as flagged).
std::vector<TensorRole> tensor_roles(const ModelConfig& config);

/// Tensors that files carry beside the weights and that the computation does not need.
bool is_ignorable(Naming naming, const ModelConfig& config, std::string_view name);

}  // namespace kvgauge
