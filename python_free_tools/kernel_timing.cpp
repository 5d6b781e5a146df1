#include "kernel_timing.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "core/ceil_div.h"
#include "kv/page_layout.h"
#include "kv/paged_view.h"

namespace kvgauge::cli {
namespace {

constexpr double kSampleSeconds = 0.02;
constexpr int kSamples = 5;
constexpr double kCacheBytes = 128 << 20;  // larger than the last cache of any device we know
constexpr std::size_t kMostCopies = 256;   // enough for a matrix of 512 KiB; smaller ones are not worth the packing

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// A matrix of zeros with the stored types of a file's.
class ZeroRows final : public WeightSource {
 public:
  ZeroRows(const StepMatrix& matrix, DType dtype) : runs_(matrix.runs), columns_(matrix.columns) {
    if (runs_.empty())
      runs_ = {{.type = dtype == DType::kBF16 ? StoredType::kBF16 : StoredType::kF32, .rows = matrix.rows}};
  }
  void read(std::int64_t, std::int64_t count, DType dtype, void* out) override {
    std::memset(out, 0, static_cast<std::size_t>(count * columns_) * size_of(dtype));
  }
  Run stored(std::int64_t first) const override {
    for (const Run& run : runs_) {
      if (first < run.rows) return {.type = run.type, .rows = run.rows - first};
      first -= run.rows;
    }
    return {};
  }
  void read_stored(std::int64_t first, std::int64_t count, std::byte* out) override {
    std::memset(out, 0, stored_bytes(stored(first).type, static_cast<std::uint64_t>(count * columns_)));
  }

 private:
  std::vector<Run> runs_;
  std::int64_t columns_;
};

/// Memory and arguments of one layer's operations.
class Bench {
 public:
  Bench(Backend& backend, const ModelConfig& config, std::span<StepMatrix> matrices, const StepShape& shape)
      : backend_(backend), c_(config), matrices_(matrices), m_(shape.batch), context_(shape.context), shape_(shape) {
    make_sequences();
    backend_.warm_up(m_, context_);
  }

  std::map<std::string, double> run() {
    time_row_operations();
    for (StepMatrix& matrix : matrices_) time_linear(matrix);
    time_attention();
    time_logits();
    time_trajectory();
    return std::move(seconds_);
  }

 private:
  std::byte* memory(std::int64_t bytes) {
    kept_.push_back(backend_.allocate(static_cast<std::size_t>(bytes)));
    return kept_.back()->data();
  }
  MatrixView matrix(std::int64_t columns, DType dtype) {
    return {.data = memory(m_ * columns * static_cast<std::int64_t>(size_of(dtype))),
            .dtype = dtype,
            .rows = m_,
            .columns = columns,
            .stride = columns};
  }
  PagedKvView pages(int layers, std::int64_t blocks) {
    const PageLayout layout{.dtype = backend_.compute_dtype(),
                            .layers = layers,
                            .kv_heads = static_cast<int>(c_.kv_heads),
                            .head_dim = static_cast<int>(c_.head_dim)};
    storages_.push_back(std::make_unique<PageStorage>(layout, static_cast<std::int32_t>(blocks),
                                                      memory(blocks * layout.block_bytes())));
    return storages_.back()->view();
  }
  void make_sequences() {
    const std::int64_t each = ceil_div(context_, kPageTokens);
    tables_.resize(static_cast<std::size_t>(m_));
    for (std::int64_t s = 0; s < m_; ++s) {
      auto& table = tables_[static_cast<std::size_t>(s)];
      for (std::int64_t b = 0; b < each; ++b)
        table.push_back(static_cast<std::int32_t>(b * m_ + s));  // pages of sequences mixed
      slices_.push_back({.first_row = s, .rows = 1, .first_position = context_ - 1, .blocks = table.data()});
      ids_.push_back(static_cast<std::int32_t>(s % c_.vocab));
    }
  }

