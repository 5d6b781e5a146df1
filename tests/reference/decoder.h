#pragma once
// A decoder in double precision, one token after another, straight from the equations. It shares nothing with the
// product but the loader; transformers judges it (tests/model/reference_decoder_test.cpp), and it judges the product on
// any model.
//
//   x_0 = E[token];  per layer:  a = norm(x);  q, k, v = W a (+ b);  Qwen3: q, k = norm per head;  q, k = rope(q, k, t)
//   x += Wo concat_h( sum_s softmax_s(q_h . k_s / sqrt(d)) v_s ),  s <= t, KV head = h / (heads / kv_heads)
//   x += Wd ( silu(Wg b) * Wu b ),  b = norm(x);   logits = Wh norm(x)
//   norm(x) = w x / sqrt(mean(x^2) + eps);  rope turns the pairs (i, i + d/2) by t f_i,  f_i = theta^(-2i/d)
//   llama3 scaling: wavelength l = 2 pi / f;  l < L/high: f;  l > L/low: f / factor;
//   between: ((1-s)/factor + s) f,  s = (L/l - low)/(high - low)
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <span>
#include <vector>

#include "loader/model_files.h"

namespace kvgauge::testing {

/// Everything the reference has computed for the tokens so far.
struct ReferenceState {
  std::int64_t tokens = 0;
  std::vector<std::vector<double>> k, v;  ///< per layer [token, KV head, head_dim]; K after RoPE, half-rotation order
  /// As transformers' hidden_states, [token, hidden] each: [0] embeddings, [l] output of block l, [layers] after the
  /// final norm.
  std::vector<std::vector<double>> hidden;
  std::vector<double> logits;  ///< of the last token
};

class ReferenceDecoder {
 public:
  explicit ReferenceDecoder(const ModelFiles& files) : config_(files.config()) {
    embedding_ = read(files, TensorRole::kEmbedding, -1);
    output_norm_ = read(files, TensorRole::kOutputNorm, -1);
    if (!config_.tied_head) head_ = read(files, TensorRole::kOutputHead, -1);
    for (std::int64_t l = 0; l < config_.layers; ++l) layers_.push_back(read_layer(files, l));
  }

  const ModelConfig& config() const { return config_; }

  void step(ReferenceState& state, std::int32_t token) const {
    const auto layers = static_cast<std::size_t>(config_.layers);
    state.k.resize(layers);
    state.v.resize(layers);
    state.hidden.resize(layers + 1);
    std::vector<double> x(embedding_.begin() + token * config_.hidden,
                          embedding_.begin() + (token + 1) * config_.hidden);
    append(state.hidden[0], x);
    for (std::size_t l = 0; l < layers; ++l) {
      add(x, attention(layers_[l], norm(x, layers_[l].attention_norm), state, l));
      const auto b = norm(x, layers_[l].ffn_norm);
      auto gate = product(layers_[l].gate, b);
      const auto up = product(layers_[l].up, b);
      for (std::size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
      add(x, product(layers_[l].down, gate));
      if (l + 1 < layers) append(state.hidden[l + 1], x);
    }
    x = norm(x, output_norm_);
    append(state.hidden[layers], x);
    state.logits = product(config_.tied_head ? embedding_ : head_, x);
    ++state.tokens;
  }

  /// A prompt from the start; `logits_of_all`, if given, receives [token, vocab].
  ReferenceState run(std::span<const std::int32_t> ids, std::vector<double>* logits_of_all = nullptr) const {
    ReferenceState state;
    for (const std::int32_t id : ids) {
      step(state, id);
      if (logits_of_all) append(*logits_of_all, state.logits);
    }
    return state;
  }

 private:
  using Vector = std::vector<double>;
  struct Layer {
    Vector attention_norm, q, k, v, q_bias, k_bias, v_bias, q_norm, k_norm, out, ffn_norm, gate, up, down;
  };

  static Vector read(const ModelFiles& files, TensorRole role, std::int64_t layer) {
    const StoredTensor& tensor = files.tensor(role, layer);
    std::vector<float> values(static_cast<std::size_t>(tensor.rows * tensor.columns));
    files.read_rows(role, layer, 0, tensor.rows, values.data());
    return {values.begin(), values.end()};
  }

  Layer read_layer(const ModelFiles& files, std::int64_t l) const {
    Layer w;
    w.attention_norm = read(files, TensorRole::kAttentionNorm, l);
    w.q = read(files, TensorRole::kQ, l);
    w.k = read(files, TensorRole::kK, l);
    w.v = read(files, TensorRole::kV, l);
    if (config_.qkv_bias) {
      w.q_bias = read(files, TensorRole::kQBias, l);
      w.k_bias = read(files, TensorRole::kKBias, l);
      w.v_bias = read(files, TensorRole::kVBias, l);
    }
    if (config_.qk_norm) {
      w.q_norm = read(files, TensorRole::kQNorm, l);
      w.k_norm = read(files, TensorRole::kKNorm, l);
    }
    w.out = read(files, TensorRole::kAttentionOut, l);
    w.ffn_norm = read(files, TensorRole::kFfnNorm, l);
    w.gate = read(files, TensorRole::kGate, l);
    w.up = read(files, TensorRole::kUp, l);
    w.down = read(files, TensorRole::kDown, l);
    return w;
  }

  static void append(Vector& to, const Vector& x) { to.insert(to.end(), x.begin(), x.end()); }
  static void add(Vector& to, const Vector& x) {
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += x[i];
  }

  static Vector product(const Vector& matrix, const Vector& x) {
    Vector y(matrix.size() / x.size());
    for (std::size_t r = 0; r < y.size(); ++r)
      for (std::size_t c = 0; c < x.size(); ++c) y[r] += matrix[r * x.size() + c] * x[c];
    return y;
  }

  Vector norm(Vector x, const Vector& weight) const {
    double squares = 0;
    for (const double value : x) squares += value * value;
    const double scale = 1 / std::sqrt(squares / static_cast<double>(x.size()) + config_.rms_norm_eps);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] *= scale * weight[i];
    return x;
  }

