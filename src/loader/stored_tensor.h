#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "core/stored_type.h"

namespace kvgauge {

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
