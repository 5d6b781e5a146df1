#include "model/weights.h"

#include <algorithm>
#include <initializer_list>

#include "core/check.h"

namespace kvgauge {
namespace {

// Matrices that share their input as one: the rows of all roles, one after another.
class StackedRows final : public WeightSource {
 public:
  StackedRows(const ModelFiles& files, std::int64_t layer, std::span<const TensorRole> roles)
      : files_(files), layer_(layer), roles_(roles) {
    for (const TensorRole role : roles_) rows_ += files.tensor(role, layer).rows;
  }
  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return files_.tensor(roles_.front(), layer_).columns; }

  void read(std::int64_t first, std::int64_t count, DType dtype, void* out) override {
    auto* to = static_cast<std::byte*>(out);
    for_parts(first, count, [&](TensorRole role, std::int64_t from, std::int64_t part) {
      if (dtype == DType::kF32)
        files_.read_rows(role, layer_, from, part, reinterpret_cast<float*>(to));
      else
        files_.read_rows(role, layer_, from, part, reinterpret_cast<bf16_t*>(to));
      to += part * columns() * static_cast<std::int64_t>(size_of(dtype));
    });
  }
  Run stored(std::int64_t first) const override {
    for (const TensorRole role : roles_) {
      const StoredTensor& tensor = files_.tensor(role, layer_);
      if (first < tensor.rows) return {.type = tensor.type, .rows = tensor.rows - first};
      first -= tensor.rows;
    }
    return {};
  }
  void read_stored(std::int64_t first, std::int64_t count, std::byte* out) override {
    for_parts(first, count, [&](TensorRole role, std::int64_t from, std::int64_t part) {
      files_.read_stored_rows(role, layer_, from, part, out);
    });
  }

 private:
  // Calls read(role, its first row, its rows) for what [first, first + count) has of each role.
  template <class Read>
  void for_parts(std::int64_t first, std::int64_t count, Read read) {
    std::int64_t begin = 0;  // first row of the current role in the stack
    for (const TensorRole role : roles_) {
      const std::int64_t end = begin + files_.tensor(role, layer_).rows;
      const std::int64_t from = std::max(first, begin), until = std::min(first + count, end);
      if (from < until) {
        read(role, from - begin, until - from);
        files_.drop(role, layer_);  // behind every range: a large table must not stay in memory beside its packed form
      }
      begin = end;
    }
  }

  const ModelFiles& files_;
  std::int64_t layer_, rows_ = 0;
  std::span<const TensorRole> roles_;
};

PackedWeight pack_stacked(const ModelFiles& files, Backend& backend, std::int64_t layer,
                          std::span<const TensorRole> roles) {
  StackedRows source(files, layer, roles);
  return backend.pack_weight(source.rows(), source.columns(), source);
}

// Hands out consecutive f32 vectors of one allocation.
class VectorArena {
 public:
  VectorArena(Backend& backend, std::int64_t values)
      : backend_(backend), memory_(backend.allocate(static_cast<std::size_t>(values) * sizeof(float))), left_(values) {}

  const float* add(const ModelFiles& files, std::initializer_list<TensorRole> roles, std::int64_t layer) {
    std::vector<float> values;
    for (const TensorRole role : roles) {
      const std::int64_t columns = files.tensor(role, layer).columns;
      values.resize(values.size() + static_cast<std::size_t>(columns));
      files.read_rows(role, layer, 0, 1, values.data() + values.size() - columns);
    }
    KVGAUGE_CHECK(static_cast<std::int64_t>(values.size()) <= left_, "vector arena is too small");
    std::byte* const place = memory_->data() + used_;
    backend_.upload(place, values.data(), values.size() * sizeof(float));
    used_ += values.size() * sizeof(float);
    left_ -= static_cast<std::int64_t>(values.size());
    return reinterpret_cast<const float*>(place);
  }
  std::unique_ptr<DeviceMemory> take() { return std::move(memory_); }

 private:
  Backend& backend_;
  std::unique_ptr<DeviceMemory> memory_;
  std::size_t used_ = 0;
  std::int64_t left_;
};

std::int64_t vector_values(const ModelConfig& c) {
  const std::int64_t qkv = (c.heads + 2 * c.kv_heads) * c.head_dim;
  return c.hidden + c.layers * (2 * c.hidden + (c.qkv_bias ? qkv : 0) + (c.qk_norm ? 2 * c.head_dim : 0));
}

}  // namespace

Weights load_weights(const ModelFiles& files, Backend& backend) {
  const ModelConfig& config = files.config();
  Weights weights;

  VectorArena vectors(backend, vector_values(config));
  for (std::int64_t l = 0; l < config.layers; ++l) {
    LayerWeights layer;
    layer.attention_norm = vectors.add(files, {TensorRole::kAttentionNorm}, l);
    layer.ffn_norm = vectors.add(files, {TensorRole::kFfnNorm}, l);
    if (config.qkv_bias)
      layer.qkv_bias = vectors.add(files, {TensorRole::kQBias, TensorRole::kKBias, TensorRole::kVBias}, l);
    if (config.qk_norm) {
      layer.q_norm = vectors.add(files, {TensorRole::kQNorm}, l);
      layer.k_norm = vectors.add(files, {TensorRole::kKNorm}, l);
    }
    layer.qkv = pack_stacked(files, backend, l, kQkvTensors);
    layer.attention_out = pack_stacked(files, backend, l, kAttentionOutTensors);
    layer.gate_up = pack_stacked(files, backend, l, kGateUpTensors);
    layer.down = pack_stacked(files, backend, l, kDownTensors);
    weights.layers.push_back(layer);
  }
  weights.output_norm = vectors.add(files, {TensorRole::kOutputNorm}, -1);
  weights.memory = vectors.take();

  weights.table =
      backend.allocate(static_cast<std::size_t>(config.vocab * config.hidden) * size_of(backend.compute_dtype()));
  constexpr std::array table_tensors = {TensorRole::kEmbedding};
  StackedRows table(files, -1, table_tensors);
  backend.load_rows(config.vocab, config.hidden, table, weights.table->data());
  weights.embedding = weights.table->data();
  weights.head = pack_stacked(files, backend, -1, kHeadTensors);
  return weights;
}

}  // namespace kvgauge
