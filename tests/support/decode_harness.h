#pragma once
#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "cpu/cpu_backend.h"
#include "loader/model_files.h"
#include "model/cache_layout.h"
#include "model/decoder.h"
#include "support/backend_wrapper.h"

namespace kvgauge::testing {

/// Watches the residual stream: the hidden states of transformers (`hidden_states`), one [rows, hidden] block per
/// layer.
class HiddenStateRecorder : public BackendWrapper {
 public:
  using BackendWrapper::BackendWrapper;
  void rms_norm(const RmsNormArgs& args) override {
    inner_->rms_norm(args);
    inner_->wait();
    const auto* x = static_cast<const float*>(args.residual.data);
    calls.emplace_back(x, x + args.residual.rows * args.residual.columns);
  }
  std::vector<std::vector<float>>
      calls;  ///< the residual after each call: [attention norm, ffn norm] per layer, then the last
};

/// A decoder over its own pages, driven without engine or scheduler: one sequence, any chunking, any page order. Its
/// back end works in the host's memory (the CPU, or the emulated device without graphs: hidden states are read between
/// operations).
class DecodeHarness {
 public:
  DecodeHarness(const std::filesystem::path& model, CpuOptions options, std::int64_t positions)
      : DecodeHarness(model, make_cpu_backend(options), positions) {}
  DecodeHarness(const std::filesystem::path& model, std::unique_ptr<Backend> device, std::int64_t positions)
      : files(ModelFiles::open(model)),
        backend(std::move(device)),
        weights(load_weights(files, backend)),
        layout(page_layout(files.config(), backend.compute_dtype())),
        blocks_((positions + kPageTokens - 1) / kPageTokens),
        memory_(backend.allocate(static_cast<std::size_t>(blocks_ * layout.block_bytes()))),
        storage(layout, static_cast<std::int32_t>(blocks_), memory_->data()),
        decoder(files.config(), weights, backend, positions, std::min<std::int64_t>(positions, 128)),
        table(static_cast<std::size_t>(blocks_)) {
    std::iota(table.begin(), table.end(), 0);
    std::memset(memory_->data(), 0xff, memory_->bytes());  // NaN everywhere: what is not written must not be read
    backend.warm_up(positions, positions);
  }

  /// Computes ids[computed ..) in chunks of at most `chunk`.
  void feed(std::span<const std::int32_t> ids, std::int64_t chunk = 1 << 20) {
    for (std::size_t at = 0; at < ids.size();) {
      const auto rows =
          static_cast<std::int64_t>(std::min<std::size_t>(static_cast<std::size_t>(chunk), ids.size() - at));
      const SequenceSlice slice{.first_row = 0, .rows = rows, .first_position = computed, .blocks = table.data()};
      backend.calls.clear();
      decoder.forward(
          {.ids = ids.subspan(at, static_cast<std::size_t>(rows)), .sequences = {&slice, 1}, .pages = storage.view()});
      at += static_cast<std::size_t>(rows);
      computed += rows;
      last_rows = rows;
    }
    backend.wait();
  }
  /// Logits of row `row` of the last chunk (negative: from its end).
  std::vector<float> logits(std::int64_t row = -1) {
    const auto index = static_cast<std::int32_t>(row < 0 ? last_rows + row : row);
    const MatrixView out = decoder.logits({&index, 1});
    backend.wait();
    const auto* data = static_cast<const float*>(out.data);
    return {data, data + out.columns};
  }
  float k(int layer, int head, std::int64_t position, int j) const {
    return value(storage.view().k(layer, table[static_cast<std::size_t>(position / kPageTokens)], head,
                                  static_cast<int>(position % kPageTokens)),
                 j);
  }
  float v(int layer, int head, std::int64_t position, int j) const {
    return value(storage.view().v(layer, table[static_cast<std::size_t>(position / kPageTokens)], head,
                                  static_cast<int>(position % kPageTokens)),
                 j);
  }
  std::int32_t argmax() {
    const auto row = logits();
    return static_cast<std::int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
  }

  ModelFiles files;
  HiddenStateRecorder backend;
  Weights weights;
  PageLayout layout;

 private:
  float value(const std::byte* at, int j) const {
    return layout.dtype == DType::kF32 ? reinterpret_cast<const float*>(at)[j]
                                       : to_float(reinterpret_cast<const bf16_t*>(at)[j]);
  }
  std::int64_t blocks_;
  std::unique_ptr<DeviceMemory> memory_;

 public:
  PageStorage storage;
  Decoder decoder;
  std::vector<std::int32_t> table;  ///< block table; permute before feeding
  std::int64_t computed = 0, last_rows = 0;
};

}  // namespace kvgauge::testing
