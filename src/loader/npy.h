#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kvgauge {

/// A matrix of a .npy file.
struct NpyMatrix {
  std::int64_t rows = 0, columns = 0;
  std::vector<float> values;  ///< row-major
};

/// Reads a two-dimensional array of little-endian f4 or f8 (rounded to float) in C order.
///   file = "\x93NUMPY", version 1.0, 2.0 or 3.0, header length (u16, later u32), a Python dict of descr, fortran_order
///   and shape, values
/// @throws FormatError (no such file, or values missing or left over), ConfigError (another type, order or rank)
NpyMatrix parse_npy(std::span<const std::byte> file, std::string_view where);

/// What stands before the values of a row-major f32 matrix in a version 1.0 file; a multiple of 64 bytes.
std::string npy_header(std::int64_t rows, std::int64_t columns);

}  // namespace kvgauge
