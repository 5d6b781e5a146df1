#include "model/weights.h"

#include <algorithm>
#include <initializer_list>

#include "core/check.h"

namespace kvgauge {
namespace {

constexpr std::int64_t kRowsAtATime = 1024;  // bounds the copy between reading and uploading the table

void read_rows(const ModelFiles& files, TensorRole role, std::int64_t layer, std::int64_t first, std::int64_t count,
               DType dtype, std::byte* out) {
  if (dtype == DType::kF32)
    files.read_rows(role, layer, first, count, reinterpret_cast<float*>(out));
  else
    files.read_rows(role, layer, first, count, reinterpret_cast<bf16_t*>(out));
}

// Packs matrices that share their input as one: the rows of all roles, one after another.
PackedWeight pack_stacked(const ModelFiles& files, Backend& backend, std::int64_t layer,
                          std::initializer_list<TensorRole> roles) {
  const DType dtype = backend.compute_dtype();
  std::int64_t rows = 0;
  for (const TensorRole role : roles) rows += files.tensor(role, layer).rows;
  const std::int64_t columns = files.tensor(*roles.begin(), layer).columns;
  return backend.pack_weight(rows, columns, [&](std::int64_t first, std::int64_t count, void* out) {
    auto* to = static_cast<std::byte*>(out);
    std::int64_t begin = 0;  // first row of the current role in the stack
    for (const TensorRole role : roles) {
      const std::int64_t end = begin + files.tensor(role, layer).rows;
      const std::int64_t from = std::max(first, begin), until = std::min(first + count, end);
      if (from < until) {
        read_rows(files, role, layer, from - begin, until - from, dtype, to);
        files.drop(role, layer);  // behind every range: a large table must not stay in memory beside its packed form
        to += (until - from) * columns * static_cast<std::int64_t>(size_of(dtype));
      }
      begin = end;
    }
  });
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
  const DType dtype = backend.compute_dtype();
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
    layer.qkv = pack_stacked(files, backend, l, {TensorRole::kQ, TensorRole::kK, TensorRole::kV});
    layer.attention_out = pack_stacked(files, backend, l, {TensorRole::kAttentionOut});
    layer.gate_up = pack_stacked(files, backend, l, {TensorRole::kGate, TensorRole::kUp});
    layer.down = pack_stacked(files, backend, l, {TensorRole::kDown});
    weights.layers.push_back(layer);
  }
  weights.output_norm = vectors.add(files, {TensorRole::kOutputNorm}, -1);
  weights.memory = vectors.take();

  const auto row_bytes = static_cast<std::size_t>(config.hidden) * size_of(dtype);
  weights.table = backend.allocate(static_cast<std::size_t>(config.vocab) * row_bytes);
  std::vector<std::byte> rows(static_cast<std::size_t>(kRowsAtATime) * row_bytes);
  for (std::int64_t first = 0; first < config.vocab; first += kRowsAtATime) {
    const std::int64_t count = std::min(kRowsAtATime, config.vocab - first);
    read_rows(files, TensorRole::kEmbedding, -1, first, count, dtype, rows.data());
    backend.upload(weights.table->data() + static_cast<std::size_t>(first) * row_bytes, rows.data(),
                   static_cast<std::size_t>(count) * row_bytes);
    files.drop(TensorRole::kEmbedding, -1);
  }
  weights.embedding = weights.table->data();
  weights.head =
      pack_stacked(files, backend, -1, {config.tied_head ? TensorRole::kEmbedding : TensorRole::kOutputHead});
  return weights;
}

}  // namespace kvgauge
