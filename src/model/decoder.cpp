// The decoder of Llama, Qwen2 and Qwen3 (pre-norm, grouped-query attention, SwiGLU):
//   h += Wo attention(rope(norm(h) Wqkv))        h += Wdown swiglu(norm(h) Wgate_up)        logits = norm(h) Whead
// The additions to the residual stream h are fused into the next norm, so `delta_` always holds the pending one.
#include "model/decoder.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/check.h"

namespace kvgauge {
namespace {

constexpr std::int64_t kLeastTileValues = std::int64_t{1}
                                          << 21;  // so that small vocabularies take a step's rows at once

}  // namespace

Decoder::Decoder(const ModelConfig& config, const Weights& weights, Backend& backend, std::int64_t max_rows,
                 std::int64_t max_logit_rows)
    : config_(config),
      weights_(weights),
      backend_(backend),
      max_rows_(max_rows),
      max_logit_rows_(max_logit_rows),
      max_tile_rows_(
          std::clamp(std::max(kLeastTileValues, max_logit_rows * config.vocab) / std::min(config.vocab, kVocabTile),
                     max_logit_rows, std::max(max_rows, max_logit_rows))),
      inverse_frequencies_(rope_inverse_frequencies(config)) {
  const std::int64_t compute = static_cast<std::int64_t>(size_of(backend.compute_dtype())), f32 = sizeof(float);
  const std::int64_t qkv = (config.heads + 2 * config.kv_heads) * config.head_dim, q = config.heads * config.head_dim;
  struct Part {
    std::byte** place;
    std::int64_t bytes;
  };
  const std::array parts = {
      Part{&residual_, max_rows * config.hidden * f32},
      Part{&normed_, max_rows * config.hidden * compute},
      Part{&wide_, max_rows * std::max(qkv, 2 * config.intermediate) * f32},  // qkv, later gate and up
      Part{&q_, max_rows * q * f32},
      Part{&mixed_,
           max_rows * std::max(q, config.intermediate) * compute},  // attention's output, later the gated product
      Part{&delta_, max_rows * config.hidden * f32},
      Part{&logit_states_, max_tile_rows_ * config.hidden * f32},
      Part{&logit_normed_, max_tile_rows_ * config.hidden * compute},
      Part{&logits_,
           std::max(max_logit_rows * config.vocab, max_tile_rows_ * std::min(config.vocab, kVocabTile)) * f32},
  };
  const auto rounded = [](std::int64_t bytes) { return (bytes + 63) / 64 * 64; };
  std::int64_t total = 0;
  for (const Part& part : parts) total += rounded(part.bytes);
  memory_ = backend.allocate(static_cast<std::size_t>(total));
  std::byte* next = memory_->data();
  for (const Part& part : parts) {
    *part.place = next;
    next += rounded(part.bytes);
  }
}

std::size_t Decoder::activation_bytes() const { return memory_->bytes() + (taps_ ? taps_->bytes() : 0); }

MatrixView Decoder::matrix(std::byte* memory, DType dtype, std::int64_t rows, std::int64_t columns) const {
  return {.data = memory, .dtype = dtype, .rows = rows, .columns = columns, .stride = columns};
}

void Decoder::forward(const StepBatch& batch) {
  rows_ = static_cast<std::int64_t>(batch.ids.size());
  KVGAUGE_CHECK(rows_ >= 1 && rows_ <= max_rows_, "a step of ", rows_, " rows, reserved for ", max_rows_);
  tapped_rows_ = std::ssize(batch.tapped);
  if (tapped_rows_ > 0 && !taps_)
    taps_ = backend_.allocate(static_cast<std::size_t>(max_rows_ * config_.hidden) * sizeof(float));
  backend_.run_step(batch, [this](const StepBatch& padded) { layers(padded); });
}

MatrixView Decoder::tapped() const {
  KVGAUGE_CHECK(tapped_rows_ > 0, "the last step kept no state");
  return matrix(taps_->data(), DType::kF32, tapped_rows_, config_.hidden);
}

void Decoder::layers(const StepBatch& batch) {
  const auto rows = static_cast<std::int64_t>(batch.ids.size());
  KVGAUGE_CHECK(rows <= max_rows_, "a step padded to ", rows, " rows, reserved for ", max_rows_);
  const DType compute = backend_.compute_dtype();
  const MatrixView residual = matrix(residual_, DType::kF32, rows, config_.hidden);
  const MatrixView normed = matrix(normed_, compute, rows, config_.hidden);
  const MatrixView delta = matrix(delta_, DType::kF32, rows, config_.hidden);
  const auto eps = static_cast<float>(config_.rms_norm_eps);

  backend_.embed({.table = weights_.embedding,
                  .table_dtype = compute,
                  .vocab = config_.vocab,
                  .hidden = config_.hidden,
                  .ids = batch.ids,
                  .out = residual});
  leave_state(0, batch, residual);
  MatrixView pending;  // nothing to add before the first layer
  for (std::int64_t l = 0; l < config_.layers; ++l) {
    const LayerWeights& layer = weights_.layers[static_cast<std::size_t>(l)];
    backend_.rms_norm({.residual = residual, .x = pending, .weight = layer.attention_norm, .eps = eps, .out = normed});
    if (l > 0) leave_state(l, batch, residual);
    attention(layer, static_cast<int>(l), batch);
    backend_.rms_norm({.residual = residual, .x = delta, .weight = layer.ffn_norm, .eps = eps, .out = normed});
    feed_forward(layer, rows);
    pending = delta;
  }
  backend_.rms_norm({.residual = residual, .x = delta, .weight = nullptr, .eps = eps, .out = {}});
  leave_state(config_.layers, batch, residual);
}

// What is asked of a state: 0 is the embeddings, l the output of block l, for which its successor has just added what
// was pending. The last one is summed after the final norm for those who want it so, and tapped before it.
void Decoder::leave_state(std::int64_t state, const StepBatch& batch, const MatrixView& residual) {
  if (!batch.tapped.empty() && state == tapped_layer(config_.layers))
    backend_.embed({.table = residual.data,  // a gather of rows, as in logits()
                    .table_dtype = DType::kF32,
                    .vocab = residual.rows,
                    .hidden = config_.hidden,
                    .ids = batch.tapped,
                    .out = matrix(taps_->data(), DType::kF32, tapped_rows_, config_.hidden)});
  if (batch.states.empty()) return;
  if (state < config_.layers) {
    backend_.layer_states({.states = residual, .state = state, .items = batch.states});
    return;
  }
  const auto normed = static_cast<std::size_t>(batch.states_normed);
  if (normed > 0) {
    const MatrixView out =
        matrix(delta_, DType::kF32, residual.rows, config_.hidden);  // what was pending is added: free
    backend_.rms_norm({.residual = residual,
                       .x = {},
                       .weight = weights_.output_norm,
                       .eps = static_cast<float>(config_.rms_norm_eps),
                       .out = out});
    backend_.layer_states({.states = out, .state = state, .items = batch.states.first(normed)});
  }
  if (normed < batch.states.size())
    backend_.layer_states({.states = residual, .state = state, .items = batch.states.subspan(normed)});
}

void Decoder::attention(const LayerWeights& layer, int index, const StepBatch& batch) {
  const DType compute = backend_.compute_dtype();
  const auto rows = static_cast<std::int64_t>(batch.ids.size());
  const int heads = static_cast<int>(config_.heads), kv_heads = static_cast<int>(config_.kv_heads),
            head_dim = static_cast<int>(config_.head_dim);
  const MatrixView qkv = matrix(wide_, DType::kF32, rows, std::int64_t{heads + 2 * kv_heads} * head_dim);
  const MatrixView q = matrix(q_, DType::kF32, rows, std::int64_t{heads} * head_dim);
  const MatrixView mixed = matrix(mixed_, compute, rows, std::int64_t{heads} * head_dim);

  backend_.linear({.x = matrix(normed_, compute, rows, config_.hidden), .weight = layer.qkv, .out = qkv});
  backend_.rope_append({.qkv = qkv,
                        .heads = heads,
                        .kv_heads = kv_heads,
                        .head_dim = head_dim,
                        .bias = layer.qkv_bias,
                        .q_norm = layer.q_norm,
                        .k_norm = layer.k_norm,
                        .norm_eps = static_cast<float>(config_.rms_norm_eps),
                        .inverse_frequencies = inverse_frequencies_.data(),
                        .sequences = batch.sequences,
                        .layer = index,
                        .pages = batch.pages,
                        .q_out = q});
  backend_.paged_attention({.q = q,
                            .heads = heads,
                            .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim))),
                            .sequences = batch.sequences,
                            .layer = index,
                            .pages = batch.pages,
                            .out = mixed});
  backend_.linear(
      {.x = mixed, .weight = layer.attention_out, .out = matrix(delta_, DType::kF32, rows, config_.hidden)});
}

