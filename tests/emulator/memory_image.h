#pragma once
// The contents of device memory at one moment, to be compared with those at another.
#include <string>
#include <vector>

#include "emulator_control.h"

namespace kvgauge::cuda::emulator {

class MemoryImage {
 public:
  /// Of all live ranges that kernels may write, as they are now.
  MemoryImage();
  /// Makes device memory what it was; the same ranges must be live.
  void restore() const;
  /// Where the two differ first, "byte 12 of cudaMalloc 3"; empty if nowhere.
  std::string first_difference(const MemoryImage& other) const;

 private:
  struct Part {
    DeviceRange range;
    std::vector<std::byte> bytes;  ///< up to the last that is not 0xff, which fresh memory is full of
  };
  std::vector<Part> parts_;
};

}  // namespace kvgauge::cuda::emulator
