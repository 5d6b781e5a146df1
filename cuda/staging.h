#pragma once
#include <cstddef>
#include <span>
#include <vector>

#include "cuda/memory.h"
#include "cuda/stream.h"

namespace kvgauge::cuda {

/// The few numbers that cross between host and device in a step, through page-locked memory: lists on their way down,
/// results on their way up. Two sets of buffers alternate with the steps, so that one step's lists can be staged while
/// the copies of the step before are under way.
class Staging {
 public:
  /// @param bytes of lists that one step may need, and of one result
  Staging(const Stream& stream, DeviceArena& arena, std::size_t bytes);
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  /// Makes room for steps of more bytes. Nothing may be under way.
  void reserve(std::size_t bytes);

  /// Copies a list to the device; it stays there for the step and the next one.
  template <class T>
  const T* upload(std::span<const T> list) {
    return reinterpret_cast<const T*>(upload(list.data(), list.size_bytes()));
  }
  /// The same to a given place of device memory; waits for copies under way where the buffer is full.
  void upload_to(std::byte* device, const void* list, std::size_t bytes);

  /// Has `bytes` of device memory copied to `host` by the next deliver().
  void fetch(void* host, const void* device, std::size_t bytes);

  /// Waits for the stream and hands out what was fetched. @throws DeviceError if anything on the stream failed
  void deliver();
  /// After deliver(): the other set of buffers.
  void next_step();

 private:
  struct Result {
    void* host;
    const std::byte* pinned;
    std::size_t bytes;
  };
  const std::byte* upload(const void* list, std::size_t bytes);

  const Stream& stream_;
  DeviceArena& arena_;
  std::size_t bytes_;
  std::byte* device_ = nullptr;  ///< [2][bytes_]
  PinnedMemory lists_[2], results_[2];
  Event done_;
  std::size_t current_ = 0, lists_used_ = 0, results_used_ = 0;
  std::vector<Result> pending_;
};

}  // namespace kvgauge::cuda
