#pragma once
#include "core/check.h"
#include "ops/args.h"

namespace kvgauge {

/// A weight matrix packed by a back end for its own products; made once at load by Backend::pack_weight, opaque to
/// others.
struct PackedWeight {
  std::int64_t handle = -1;  ///< the back end's index
  std::int64_t rows = 0;     ///< output features
  std::int64_t columns = 0;  ///< input features
};

/// Where a range of output features may begin: a multiple of this.
inline constexpr std::int64_t kFeatureStep = 64;

/// out[r, n] = sum_k x[r, k] * weight[first_feature + n, k], accumulated in f32.
/// Batch-invariant back ends: the bits of a row depend on that row, the weight and the range of features only.
struct LinearArgs {
  MatrixView x;  ///< f32 or bf16 (the back end's compute dtype) [rows, weight.columns]
  PackedWeight weight;
  std::int64_t first_feature = 0;  ///< multiple of kFeatureStep
  MatrixView out;                  ///< f32 [rows, features], features <= weight.rows - first_feature; may not alias x
};

/// What every back end requires of its caller.
inline void check_features(const LinearArgs& args) {
  KVGAUGE_CHECK(args.first_feature >= 0 && args.first_feature % kFeatureStep == 0 && args.out.columns > 0 &&
                    args.first_feature + args.out.columns <= args.weight.rows &&
                    (args.out.columns % kFeatureStep == 0 || args.first_feature + args.out.columns == args.weight.rows),
                "features [", args.first_feature, ", ", args.first_feature + args.out.columns, ") of ", args.weight.rows);
}

}  // namespace kvgauge
