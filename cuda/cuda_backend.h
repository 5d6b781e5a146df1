#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "ops/backend.h"

namespace kvgauge {

struct CudaOptions {
  int device = 0;
  DType compute_dtype = DType::kBF16;  ///< kF32 or kBF16
  bool batch_invariant = false;
  bool graphs = true;        ///< decode steps are captured once and replayed
  std::uint64_t memory = 0;  ///< bytes to reserve on the device; 0 = nine tenths of what is free
};

/// The back end on one CUDA device (in builds with the emulated device: on that).
/// @throws DeviceError if there is no driver, it is too old, there is no such device, or its memory is taken; with the
/// remedy
std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options);

/// The thread's current device is another one until the object ends: for calls from programs that use the runtime
/// themselves.
class CurrentDevice {
 public:
  explicit CurrentDevice(int device) : before_(exchange(device)) {}
  ~CurrentDevice() { restore(before_); }
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;
  /// Makes `device` current and returns the one that was. @throws DeviceError
  static int exchange(int device);
  static void restore(int device) noexcept;

 private:
  int before_;
};

/// Whether kernels on the current device can read where `pointer` points: device, managed or page-locked memory.
bool is_device_memory(const void* pointer);

/// Why no device can be used, in words; empty if one can.
std::string cuda_unavailable();

}  // namespace kvgauge
