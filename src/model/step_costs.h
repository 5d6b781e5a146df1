#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "kvgauge/scores.h"
#include "loader/model_config.h"

namespace kvgauge {

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
///   linear [m, k] x [n, k]:    n k w + m k w + 4 m n bytes,  2 m n k FLOP           (w: bytes of a weight)
///   paged_attention:           2 m c Hk d w + m H d (4 + w) + 2 * 4 m H s (d + 2),  4 m H c d   (s splits of 256
///   positions) kv_trajectory:             m L Hk d w (V alone) + 3 * 4 m Hk d logits_stats, sample:      4 m V each
std::vector<OperationCost> decode_step_costs(const ModelConfig& config, const StepShape& shape);

/// Shapes of the models that the paper measures, by name: "llama-3.1-8b", "qwen2-7b", "qwen3-8b",
/// "qwen3-32b", "r1-distill-qwen-14b"; and of small ones for a CPU: "smollm2-135m", "qwen2.5-0.5b", "qwen3-0.6b".
std::vector<std::string> known_shapes();
/// @throws UsageError naming the known ones
ModelConfig shape_of(const std::string& name);

}  // namespace kvgauge
