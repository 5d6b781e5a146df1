#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "loader/model_files.h"
#include "ops/backend.h"

namespace kvgauge {

// Matrices that share their input are multiplied as one: the tensors whose rows it has, one after another.
inline constexpr std::array kQkvTensors = {TensorRole::kQ, TensorRole::kK, TensorRole::kV};
inline constexpr std::array kAttentionOutTensors = {TensorRole::kAttentionOut};
inline constexpr std::array kGateUpTensors = {TensorRole::kGate, TensorRole::kUp};
inline constexpr std::array kDownTensors = {TensorRole::kDown};
inline constexpr std::array kHeadTensors = {TensorRole::kOutputHead};  // the embedding where they are tied

/// One decoder layer on the device. Pointers lead into Weights::memory; biases and q/k norms are null where the model
/// has none.
struct LayerWeights {
  const float* attention_norm = nullptr;  ///< [hidden]
  PackedWeight qkv;                       ///< [(heads + 2 kv_heads) * head_dim, hidden]: q rows, k rows, v rows
  const float* qkv_bias = nullptr;        ///< same row order
  const float* q_norm = nullptr;          ///< [head_dim]
  const float* k_norm = nullptr;
  PackedWeight attention_out;       ///< [hidden, heads * head_dim]
  const float* ffn_norm = nullptr;  ///< [hidden]
  PackedWeight gate_up;             ///< [2 * intermediate, hidden]: gate rows, up rows
  PackedWeight down;                ///< [hidden, intermediate]
};

/// All weights on the device. The source file's pages are dropped as soon as a tensor has been packed.
struct Weights {
  std::vector<LayerWeights> layers;
  const float* output_norm = nullptr;
  PackedWeight head;                     ///< [vocab, hidden]; a packed copy of the table when tied
  const std::byte* embedding = nullptr;  ///< [vocab, hidden] in the compute dtype, for look-ups
  std::unique_ptr<DeviceMemory> memory;  ///< norms and biases, f32
  std::unique_ptr<DeviceMemory> table;
};

Weights load_weights(const ModelFiles& files, Backend& backend);

}  // namespace kvgauge
