#include <cxxabi.h>

#include <cstdlib>
#include <memory>

#include <cuda_runtime_api.h>

#include "core/cat.h"
#include "cuda/check.h"
#include "kvgauge/error.h"

namespace kvgauge::cuda {
namespace {

/// "rms_norm_kernel<float>" of the symbol's full signature; the parameter list says nothing new.
std::string kernel_name(const void* kernel) {
  const char* mangled = nullptr;
  if (cudaFuncGetName(&mangled, kernel) != cudaSuccess || mangled == nullptr) {
    cudaGetLastError();  // an unknown name is no error of the launch
    return "of an unnamed kernel";
  }
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(abi::__cxa_demangle(mangled, nullptr, nullptr, &status),
                                                         std::free);
  return status == 0 ? text.get() : mangled;
}

}  // namespace

void check_cuda(int status, const char* what) {
  if (status == cudaSuccess) return;
  throw DeviceError(cat("cuda: ", what, ": ", cudaGetErrorString(static_cast<cudaError_t>(status))));
}

void check_launch(int status, const void* kernel, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned threads,
                  unsigned shared_bytes, [[maybe_unused]] StreamHandle stream) {
#if defined(KVGAUGE_SYNC_LAUNCH)
  cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
  if (status == cudaSuccess && cudaStreamIsCapturing(stream, &capturing) == cudaSuccess &&
      capturing == cudaStreamCaptureStatusNone)
    status = cudaStreamSynchronize(stream);
#endif
  if (status == cudaSuccess) return;
  const std::string words = cudaGetErrorString(static_cast<cudaError_t>(status));
  throw DeviceError(cat("cuda: launch ", kernel_name(kernel), " grid ", grid_x, "x", grid_y, "x", grid_z, " block ",
                        threads, " shared ", shared_bytes, ": ", words));
}

}  // namespace kvgauge::cuda
