#pragma once
#include "cuda/stream_handle.h"
#include "ops/rms_norm.h"

namespace kvgauge::cuda {

void launch_rms_norm(const RmsNormArgs& args, StreamHandle stream);

}  // namespace kvgauge::cuda
