#pragma once
#include "cuda/stream_handle.h"

namespace kvgauge::cuda {

/// @param status a cudaError_t; @param what the call that returned it, e.g. "cudaMalloc of 4096 bytes"
/// @throws DeviceError "cuda: <what>: <the runtime's words>" unless it is cudaSuccess
void check_cuda(int status, const char* what);

/// The same for a launch, naming the kernel by its demangled symbol and the shape. With KVGAUGE_SYNC_LAUNCH (CMake) it
/// also waits for the kernel, so that a fault is reported at the launch that caused it.
void check_launch(int status, const void* kernel, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned threads,
                  unsigned shared_bytes, StreamHandle stream);

}  // namespace kvgauge::cuda