void Decoder::feed_forward(const LayerWeights& layer, std::int64_t rows) {
  const DType compute = backend_.compute_dtype();
  const MatrixView gate_up = matrix(wide_, DType::kF32, rows, 2 * config_.intermediate);
  const MatrixView gated = matrix(mixed_, compute, rows, config_.intermediate);
  backend_.linear({.x = matrix(normed_, compute, rows, config_.hidden), .weight = layer.gate_up, .out = gate_up});
  backend_.swiglu({.gate_up = gate_up, .out = gated});
  backend_.linear({.x = gated, .weight = layer.down, .out = matrix(delta_, DType::kF32, rows, config_.hidden)});
}

void Decoder::begin_tiles(std::span<const std::int32_t> rows) {
  logit_rows_ = static_cast<std::int64_t>(rows.size());
  KVGAUGE_CHECK(logit_rows_ >= 1 && logit_rows_ <= max_tile_rows_, logit_rows_, " rows of logits, reserved for ",
                max_tile_rows_);
  const MatrixView states = matrix(logit_states_, DType::kF32, logit_rows_, config_.hidden);
  // A gather of rows is an embedding look-up in the residual stream.
  backend_.embed({.table = residual_,
                  .table_dtype = DType::kF32,
                  .vocab = rows_,
                  .hidden = config_.hidden,
                  .ids = rows,
                  .out = states});
  backend_.rms_norm({.residual = states,
                     .x = {},
                     .weight = weights_.output_norm,
                     .eps = static_cast<float>(config_.rms_norm_eps),
                     .out = matrix(logit_normed_, backend_.compute_dtype(), logit_rows_, config_.hidden)});
}

