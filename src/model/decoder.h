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

  /// The states that the last forward() kept of `batch.tapped`, f32 [tapped rows, hidden], in device memory: the output
  /// of block tapped_layer(). Valid until the next forward().
  MatrixView tapped() const;
  /// floor((L + 1) / 2) of L blocks: the middle of transformers' L + 1 hidden states, as INSIDE takes it.
  static std::int64_t tapped_layer(std::int64_t layers) { return (layers + 1) / 2; }

  /// Logits of some rows of the last forward(), f32 [rows, vocab]; valid until the next call of any of these.
  MatrixView logits(std::span<const std::int32_t> rows);
  /// The same in tiles of the vocabulary, for more rows than logits() takes: begin_tiles() names the rows,
  /// logit_tile(first) gives f32 [rows, tokens first ... first + kVocabTile, or to the end].
  void begin_tiles(std::span<const std::int32_t> rows);
  MatrixView logit_tile(std::int64_t first_token);

  std::int64_t max_logit_rows() const { return max_logit_rows_; }
  std::int64_t max_tile_rows() const { return max_tile_rows_; }
  std::size_t activation_bytes() const;

 private:
  MatrixView matrix(std::byte* memory, DType dtype, std::int64_t rows, std::int64_t columns) const;
  void layers(const StepBatch& batch);
  void leave_state(std::int64_t state, const StepBatch& batch, const MatrixView& residual);
  void attention(const LayerWeights& layer, int index, const StepBatch& batch);
  void feed_forward(const LayerWeights& layer, std::int64_t rows);
  void head_linear(std::int64_t first_token, const MatrixView& out);

  const ModelConfig& config_;
  const Weights& weights_;
  Backend& backend_;
  std::int64_t max_rows_, max_logit_rows_, max_tile_rows_, rows_ = 0;
  std::int64_t logit_rows_ = 0;  ///< gathered by begin_tiles()
  std::vector<double> inverse_frequencies_;
  std::unique_ptr<DeviceMemory> memory_;
  std::unique_ptr<DeviceMemory> taps_;  ///< [max_rows, hidden] f32; made when a step first asks for it
  std::int64_t tapped_rows_ = 0;
  std::byte *residual_, *normed_, *wide_, *q_, *mixed_, *delta_, *logit_states_, *logit_normed_, *logits_;
};

}  // namespace kvgauge
