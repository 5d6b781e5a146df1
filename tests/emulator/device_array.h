#pragma once
#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

#include "cuda_runtime_api.h"

namespace kvgauge::testing {

/// Values in memory of the current emulated device, freed with the object.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t count) : count_(count) {
    EXPECT_EQ(cudaMalloc(reinterpret_cast<void**>(&data_), count * sizeof(T)), cudaSuccess);
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) { set(values); }
  ~DeviceArray() { free(); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }
  std::size_t count() const { return count_; }
  void set(const std::vector<T>& values) {
    EXPECT_LE(values.size(), count_);
    EXPECT_EQ(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice), cudaSuccess);
  }
  /// Waits for the device.
  std::vector<T> values() const {
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess) << cudaGetErrorString(cudaPeekAtLastError());
    std::vector<T> out(count_);
    EXPECT_EQ(cudaMemcpy(out.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost), cudaSuccess);
    return out;
  }
  void free() {
    if (data_ != nullptr) static_cast<void>(cudaFree(data_));
    data_ = nullptr;
  }

 private:
  std::size_t count_;
  T* data_ = nullptr;
};

}  // namespace kvgauge::testing