void Decoder::head_linear(std::int64_t first_token, const MatrixView& out) {
  backend_.linear({.x = matrix(logit_normed_, backend_.compute_dtype(), logit_rows_, config_.hidden),
                   .weight = weights_.head,
                   .first_feature = first_token,
                   .out = out});
}

MatrixView Decoder::logit_tile(std::int64_t first_token) {
  const MatrixView out = matrix(logits_, DType::kF32, logit_rows_, std::min(kVocabTile, config_.vocab - first_token));
  head_linear(first_token, out);
  return out;
}

MatrixView Decoder::logits(std::span<const std::int32_t> rows) {
  KVGAUGE_CHECK(std::ssize(rows) <= max_logit_rows_, rows.size(), " rows of logits, reserved for ", max_logit_rows_);
  begin_tiles(rows);
  const MatrixView out = matrix(logits_, DType::kF32, logit_rows_, config_.vocab);
  if (!backend_.batch_invariant()) {
    head_linear(0, out);
    return out;
  }
  // The same products as logit_tile(): a token's logit has the same bits whether it is sampled or judged.
  for (std::int64_t first = 0; first < config_.vocab; first += kVocabTile) {
    MatrixView tile = out;
    tile.columns = std::min(kVocabTile, config_.vocab - first);
    tile.data = static_cast<float*>(out.data) + first;
    head_linear(first, tile);
  }
  return out;
}

}  // namespace kvgauge
