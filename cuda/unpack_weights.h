#pragma once
#include "cuda/stream_handle.h"
#include "ops/unpack_weights.h"

namespace kvgauge::cuda {

void launch_unpack_weights(const UnpackWeightsArgs& args, StreamHandle stream);

}  // namespace kvgauge::cuda
