#pragma once
#include <cstdint>

namespace kvgauge {

/// Element types of a model file. Block types are GGUF's (32 or 256 elements a block).
enum class StoredType : std::uint8_t { kF32, kF16, kBF16, kQ8_0, kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ4_K, kQ5_K, kQ6_K };
const char* name(StoredType type);
/// Bytes of `elements` values; elements must be a multiple of the block size.
std::uint64_t stored_bytes(StoredType type, std::uint64_t elements);
std::int64_t block_elements(StoredType type);

}  // namespace kvgauge
