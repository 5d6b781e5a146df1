#pragma once
#include <cstddef>

#include "core/stored_type.h"
#include "ops/args.h"

namespace kvgauge {

/// out[r, c] = value [r, c] of a tensor as a model file stores it: widened to f32 with the roundings of loader/'s
/// widen(), bit for bit (NaN stays NaN), then rounded once if `out` is bf16.
struct UnpackWeightsArgs {
  const std::byte* source = nullptr;  ///< on the device: rows * columns values, rows without a gap
  StoredType type = StoredType::kF32;
  MatrixView out;  ///< f32 or bf16 [rows, columns]; columns is a multiple of block_elements(type); may not alias source
};

}  // namespace kvgauge
