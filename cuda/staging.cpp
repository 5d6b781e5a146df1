#include "cuda/staging.h"

#include <cstring>

#include "core/check.h"

namespace kvgauge::cuda {
namespace {

constexpr std::size_t kAlignment = 64;  // of every list: kernels read them with wide loads

std::size_t rounded(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

Staging::Staging(const Stream& stream, DeviceArena& arena, std::size_t bytes)
    : stream_(stream),
      arena_(arena),
      bytes_(rounded(bytes)),
      device_(arena.allocate(2 * bytes_, "lists of a step")),
      lists_{PinnedMemory(bytes_), PinnedMemory(bytes_)},
      results_{PinnedMemory(bytes_), PinnedMemory(bytes_)} {
  pending_.reserve(64);
}

Staging::~Staging() {
  if (device_ != nullptr) arena_.free(device_);
}

void Staging::reserve(std::size_t bytes) {
  if (rounded(bytes) <= bytes_) return;
  arena_.free(device_);
  device_ = nullptr;
  bytes_ = rounded(bytes);
  device_ = arena_.allocate(2 * bytes_, "lists of a step");
  for (PinnedMemory& lists : lists_) lists = PinnedMemory(bytes_);
  lists_used_ = 0;
}

const std::byte* Staging::upload(const void* list, std::size_t bytes) {
  KVGAUGE_CHECK(lists_used_ + bytes <= bytes_, "lists of a step take ", lists_used_ + bytes, " bytes, reserved are ",
                bytes_);
  std::byte* const target = device_ + current_ * bytes_ + lists_used_;
  upload_to(target, list, bytes);
  return target;
}

void Staging::upload_to(std::byte* device, const void* list, std::size_t bytes) {
  KVGAUGE_CHECK(bytes <= bytes_, "a list of ", bytes, " bytes, reserved are ", bytes_);
  if (lists_used_ + bytes > bytes_) {
    deliver();
    lists_used_ = 0;
  }
  std::byte* const pinned = lists_[current_].data() + lists_used_;
  lists_used_ += rounded(bytes);
  std::memcpy(pinned, list, bytes);
  stream_.copy_to_device(device, pinned, bytes);
}

void Staging::fetch(void* host, const void* device, std::size_t bytes) {
  if (bytes == 0) return;
  if (results_used_ + bytes > results_[current_].bytes()) {
    deliver();
    if (bytes > results_[current_].bytes()) results_[current_] = PinnedMemory(bytes);
  }
  std::byte* const pinned = results_[current_].data() + results_used_;
  results_used_ += rounded(bytes);
  stream_.copy_to_host(pinned, device, bytes);
  pending_.push_back({host, pinned, bytes});
}

void Staging::deliver() {
  done_.record(stream_);
  done_.wait();
  for (const Result& result : pending_) std::memcpy(result.host, result.pinned, result.bytes);
  pending_.clear();
  results_used_ = 0;
}

void Staging::next_step() {
  current_ = 1 - current_;
  lists_used_ = 0;
}

}  // namespace kvgauge::cuda