  void time(const std::string& operation, const std::function<void()>& call) {
    call();
    backend_.wait();
    auto start = std::chrono::steady_clock::now();
    call();
    backend_.wait();
    const auto repeats = static_cast<int>(std::clamp(kSampleSeconds / std::max(seconds_since(start), 1e-7), 1.0, 1e4));
    std::vector<double> samples;
    for (int sample = 0; sample < kSamples; ++sample) {
      start = std::chrono::steady_clock::now();
      for (int i = 0; i < repeats; ++i) call();
      backend_.wait();
      samples.push_back(seconds_since(start) / repeats);
    }
    std::nth_element(samples.begin(), samples.begin() + kSamples / 2, samples.end());
    seconds_[operation] = samples[kSamples / 2];
  }

  void time_row_operations() {
    const DType compute = backend_.compute_dtype();
    const MatrixView residual = matrix(c_.hidden, DType::kF32), delta = matrix(c_.hidden, DType::kF32),
                     normed = matrix(c_.hidden, compute);
    const auto* weight = reinterpret_cast<const float*>(memory(c_.hidden * 4));
    const std::byte* table = memory(c_.vocab * c_.hidden * static_cast<std::int64_t>(size_of(compute)));
    const auto embed = [&](const char* name, const void* from, DType dtype, std::int64_t rows) {
      time(name, [&, from, dtype, rows] {
        backend_.embed(
            {.table = from, .table_dtype = dtype, .vocab = rows, .hidden = c_.hidden, .ids = ids_, .out = delta});
      });
    };
    embed("embed", table, compute, c_.vocab);
    embed("embed (rows of logits)", residual.data, DType::kF32, m_);
    time("rms_norm",
         [&] { backend_.rms_norm({.residual = residual, .x = delta, .weight = weight, .eps = 1e-6f, .out = normed}); });
    const MatrixView gate_up = matrix(2 * c_.intermediate, DType::kF32), gated = matrix(c_.intermediate, compute);
    time("swiglu", [&] { backend_.swiglu({.gate_up = gate_up, .out = gated}); });
  }

  void time_linear(StepMatrix& kind) {
    const auto pack = [&] {
      ZeroRows source(kind, backend_.compute_dtype());
      return backend_.pack_weight(kind.rows, kind.columns, source);
    };
    const std::size_t before = backend_.packed_bytes();
    std::vector<PackedWeight> weights = {pack()};
    kind.bytes = static_cast<double>(backend_.packed_bytes() - before);
    const auto copies = std::min(static_cast<std::size_t>(kCacheBytes / kind.bytes), kMostCopies);
    while (weights.size() < copies) weights.push_back(pack());
    backend_.warm_up(m_, context_);
    const MatrixView x = matrix(kind.columns, backend_.compute_dtype()), out = matrix(kind.rows, DType::kF32);
    std::size_t next = 0;
    time("linear " + kind.name, [&] {
      backend_.linear({.x = x, .weight = weights[next], .out = out});
      next = (next + 1) % weights.size();
    });
  }