  double frequency(std::int64_t i) const {
    const double f =
        std::pow(config_.rope_theta, -2.0 * static_cast<double>(i) / static_cast<double>(config_.head_dim));
    if (!config_.rope_factors.empty())
      return f / static_cast<double>(config_.rope_factors[static_cast<std::size_t>(i)]);
    if (!config_.rope_scaling) return f;
    const auto& s = *config_.rope_scaling;
    const double context = static_cast<double>(s.original_max_position), wavelength = 2 * std::numbers::pi / f;
    if (wavelength < context / s.high_freq_factor) return f;
    if (wavelength > context / s.low_freq_factor) return f / s.factor;
    const double smooth = (context / wavelength - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
    return ((1 - smooth) / s.factor + smooth) * f;
  }

  /// Norm per head (Qwen3), then RoPE at `position`, for each head of x.
  void position_heads(Vector& x, const Vector& head_norm, std::int64_t position) const {
    const std::int64_t d = config_.head_dim, half = d / 2;
    for (auto head = x.begin(); head != x.end(); head += d) {
      if (config_.qk_norm) {
        const Vector normed = norm(Vector(head, head + d), head_norm);
        std::copy(normed.begin(), normed.end(), head);
      }
      for (std::int64_t i = 0; i < half; ++i) {
        const double angle = static_cast<double>(position) * frequency(i), a = head[i], b = head[i + half];
        head[i] = a * std::cos(angle) - b * std::sin(angle);
        head[i + half] = b * std::cos(angle) + a * std::sin(angle);
      }
    }
  }

  Vector attention(const Layer& w, const Vector& a, ReferenceState& state, std::size_t l) const {
    Vector q = product(w.q, a), k = product(w.k, a), v = product(w.v, a);
    if (config_.qkv_bias) {
      add(q, w.q_bias);
      add(k, w.k_bias);
      add(v, w.v_bias);
    }
    position_heads(q, w.q_norm, state.tokens);
    position_heads(k, w.k_norm, state.tokens);
    append(state.k[l], k);
    append(state.v[l], v);

    const auto d = static_cast<std::size_t>(config_.head_dim), kv_heads = static_cast<std::size_t>(config_.kv_heads);
    const auto heads = static_cast<std::size_t>(config_.heads), group = heads / kv_heads;
    const auto seen = static_cast<std::size_t>(state.tokens) + 1;
    Vector mixed(heads * d);
    for (std::size_t h = 0; h < heads; ++h) {
      Vector weight(seen);
      double largest = -INFINITY, total = 0;
      const auto row = [&](std::size_t s) { return (s * kv_heads + h / group) * d; };
      for (std::size_t s = 0; s < seen; ++s) {
        for (std::size_t j = 0; j < d; ++j) weight[s] += q[h * d + j] * state.k[l][row(s) + j];
        weight[s] /= std::sqrt(static_cast<double>(d));
        largest = std::max(largest, weight[s]);
      }
      for (double& value : weight) total += value = std::exp(value - largest);
      for (std::size_t s = 0; s < seen; ++s)
        for (std::size_t j = 0; j < d; ++j) mixed[h * d + j] += weight[s] / total * state.v[l][row(s) + j];
    }
    return product(w.out, mixed);
  }

  ModelConfig config_;
  Vector embedding_, output_norm_, head_;
  std::vector<Layer> layers_;
};

}  // namespace kvgauge::testing
