#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "loader/model_config.h"
#include "model/weights.h"
#include "ops/backend.h"

namespace kvgauge {

/// The forward pass. Owns the activations of one step, reserved at construction.
class Decoder {
 public:
  /// @param max_rows new tokens of one step; @param max_logit_rows rows that logits() can take at once
  Decoder(const ModelConfig& config, const Weights& weights, Backend& backend, std::int64_t max_rows,
          std::int64_t max_logit_rows);

  /// Runs every layer over the batch: K and V of the new tokens are in the pages afterwards, the final hidden states
  /// stay here.
  void forward(const StepBatch& batch);

  /// Logits of some rows of the last forward(), f32 [rows, vocab]; valid until the next call of either.
  MatrixView logits(std::span<const std::int32_t> rows);

  std::int64_t max_logit_rows() const { return max_logit_rows_; }
  std::size_t activation_bytes() const;

 private:
  MatrixView matrix(std::byte* memory, DType dtype, std::int64_t rows, std::int64_t columns) const;
  void layers(const StepBatch& batch);
  void attention(const LayerWeights& layer, int index, const StepBatch& batch);
  void feed_forward(const LayerWeights& layer, std::int64_t rows);

  const ModelConfig& config_;
  const Weights& weights_;
  Backend& backend_;
  std::int64_t max_rows_, max_logit_rows_, rows_ = 0;
  std::vector<double> inverse_frequencies_;
  std::unique_ptr<DeviceMemory> memory_;
  std::byte *residual_, *normed_, *wide_, *q_, *mixed_, *delta_, *logit_states_, *logit_normed_, *logits_;
};

}  // namespace kvgauge
