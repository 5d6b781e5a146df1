#pragma once
#include "ops/args.h"

namespace kvgauge {

/// out[r, :] = table[ids[r], :], widened to f32.
struct EmbedArgs {
  const void* table = nullptr;  ///< [vocab, hidden] row-major
  DType table_dtype = DType::kBF16;
  std::int64_t vocab = 0, hidden = 0;
  std::span<const std::int32_t> ids;  ///< in [0, vocab)
  MatrixView out;                     ///< f32 [ids, hidden]
};

}  // namespace kvgauge
