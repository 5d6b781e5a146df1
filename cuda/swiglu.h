#pragma once
#include "cuda/stream_handle.h"
#include "ops/swiglu.h"

namespace kvgauge::cuda {

void launch_swiglu(const SwigluArgs& args, StreamHandle stream);

}  // namespace kvgauge::cuda
