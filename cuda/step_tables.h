#pragma once
#include <cstdint>

namespace kvgauge::cuda {

/// A SequenceSlice in device memory.
struct DeviceSlice {
  std::int64_t first_row = 0;
  std::int64_t rows = 0;  ///< 0: a padding entry of a graph, nothing to do
  std::int64_t first_position = 0;
  const std::int32_t* blocks = nullptr;  ///< device memory; covers first_position + rows positions
};

/// The sequences of a call, in device memory. The host-side numbers are what a launcher shapes its grid by; in a
/// captured graph they are upper bounds that hold for every replay, so kernels take the true ones from `slices`.
struct SliceTable {
  const DeviceSlice* slices = nullptr;         ///< device [count]
  const std::int32_t* slice_of_row = nullptr;  ///< device [rows]; -1: a padding row
  std::int64_t count = 0, rows = 0;
  std::int64_t longest_rows = 0;     ///< new tokens of the longest slice
  std::int64_t longest_context = 0;  ///< first_position + rows of the longest slice
};

}  // namespace kvgauge::cuda
