#include "memory_image.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/cat.h"

namespace kvgauge::cuda::emulator {
namespace {

constexpr std::byte kFresh{0xff};

/// Bytes up to the last one that is not fresh.
std::size_t used_bytes_of(const DeviceRange& range) {
  constexpr std::size_t kStride = 4096;
  static const std::vector<std::byte> fresh(kStride, kFresh);
  std::size_t end = range.bytes;
  while (end >= kStride && std::memcmp(range.begin + end - kStride, fresh.data(), kStride) == 0) end -= kStride;
  while (end > 0 && range.begin[end - 1] == kFresh) --end;
  return end;
}

}  // namespace

MemoryImage::MemoryImage() {
  for (const DeviceRange& range : device_ranges()) {
    if (range.kind == RangeKind::kPinned) continue;
    parts_.push_back({range, {range.begin, range.begin + used_bytes_of(range)}});
  }
}

void MemoryImage::restore() const {
  for (const Part& part : parts_) {
    const std::size_t used = used_bytes_of(part.range);
    std::copy(part.bytes.begin(), part.bytes.end(), part.range.begin);
    if (used > part.bytes.size()) std::fill(part.range.begin + part.bytes.size(), part.range.begin + used, kFresh);
  }
}

std::string MemoryImage::first_difference(const MemoryImage& other) const {
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const auto &a = parts_[i].bytes, &b = other.parts_[i].bytes;
    const auto at = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first;
    if (at != a.end() || a.size() != b.size()) return cat("byte ", at - a.begin(), " of ", parts_[i].range.name);
  }
  return "";
}

}  // namespace kvgauge::cuda::emulator
