#pragma once
#include "cuda/stream_handle.h"
#include "ops/sample.h"

namespace kvgauge::cuda {

/// @param args `requests` and `out` are looked at for their size only
/// @param requests, out device memory
void launch_sample(const SampleArgs& args, const SampleRequest* requests, std::int32_t* out, StreamHandle stream);

}  // namespace kvgauge::cuda
