#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kvgauge/scores.h"
#include "loader/model_files.h"
#include "ops/weight_source.h"

namespace kvgauge {

/// The matrices of one kind that a step multiplies with, and how they are stored.
struct StepMatrix {
  std::string name;  ///< "qkv", "attention_out", "gate_up", "down", "head"; where layers differ, with their types
  std::span<const TensorRole> tensors;            ///< whose rows it is made of
  std::int64_t count = 0, rows = 0, columns = 0;  ///< of one: output features, input features
  std::vector<WeightSource::Run> runs = {};       ///< rows by stored type; empty: in the computing dtype
  double bytes = 0;                               ///< of one on the device; 0: in the computing dtype
};
/// In the order of the decoder.
std::vector<StepMatrix> step_matrices(const ModelConfig& config);
/// The same with the types of a file's tensors. Layers that store a matrix in other types make up a kind of their own
/// ("down (Q4_K)", "down (Q6_K)").
std::vector<StepMatrix> step_matrices(const ModelFiles& files);

/// What one operation of a decode step moves and computes, over all its launches. A roofline's input: every byte that
/// must cross the device's memory once, and nothing that a cache could hold between operations.
struct OperationCost {
  std::string operation;      ///< stem of its contract (src/ops), with the matrix for linear: "linear gate_up"
  std::int64_t launches = 0;  ///< kernel launches in the step
  double bytes = 0, flop = 0;
  bool gauge = false;  ///< runs only where scores are asked for
};

struct StepShape {
  std::int64_t batch = 1;    ///< sequences, one new token each
  std::int64_t context = 1;  ///< positions of each, the new one included
  DType dtype = DType::kBF16;
  GaugePart part = GaugePart::kV;
};

/// All operations of one decode step in the order of the decoder, gauges last.
///   linear [m, k] x [n, k]:  2 m n k FLOP; n k w + m k w + 4 m n bytes (w: of a number of dtype; instead of n k w what
///                            the device keeps, where that is known)
///   paged_attention:         4 m H c d FLOP; 2 m c Hk d w + m H d (4 + w) bytes, and 2 * 4 m H s (d + 2) where there
///                            are several splits s of 256 positions
///   kv_trajectory:           m L Hk d w (V alone) + 3 * 4 m Hk d bytes
///   logits_stats, sample:    4 m V bytes each
std::vector<OperationCost> decode_step_costs(const ModelConfig& config, std::span<const StepMatrix> matrices,
                                             const StepShape& shape);

/// Shapes of the models that the paper measures, by name: "llama-3.1-8b", "qwen2-7b", "qwen3-8b",
/// "qwen3-32b", "r1-distill-qwen-14b"; and of small ones for a CPU: "smollm2-135m", "qwen2.5-0.5b", "qwen3-0.6b".
std::vector<std::string> known_shapes();
/// @throws UsageError naming the known ones
ModelConfig shape_of(const std::string& name);

}  // namespace kvgauge
