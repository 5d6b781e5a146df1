#pragma once
#include <cstddef>
#include <map>

namespace kvgauge::cuda {

/// One reservation of device memory, dealt out in blocks: after it the engine's life costs no cudaMalloc. First fit;
/// freed neighbours merge.
class DeviceArena {
 public:
  /// @throws DeviceError naming what was asked for and what is free
  explicit DeviceArena(std::size_t bytes);
  ~DeviceArena();
  DeviceArena(const DeviceArena&) = delete;
  DeviceArena& operator=(const DeviceArena&) = delete;

  /// 256-byte aligned, contents undefined.
  /// @throws DeviceError "<what>: N bytes of device memory were needed, M are left of B; ..." if no gap is large enough
  std::byte* allocate(std::size_t bytes, const char* what);
  void free(std::byte* memory);

  std::size_t bytes() const { return bytes_; }
  std::size_t largest_gap() const;

 private:
  std::byte* base_ = nullptr;
  std::size_t bytes_;
  std::map<std::size_t, std::size_t> gaps_, blocks_;  ///< offset -> bytes
};

/// Page-locked host memory, which copies need in order to run beside the host.
class PinnedMemory {
 public:
  explicit PinnedMemory(std::size_t bytes);
  ~PinnedMemory();
  PinnedMemory(PinnedMemory&& other) noexcept;
  PinnedMemory& operator=(PinnedMemory&& other) noexcept;

  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// Free and total bytes of the current device.
struct DeviceMemoryInfo {
  std::size_t free = 0, total = 0;
};
DeviceMemoryInfo device_memory_info();

}  // namespace kvgauge::cuda
