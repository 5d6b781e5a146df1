#pragma once
#include "ops/args.h"

namespace kvgauge {

/// residual[r, :] += x[r, :] (if x is given), then out[r, :] = residual[r, :] / sqrt(mean(residual[r, :]^2) + eps) *
/// weight. The sum of squares has a fixed order that does not depend on the number of rows. Zhang, Sennrich, 2019
/// (RMSNorm).
struct RmsNormArgs {
  MatrixView residual;            ///< f32 [rows, columns], updated in place when `x` is given
  MatrixView x;                   ///< f32 [rows, columns] or data == nullptr
  const float* weight = nullptr;  ///< [columns]
  float eps = 1e-6f;
  MatrixView out;  ///< f32 or bf16 [rows, columns]; may not alias residual or x. data == nullptr: only the sum is done,
                   ///< weight is not read
};

}  // namespace kvgauge
