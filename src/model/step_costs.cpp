#include "model/step_costs.h"

#include <algorithm>
#include <array>

#include "core/cat.h"
#include "core/ceil_div.h"
#include "kv/paged_view.h"
#include "kvgauge/error.h"
#include "model/weights.h"

namespace kvgauge {
namespace {

constexpr std::int64_t kSplitPositions = 256;  // of decode attention: a sequence's partial softmax states

struct Shape {
  const char* name;
  Architecture architecture;
  std::int64_t layers, hidden, heads, kv_heads, head_dim, intermediate, vocab, max_positions;
  bool qkv_bias, qk_norm, tied_head;
  double rms_norm_eps, rope_theta;
};
// From the models' config.json.
constexpr std::array kShapes = {
    Shape{"llama-3.1-8b", Architecture::kLlama, 32, 4096, 32, 8, 128, 14336, 128256, 131072, false, false, false, 1e-5,
          5e5},
    Shape{"qwen2-7b", Architecture::kQwen2, 28, 3584, 28, 4, 128, 18944, 152064, 131072, true, false, false, 1e-6, 1e6},
    Shape{"qwen3-8b", Architecture::kQwen3, 36, 4096, 32, 8, 128, 12288, 151936, 131072, false, true, false, 1e-6, 1e6},
    Shape{"qwen3-32b", Architecture::kQwen3, 64, 5120, 64, 8, 128, 25600, 151936, 131072, false, true, false, 1e-6,
          1e6},
    Shape{"r1-distill-qwen-14b", Architecture::kQwen2, 48, 5120, 40, 8, 128, 13824, 152064, 131072, true, false, false,
          1e-5, 1e6},
    Shape{"smollm2-135m", Architecture::kLlama, 30, 576, 9, 3, 64, 1536, 49152, 8192, false, false, true, 1e-5, 1e5},
    Shape{"qwen2.5-0.5b", Architecture::kQwen2, 24, 896, 14, 2, 64, 4864, 151936, 32768, true, false, true, 1e-6, 1e6},
    Shape{"qwen3-0.6b", Architecture::kQwen3, 28, 1024, 16, 8, 128, 3072, 151936, 40960, false, true, true, 1e-6, 1e6},
};

/// Collects costs of a step with m rows.
class Costs {
 public:
  Costs(const ModelConfig& config, const StepShape& shape)
      : c_(config), m_(static_cast<double>(shape.batch)), w_(static_cast<double>(size_of(shape.dtype))) {}

  void add(std::string operation, std::int64_t launches, double bytes, double flop, bool gauge = false) {
    costs_.push_back({std::move(operation), launches, bytes * static_cast<double>(launches),
                      flop * static_cast<double>(launches), gauge});
  }
  /// All kinds of the matrix of that name.
  void linear(std::span<const StepMatrix> matrices, const std::string& name) {
    for (const StepMatrix& matrix : matrices) {
      if (matrix.name != name && matrix.name.rfind(name + " (", 0) != 0) continue;
      const auto rows = static_cast<double>(matrix.rows), columns = static_cast<double>(matrix.columns);
      const double weights = matrix.bytes > 0 ? matrix.bytes : rows * columns * w_;
      add(cat("linear ", matrix.name), matrix.count, weights + m_ * columns * w_ + 4 * m_ * rows,
          2 * m_ * rows * columns);
    }
  }
  // The residual read and written, the addend read, the result and the weight.
  void rms_norm(std::int64_t launches) {
    const auto hidden = static_cast<double>(c_.hidden);
    add("rms_norm", launches, m_ * hidden * (4 + 4 + 4 + w_) + 4 * hidden, 5 * m_ * hidden);
  }
  std::vector<OperationCost> take() { return std::move(costs_); }

