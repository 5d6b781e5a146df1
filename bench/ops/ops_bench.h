#pragma once
// Micro-benchmarks of the CPU back end: verify against the references first, then time. Threads come from
// KVGAUGE_BENCH_THREADS (default: all cores the process may use). Counters: bytes/s of what must be read or written
// once, and FLOP/s.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "core/buffer.h"
#include "cpu/cpu_backend.h"

namespace kvgauge::bench {

inline int threads() {
  const char* text = std::getenv("KVGAUGE_BENCH_THREADS");
  return text == nullptr ? 0 : std::atoi(text);
}
inline std::unique_ptr<Backend> backend(DType dtype, bool batch_invariant = false) {
  return make_cpu_backend(
      {.threads = threads(), .compute_dtype = dtype, .batch_invariant = batch_invariant, .isa = {}});
}

inline std::vector<float> uniform_floats(std::size_t count, std::uint64_t seed, float scale = 1) {
  std::mt19937_64 random(seed);
  std::vector<float> out(count);
  for (float& x : out) x = scale * (static_cast<float>(random() >> 40) * 0x1p-23f - 1);
  return out;
}

/// Ends the benchmark with an error unless got is want within tolerance: wrong results have no speed.
inline bool verified(benchmark::State& state, double got, double want, double tolerance) {
  if (std::abs(got - want) <= tolerance) return true;
  char text[160];
  std::snprintf(text, sizeof text, "wrong result: %.9g, the reference gives %.9g (tolerance %.2g)", got, want,
                tolerance);
  state.SkipWithError(text);
  return false;
}

inline void set_rates(benchmark::State& state, double bytes, double flop) {
  using benchmark::Counter;
  state.counters["bytes/s"] = Counter(bytes, Counter::kIsIterationInvariantRate, Counter::kIs1000);
  if (flop > 0) state.counters["FLOP/s"] = Counter(flop, Counter::kIsIterationInvariantRate, Counter::kIs1000);
}

/// K and V pages of one layer range in our layout, blocks in random order.
struct Pages {
  Pages(int layers, int kv_heads, int head_dim, std::int64_t tokens, DType dtype) {
    const std::int64_t blocks = (tokens + kPageTokens - 1) / kPageTokens, tile = std::int64_t{kPageTokens} * head_dim;
    view = {.dtype = dtype,
            .layers = layers,
            .kv_heads = kv_heads,
            .head_dim = head_dim,
            .block_stride = 2 * kv_heads * tile,
            .head_stride = tile,
            .token_stride = head_dim};
    const std::size_t layer_bytes = static_cast<std::size_t>(blocks * view.block_stride) * size_of(dtype);
    memory = Buffer(static_cast<std::size_t>(layers) * layer_bytes);
    const auto values = uniform_floats(memory.size() / size_of(dtype), 7);
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (dtype == DType::kF32) {
        reinterpret_cast<float*>(memory.data())[i] = values[i];
      } else {
        reinterpret_cast<bf16_t*>(memory.data())[i] = to_bf16(values[i]);
      }
    }
    for (int layer = 0; layer < layers; ++layer) {
      k_base.push_back(memory.data() + static_cast<std::size_t>(layer) * layer_bytes);
      v_base.push_back(k_base.back() + static_cast<std::size_t>(kv_heads * tile) * size_of(dtype));
    }
    view.k_base = k_base.data();
    view.v_base = v_base.data();
    for (std::int64_t block = 0; block < blocks; ++block) table.push_back(static_cast<std::int32_t>(block));
    std::shuffle(table.begin(), table.end(), std::mt19937_64(9));
  }
  double at(bool value, int layer, std::int64_t position, int head, int j) const {
    const std::int64_t block = table[static_cast<std::size_t>(position / kPageTokens)];
    const int slot = static_cast<int>(position % kPageTokens);
    const std::byte* row = value ? view.v(layer, block, head, slot) : view.k(layer, block, head, slot);
    return static_cast<double>(view.dtype == DType::kF32 ? reinterpret_cast<const float*>(row)[j]
                                                         : to_float(reinterpret_cast<const bf16_t*>(row)[j]));
  }

  Buffer memory;
  std::vector<std::byte*> k_base, v_base;
  std::vector<std::int32_t> table;
  PagedKvView view;
};

}  // namespace kvgauge::bench
