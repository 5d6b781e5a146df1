#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <utility>

namespace kvgauge {

/// Zeroed anonymous memory, aligned to 64 bytes at least, in huge pages where the system has them.
/// Move-only. Untouched pages cost no memory, so a large reservation is cheap until used.
class Buffer {
 public:
  Buffer() = default;
  /// @throws DeviceError if the system refuses the memory, naming the size
  explicit Buffer(std::size_t bytes);
  Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer();

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace kvgauge
