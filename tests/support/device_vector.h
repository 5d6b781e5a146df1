#pragma once
#include <cstddef>
#include <vector>

namespace kvgauge::testing {

/// Memory that every executor's kernels may touch and the host too: managed memory where the build has a device (the
/// emulated one puts each allocation before a guard page), plain memory otherwise. 64-byte aligned at least.
void* allocate_device_memory(std::size_t bytes);
void free_device_memory(void* memory);

template <class T>
struct DeviceAllocator {
  using value_type = T;
  DeviceAllocator() = default;
  template <class U>
  DeviceAllocator(const DeviceAllocator<U>&) {}  // NOLINT: allocators convert
  T* allocate(std::size_t count) { return static_cast<T*>(allocate_device_memory(count * sizeof(T))); }
  void deallocate(T* memory, std::size_t) { free_device_memory(memory); }
  friend bool operator==(const DeviceAllocator&, const DeviceAllocator&) { return true; }
};

template <class T>
using DeviceVector = std::vector<T, DeviceAllocator<T>>;

/// What a device reads of a list that lies on the host.
template <class T>
DeviceVector<T> on_device(const std::vector<T>& values) {
  return {values.begin(), values.end()};
}

}  // namespace kvgauge::testing
