#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace kvgauge {

/// Element types of a model file. Block types are GGUF's (32 or 256 elements a block).
enum class StoredType : std::uint8_t { kF32, kF16, kBF16, kQ8_0, kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ4_K, kQ5_K, kQ6_K };
const char* name(StoredType type);
/// Bytes of `elements` values; elements must be a multiple of the block size.
std::uint64_t stored_bytes(StoredType type, std::uint64_t elements);
std::int64_t block_elements(StoredType type);

/// A tensor where it lies in the mapped file: row-major [rows, columns] (or [columns] for vectors, rows = 1).
struct StoredTensor {
  std::string name;  ///< as the file spells it
  StoredType type = StoredType::kF32;
  std::int64_t rows = 0, columns = 0;
  std::span<const std::byte> data;
};

/// Widens `elements` values of any stored type (a multiple of the block size). Exact for f16/bf16/f32; the block
/// formulas are those of ggml's reference dequantisation.
void widen(StoredType type, const std::byte* source, std::int64_t elements, float* out);

}  // namespace kvgauge
