#pragma once
#include "ops/args.h"

namespace kvgauge {

/// A weight matrix packed by a back end for its own products; made once at load by Backend::pack_weight, opaque to
/// others.
struct PackedWeight {
  std::int64_t handle = -1;  ///< the back end's index
  std::int64_t rows = 0;     ///< output features
  std::int64_t columns = 0;  ///< input features
};

/// out[r, n] = sum_k x[r, k] * weight[n, k], accumulated in f32.
/// Batch-invariant back ends: the bits of a row depend on that row and the weight only.
struct LinearArgs {
  MatrixView x;  ///< f32 or bf16 (the back end's compute dtype) [rows, weight.columns]
  PackedWeight weight;
  MatrixView out;  ///< f32 [rows, weight.rows]; may not alias x
};

}  // namespace kvgauge
