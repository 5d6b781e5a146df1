#pragma once
#include "cuda_runtime_api.h"

namespace kvgauge::cuda::emulator {

/// Of one launch; shared_bytes is the dynamic part.
struct LaunchSize {
  dim3 grid;
  dim3 block;
  unsigned shared_bytes = 0;
};

}  // namespace kvgauge::cuda::emulator
