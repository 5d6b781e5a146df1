#pragma once

// The runtime's handle types by name only, so that no CUDA header leaks into headers.
struct CUstream_st;
struct CUevent_st;

namespace kvgauge::cuda {

using StreamHandle = CUstream_st*;

}  // namespace kvgauge::cuda
