#pragma once
#include <cstddef>

#include "cuda/stream_handle.h"

namespace kvgauge::cuda {

/// A stream of its own: nothing in kvgauge uses the default stream, which would wait for all others.
class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  StreamHandle get() const { return stream_; }

  /// Copies in stream order. The host side is page-locked memory that stays untouched until the copy is done.
  void copy_to_device(void* device, const void* pinned, std::size_t bytes) const;
  void copy_to_host(void* pinned, const void* device, std::size_t bytes) const;
  void copy_on_device(void* to, const void* from, std::size_t bytes) const;
  void fill_zero(void* device, std::size_t bytes) const;

 private:
  StreamHandle stream_ = nullptr;
};

/// A point of a stream that the host can wait for without spinning.
class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(const Stream& stream) const { record(stream.get()); }
  void record(StreamHandle stream) const;  ///< nullptr: the default stream
  /// What `stream` is given from now on starts after the point.
  void hold(StreamHandle stream) const;
  /// @throws DeviceError if something before the point failed
  void wait() const;

 private:
  CUevent_st* event_ = nullptr;
};

}  // namespace kvgauge::cuda
