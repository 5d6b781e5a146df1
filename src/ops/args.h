#pragma once
#include <cstdint>
#include <span>

#include "core/dtype.h"
#include "kv/paged_view.h"

namespace kvgauge {

/// A matrix of activations on the back end's device: row-major [rows, columns], rows `stride` elements apart.
/// Non-owning.
struct MatrixView {
  void* data = nullptr;
  DType dtype = DType::kF32;
  std::int64_t rows = 0, columns = 0, stride = 0;
};

/// The new tokens of one sequence in a step: consecutive positions, consecutive rows of the step's activations.
struct SequenceSlice {
  std::int64_t first_row = 0;            ///< row of the step's activation matrices
  std::int64_t rows = 0;                 ///< new tokens, at least 1
  std::int64_t first_position = 0;       ///< position of the first new token; earlier positions are in the pages
  const std::int32_t* blocks = nullptr;  ///< block table; covers first_position + rows positions
};

}  // namespace kvgauge
