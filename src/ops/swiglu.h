#pragma once
#include "ops/args.h"

namespace kvgauge {

/// out[r, i] = silu(gate_up[r, i]) * gate_up[r, columns + i],  silu(x) = x / (1 + exp(-x)). Shazeer, 2020.
struct SwigluArgs {
  MatrixView gate_up;  ///< f32 [rows, 2 * columns]
  MatrixView out;      ///< f32 or bf16 [rows, columns]; may not alias
};

}  // namespace kvgauge