 private:
  const ModelConfig& c_;
  double m_, w_;
  std::vector<OperationCost> costs_;
};

}  // namespace

std::vector<StepMatrix> step_matrices(const ModelConfig& config) {
  const std::int64_t q = config.heads * config.head_dim, qkv = q + 2 * config.kv_heads * config.head_dim;
  const auto matrix = [](const char* name, std::int64_t count, std::span<const TensorRole> tensors, std::int64_t rows,
                         std::int64_t columns) {
    return StepMatrix{.name = name, .tensors = tensors, .count = count, .rows = rows, .columns = columns};
  };
  return {matrix("qkv", config.layers, kQkvTensors, qkv, config.hidden),
          matrix("attention_out", config.layers, kAttentionOutTensors, config.hidden, q),
          matrix("gate_up", config.layers, kGateUpTensors, 2 * config.intermediate, config.hidden),
          matrix("down", config.layers, kDownTensors, config.hidden, config.intermediate),
          matrix("head", 1, kHeadTensors, config.vocab, config.hidden)};
}

std::vector<StepMatrix> step_matrices(const ModelFiles& files) {
  std::vector<StepMatrix> kinds;
  for (const StepMatrix& matrix : step_matrices(files.config())) {
    const auto first_kind = static_cast<std::ptrdiff_t>(kinds.size());
    for (std::int64_t layer = 0; layer < matrix.count; ++layer) {
      StepMatrix one = matrix;
      one.count = 1;
      for (const TensorRole role : matrix.tensors) {
        const StoredTensor& tensor = files.tensor(role, role == TensorRole::kOutputHead ? -1 : layer);
        one.runs.push_back({.type = tensor.type, .rows = tensor.rows});
      }
      const auto same = std::find_if(kinds.begin() + first_kind, kinds.end(),
                                     [&](const StepMatrix& kind) { return kind.runs == one.runs; });
      if (same != kinds.end()) {
        ++same->count;
      } else {
        kinds.push_back(std::move(one));
      }
    }
    if (std::ssize(kinds) - first_kind == 1) continue;
    for (auto kind = kinds.begin() + first_kind; kind != kinds.end(); ++kind) {
      std::vector<std::string> types;
      for (const WeightSource::Run& run : kind->runs) types.emplace_back(name(run.type));
      kind->name += cat(" (", join(types, ", "), ")");
    }
  }
  return kinds;
}

std::vector<OperationCost> decode_step_costs(const ModelConfig& config, std::span<const StepMatrix> matrices,
                                             const StepShape& shape) {
  Costs costs(config, shape);
  const auto m = static_cast<double>(shape.batch), w = static_cast<double>(size_of(shape.dtype));
  const auto hidden = static_cast<double>(config.hidden), d = static_cast<double>(config.head_dim),
             heads = static_cast<double>(config.heads), kv_heads = static_cast<double>(config.kv_heads),
             inner = static_cast<double>(config.intermediate), vocab = static_cast<double>(config.vocab),
             context = static_cast<double>(shape.context), layers = static_cast<double>(config.layers);
  const std::int64_t qkv = (config.heads + 2 * config.kv_heads) * config.head_dim;
  const double blocks = static_cast<double>(ceil_div(shape.context, kPageTokens));

  costs.add("embed", 1, m * hidden * (w + 4), 0);
  costs.rms_norm(2 * config.layers + 1);
  costs.linear(matrices, "qkv");
  costs.add("rope_append", config.layers,
            4 * m * static_cast<double>(qkv) + 4 * m * heads * d + 2 * m * kv_heads * d * w +
                (config.qkv_bias ? 4 * static_cast<double>(qkv) : 0),
            m * d * (3 * heads + 3 * kv_heads));
  const auto splits = static_cast<double>(ceil_div(shape.context, kSplitPositions));
  const double partial = splits > 1 ? 2 * 4 * m * heads * splits * (d + 2) : 0;  // written, then read by the merge
  costs.add("paged_attention", config.layers,
            2 * m * context * kv_heads * d * w + m * heads * d * (4 + w) + 4 * m * blocks + partial,
            4 * m * heads * context * d);
  costs.linear(matrices, "attention_out");
  costs.linear(matrices, "gate_up");
  costs.add("swiglu", config.layers, m * inner * (8 + w), 5 * m * inner);
  costs.linear(matrices, "down");
  costs.add("embed (rows of logits)", 1, m * hidden * 8, 0);
  costs.rms_norm(1);
  costs.linear(matrices, "head");
  costs.add("sample", 1, 4 * m * vocab, m * vocab);

  const double parts = shape.part == GaugePart::kKV ? 2 : 1;
  costs.add("kv_trajectory", 1, parts * m * kv_heads * d * (layers * w + 3 * 4) + 4 * m * blocks,
            parts * m * kv_heads * d * (layers + 8), true);
  costs.add("logits_stats", 1, 4 * m * vocab, 6 * m * vocab, true);
  return costs.take();
}

std::vector<std::string> known_shapes() {
  std::vector<std::string> names;
  for (const Shape& shape : kShapes) names.emplace_back(shape.name);
  return names;
}

ModelConfig shape_of(const std::string& name) {
  const auto found = std::find_if(kShapes.begin(), kShapes.end(), [&](const Shape& s) { return name == s.name; });
  if (found == kShapes.end())
    throw UsageError(cat("--shape: found '", name, "', one of ", join(known_shapes(), ", "), " was needed"));
  ModelConfig config;
  config.architecture = found->architecture;
  config.name = name;
  config.layers = found->layers;
  config.hidden = found->hidden;
  config.heads = found->heads;
  config.kv_heads = found->kv_heads;
  config.head_dim = found->head_dim;
  config.intermediate = found->intermediate;
  config.vocab = found->vocab;
  config.max_positions = found->max_positions;
  config.qkv_bias = found->qkv_bias;
  config.qk_norm = found->qk_norm;
  config.tied_head = found->tied_head;
  config.rms_norm_eps = found->rms_norm_eps;
  config.rope_theta = found->rope_theta;
  return config;
}

}  // namespace kvgauge
