#pragma once
#include <bit>
#include <cstddef>
#include <cstring>

namespace kvgauge {

static_assert(std::endian::native == std::endian::little, "model files are little endian and are read in place");

/// A number of a file, wherever it lies: its place need not be aligned.
template <class T>
T load_bytes(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}

}  // namespace kvgauge
