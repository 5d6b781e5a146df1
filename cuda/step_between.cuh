#pragma once
#include "core/angle.h"
#include "cuda/device.cuh"

namespace kvgauge::cuda {

/// out[0..2) = |u - v| and the angle between u and v in radians, u = share * to, v = share * from, in double: METHOD.md
/// A.2, A.5. One block; the order of the sums depends on `count` and the number of threads only. Barrier contract as
/// block_sum's, which it calls.
/// @tparam Vector a pointer, or what is indexed like one
template <class Vector>
__device__ __forceinline__ void store_step_between(Vector from, Vector to, std::int64_t count, double share,
                                                   double* scratch, double* out) {
  double difference = 0, to_squared = 0, from_squared = 0;
  for (std::int64_t i = threadIdx.x; i < count; i += blockDim.x) {
    const double u = to[i] * share, v = from[i] * share, apart = u - v;
    difference = fma(apart, apart, difference);
    to_squared = fma(u, u, to_squared);
    from_squared = fma(v, v, from_squared);
  }
  difference = block_sum(difference, scratch);
  to_squared = block_sum(to_squared, scratch);
  from_squared = block_sum(from_squared, scratch);
  if (threadIdx.x == 0) {
    out[0] = sqrt(difference);
    out[1] = angle(difference, sqrt(to_squared), sqrt(from_squared));
  }
}

}  // namespace kvgauge::cuda
