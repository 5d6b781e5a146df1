#pragma once
#include <cstdint>

#include "cuda/stream_handle.h"

// Kernels for tests of the ptx executor, right and wrong ones.
namespace kvgauge::testing {

struct ScaleArgs {
  const float* in = nullptr;
  float* out = nullptr;
  std::int64_t count = 0;    // of `in`
  std::int64_t written = 0;  // of `out`; more than it holds is a fault
};
/// out[i] = 3 in[i], 128 threads a block
void launch_scale(const ScaleArgs& args, cuda::StreamHandle stream);

struct RotateArgs {
  const float* in = nullptr;
  float* out = nullptr;
  bool with_barrier = true;
};
/// out[i] = in[(i + 33) % 64] through shared memory; without the barrier between its two halves it is a race of two
/// warps.
void launch_rotate(const RotateArgs& args, cuda::StreamHandle stream);

}  // namespace kvgauge::testing
