#pragma once
#include <cstdint>
#include <filesystem>

namespace kvgauge::testing {

struct RandomModelShape {
  std::int64_t layers = 2, hidden = 64, heads = 2, kv_heads = 1, head_dim = 32, intermediate = 128, vocab = 288,
               max_positions = 512;
};

/// Writes a Hugging Face folder (Llama, bf16, tied head) with seeded random weights of any size, for tests of memory
/// and speed. The tokenizer is that of tests/golden/models/llama_tied (ids beyond it have no text).
void write_random_model(const std::filesystem::path& folder, const RandomModelShape& shape, std::uint64_t seed);

}  // namespace kvgauge::testing
