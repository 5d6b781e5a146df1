// Devices, their properties, and errors as text. The numbers are those of an H100 with 80 GB, apart from its memory.
#include <algorithm>
#include <cstring>

#include "core/cat.h"
#include "runtime.h"

using namespace kvgauge::cuda::emulator;
using kvgauge::cat;

namespace {

constexpr int kSharedPerBlock = 48 << 10, kSharedPerBlockOptin = 227 << 10, kSharedPerProcessor = 228 << 10;

bool exists(int device) { return device >= 0 && device < static_cast<int>(runtime().devices.size()); }

struct ErrorWords {
  cudaError_t error;
  const char* name;
  const char* text;
};
#define KVGAUGE_ERROR(name, text) \
  { name, #name, text }
constexpr ErrorWords kErrors[] = {
    KVGAUGE_ERROR(cudaSuccess, "no error"),
    KVGAUGE_ERROR(cudaErrorInvalidValue, "invalid argument"),
    KVGAUGE_ERROR(cudaErrorMemoryAllocation, "out of memory"),
    KVGAUGE_ERROR(cudaErrorInitializationError, "initialization error"),
    KVGAUGE_ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    KVGAUGE_ERROR(cudaErrorInvalidSymbol, "invalid device symbol"),
    KVGAUGE_ERROR(cudaErrorInvalidHostPointer, "invalid host pointer"),
    KVGAUGE_ERROR(cudaErrorInvalidDevicePointer, "invalid device pointer"),
    KVGAUGE_ERROR(cudaErrorInvalidMemcpyDirection, "invalid copy direction"),
    KVGAUGE_ERROR(cudaErrorInsufficientDriver, "the driver is older than the runtime needs"),
    KVGAUGE_ERROR(cudaErrorDevicesUnavailable, "device busy or unavailable"),
    KVGAUGE_ERROR(cudaErrorInvalidDeviceFunction, "invalid device function"),
    KVGAUGE_ERROR(cudaErrorNoDevice, "no device found"),
    KVGAUGE_ERROR(cudaErrorInvalidDevice, "no such device"),
    KVGAUGE_ERROR(cudaErrorInvalidKernelImage, "invalid device image"),
    KVGAUGE_ERROR(cudaErrorNoKernelImageForDevice, "no kernel for this device"),
    KVGAUGE_ERROR(cudaErrorECCUncorrectable, "uncorrectable memory error"),
    KVGAUGE_ERROR(cudaErrorUnsupportedPtxVersion, "PTX of a newer toolkit"),
    KVGAUGE_ERROR(cudaErrorInvalidResourceHandle, "invalid handle"),
    KVGAUGE_ERROR(cudaErrorIllegalState, "not allowed in this state"),
    KVGAUGE_ERROR(cudaErrorSymbolNotFound, "symbol not found"),
    KVGAUGE_ERROR(cudaErrorNotReady, "not ready"),
    KVGAUGE_ERROR(cudaErrorIllegalAddress, "illegal address"),
    KVGAUGE_ERROR(cudaErrorLaunchOutOfResources, "too many resources for a launch"),
    KVGAUGE_ERROR(cudaErrorLaunchTimeout, "a kernel ran too long"),
    KVGAUGE_ERROR(cudaErrorPeerAccessAlreadyEnabled, "peer access is enabled already"),
    KVGAUGE_ERROR(cudaErrorPeerAccessNotEnabled, "peer access is not enabled"),
    KVGAUGE_ERROR(cudaErrorAssert, "an assertion of a kernel failed"),
    KVGAUGE_ERROR(cudaErrorHostMemoryAlreadyRegistered, "host memory is registered already"),
    KVGAUGE_ERROR(cudaErrorHostMemoryNotRegistered, "host memory is not registered"),
    KVGAUGE_ERROR(cudaErrorHardwareStackError, "stack error"),
    KVGAUGE_ERROR(cudaErrorIllegalInstruction, "illegal instruction"),
    KVGAUGE_ERROR(cudaErrorMisalignedAddress, "misaligned address"),
    KVGAUGE_ERROR(cudaErrorLaunchFailure, "launch failure"),
    KVGAUGE_ERROR(cudaErrorNotPermitted, "not permitted"),
    KVGAUGE_ERROR(cudaErrorNotSupported, "not supported"),
    KVGAUGE_ERROR(cudaErrorStreamCaptureUnsupported, "not allowed while a stream is captured"),
    KVGAUGE_ERROR(cudaErrorStreamCaptureInvalidated, "the capture was invalidated"),
    KVGAUGE_ERROR(cudaErrorStreamCaptureMerge, "two captures would merge"),
    KVGAUGE_ERROR(cudaErrorStreamCaptureUnmatched, "the capture did not begin in this stream"),
    KVGAUGE_ERROR(cudaErrorStreamCaptureUnjoined, "a forked stream was not joined"),
    KVGAUGE_ERROR(cudaErrorStreamCaptureIsolation, "a dependency crosses the capture"),
    KVGAUGE_ERROR(cudaErrorStreamCaptureImplicit, "the default stream would wait for a capture"),
    KVGAUGE_ERROR(cudaErrorCapturedEvent, "the event was recorded in a capture"),
    KVGAUGE_ERROR(cudaErrorStreamCaptureWrongThread, "the capture began in another thread"),
    KVGAUGE_ERROR(cudaErrorUnknown, "unknown error"),
};
#undef KVGAUGE_ERROR

const ErrorWords& words_of(cudaError_t error) {
  const auto* const found = std::ranges::find(kErrors, error, &ErrorWords::error);
  return found == std::end(kErrors) ? *(std::end(kErrors) - 1) : *found;
}

}  // namespace

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  return call("cudaGetDeviceCount", [&] {
    *count = static_cast<int>(runtime().devices.size());
    if (runtime().driver_version < CUDART_VERSION) return *count = 0, cudaErrorInsufficientDriver;
    return *count == 0 ? cudaErrorNoDevice : cudaSuccess;
  });
}
cudaError_t cudaGetDevice(int* device) {
  return call("cudaGetDevice", [&] { return *device = current_device(), cudaSuccess; });
}
cudaError_t cudaSetDevice(int device) {
  const std::lock_guard lock(runtime().mutex);
  if (exists(device)) set_current_device(device);
  return call("cudaSetDevice", [&] { return exists(device) ? cudaSuccess : cudaErrorInvalidDevice; });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return call("cudaGetDeviceProperties", [&] {
    if (!exists(device)) return cudaErrorInvalidDevice;
    *properties = {};
    std::strcpy(properties->name, "emulated H100");
    properties->totalGlobalMem = runtime().memory_limit;
    properties->sharedMemPerBlock = kSharedPerBlock;
    properties->sharedMemPerBlockOptin = kSharedPerBlockOptin;
    properties->sharedMemPerMultiprocessor = kSharedPerProcessor;
    properties->regsPerBlock = 65536;
    properties->warpSize = 32;
    properties->maxThreadsPerBlock = 1024;
    properties->maxThreadsPerMultiProcessor = 2048;
    const int block[] = {1024, 1024, 64}, grid[] = {0x7fffffff, 65535, 65535};
    std::copy_n(block, 3, properties->maxThreadsDim);
    std::copy_n(grid, 3, properties->maxGridSize);
    properties->major = 9;
    properties->multiProcessorCount = 132;
    properties->l2CacheSize = 50 << 20;
    properties->memoryBusWidth = 5120;
    properties->unifiedAddressing = 1;
    properties->pciBusID = device + 1;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return call("cudaDeviceGetAttribute", [&]() -> cudaError_t {
    if (!exists(device)) return cudaErrorInvalidDevice;
    switch (attribute) {
      case cudaDevAttrMaxThreadsPerBlock: return *value = 1024, cudaSuccess;
      case cudaDevAttrMaxSharedMemoryPerBlock: return *value = kSharedPerBlock, cudaSuccess;
      case cudaDevAttrWarpSize: return *value = 32, cudaSuccess;
      case cudaDevAttrClockRate: return *value = 1'980'000, cudaSuccess;
      case cudaDevAttrMultiProcessorCount: return *value = 132, cudaSuccess;
      case cudaDevAttrMemoryClockRate: return *value = 2'619'000, cudaSuccess;
      case cudaDevAttrGlobalMemoryBusWidth: return *value = 5120, cudaSuccess;
      case cudaDevAttrL2CacheSize: return *value = 50 << 20, cudaSuccess;
      case cudaDevAttrMaxThreadsPerMultiProcessor: return *value = 2048, cudaSuccess;
      case cudaDevAttrComputeCapabilityMajor: return *value = 9, cudaSuccess;
      case cudaDevAttrComputeCapabilityMinor: return *value = 0, cudaSuccess;
      case cudaDevAttrMaxSharedMemoryPerMultiprocessor: return *value = kSharedPerProcessor, cudaSuccess;
      case cudaDevAttrMaxSharedMemoryPerBlockOptin: return *value = kSharedPerBlockOptin, cudaSuccess;
    }
    return refuse(cudaErrorInvalidValue, cat("cudaDeviceGetAttribute: the emulated device does not know attribute ",
                                             static_cast<int>(attribute)));
  });
}

cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  return call("cudaDeviceCanAccessPeer", [&] {
    if (!exists(device) || !exists(peer)) return cudaErrorInvalidDevice;
    *can = device != peer;
    return cudaSuccess;
  });
}
cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned) {
  return call("cudaDeviceEnablePeerAccess",
              [&] { return exists(peer) && peer != current_device() ? cudaSuccess : cudaErrorInvalidDevice; });
}

cudaError_t cudaDriverGetVersion(int* version) {
  return call("cudaDriverGetVersion", [&] { return *version = runtime().driver_version, cudaSuccess; });
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  return call("cudaRuntimeGetVersion", [&] { return *version = CUDART_VERSION, cudaSuccess; });
}

const char* cudaGetErrorName(cudaError_t error) { return words_of(error).name; }

const char* cudaGetErrorString(cudaError_t error) {
  const char* const text = words_of(error).text;
  const auto fault = last_fault();
  if (error == cudaSuccess || error == cudaErrorNotReady || !fault) return text;
  // What the emulator knows beside the vendor's words; valid until the thread's next call.
  thread_local std::string detailed;
  detailed = cat(text, " (", fault->text, ")");
  return detailed.c_str();
}

}  // extern "C"