  void time_attention() {
    const int heads = static_cast<int>(c_.heads), kv_heads = static_cast<int>(c_.kv_heads),
              d = static_cast<int>(c_.head_dim);
    const PagedKvView view = pages(1, m_ * ceil_div(context_, kPageTokens));
    const MatrixView qkv = matrix(std::int64_t{heads + 2 * kv_heads} * d, DType::kF32),
                     q = matrix(std::int64_t{heads} * d, DType::kF32),
                     out = matrix(std::int64_t{heads} * d, backend_.compute_dtype());
    const std::vector<double> frequencies(static_cast<std::size_t>(d / 2), 1.0);
    const StepBatch batch{.ids = ids_, .sequences = slices_, .pages = view};
    // Inside of a step, as the decoder calls them: lists are uploaded once, not for every launch.
    const auto step = [&](const std::function<void(const StepBatch&)>& operation) {
      backend_.run_step(batch, operation);
    };
    time("rope_append", [&] {
      step([&](const StepBatch& b) {
        backend_.rope_append({.qkv = qkv,
                              .heads = heads,
                              .kv_heads = kv_heads,
                              .head_dim = d,
                              .bias = nullptr,
                              .q_norm = nullptr,
                              .k_norm = nullptr,
                              .norm_eps = 1e-6f,
                              .inverse_frequencies = frequencies.data(),
                              .sequences = b.sequences,
                              .layer = 0,
                              .pages = b.pages,
                              .q_out = q});
      });
    });
    time("paged_attention", [&] {
      step([&](const StepBatch& b) {
        backend_.paged_attention({.q = q,
                                  .heads = heads,
                                  .scale = 0.1f,
                                  .sequences = b.sequences,
                                  .layer = 0,
                                  .pages = b.pages,
                                  .out = out});
      });
    });
  }

  void time_logits() {
    const MatrixView logits = matrix(c_.vocab, DType::kF32);
    std::vector<SampleRequest> requests;
    std::vector<std::int32_t> rows, tokens(static_cast<std::size_t>(m_));
    for (std::int64_t r = 0; r < m_; ++r) {
      requests.push_back({.row = static_cast<std::int32_t>(r)});
      rows.push_back(static_cast<std::int32_t>(r));
    }
    std::vector<TokenLogitStats> stats(static_cast<std::size_t>(m_));
    time("sample", [&] {
      backend_.sample({.logits = logits, .requests = requests, .out = tokens});
      backend_.wait();
    });
    const std::vector<std::int32_t> chosen(static_cast<std::size_t>(m_), 0);
    time("logits_stats", [&] {
      backend_.logits_stats({.logits = logits, .rows = rows, .chosen = chosen, .draws = {}, .out = stats});
      backend_.wait();
    });
  }

  void time_trajectory() {
    const PagedKvView view = pages(static_cast<int>(c_.layers), m_);
    const std::int64_t values = (shape_.part == GaugePart::kKV ? 2 : 1) * c_.kv_heads * c_.head_dim;
    std::vector<std::unique_ptr<TrajectoryState>> states;
    std::vector<std::int32_t> blocks(static_cast<std::size_t>(m_));
    std::vector<TrajectoryItem> items(static_cast<std::size_t>(m_));
    for (std::int64_t s = 0; s < m_; ++s) {
      states.push_back(backend_.make_trajectory(values, kPageTokens));
      blocks[static_cast<std::size_t>(s)] = static_cast<std::int32_t>(s);
    }
    std::int64_t position = 0;
    time("kv_trajectory", [&] {
      if (position == kPageTokens) {
        position = 0;
        for (const auto& state : states) state->restart();
      }
      for (std::size_t s = 0; s < states.size(); ++s)
        items[s] = {.blocks = &blocks[s], .begin = position, .end = position + 1, .state = states[s].get()};
      backend_.kv_trajectory({.pages = view, .spec = {.part = shape_.part, .layers = {}}, .items = items});
      ++position;
      backend_.wait();
    });
  }

  Backend& backend_;
  const ModelConfig& c_;
  const std::span<StepMatrix> matrices_;
  const std::int64_t m_, context_;
  const StepShape shape_;
  std::vector<std::unique_ptr<DeviceMemory>> kept_;
  std::vector<std::unique_ptr<PageStorage>> storages_;
  std::vector<std::vector<std::int32_t>> tables_;
  std::vector<SequenceSlice> slices_;
  std::vector<std::int32_t> ids_;
  std::map<std::string, double> seconds_;
};

}  // namespace

std::map<std::string, double> time_operations(Backend& backend, const ModelConfig& config,
                                              std::span<StepMatrix> matrices, const StepShape& shape) {
  return Bench(backend, config, matrices, shape).run();
}

}  // namespace kvgauge::cli
