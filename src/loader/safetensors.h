#pragma once
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "loader/stored_tensor.h"

namespace kvgauge {

/// Places of all tensors of a safetensors file, in the order of their bytes; `data` points into `file`.
///   file = u64 header length, JSON header {"name": {"dtype", "shape", "data_offsets": [begin, end)}}, bytes
/// Checked: header length, JSON without duplicate names, dtypes, shape * size == bytes, and that the tensors cover the
/// bytes without overlap or gap (as the format demands).
/// @throws FormatError, ConfigError (a dtype other than F32, F16, BF16)
std::vector<StoredTensor> parse_safetensors(std::span<const std::byte> file, std::string_view where);

struct ShapedTensor {
  StoredTensor tensor;
  std::vector<std::uint64_t> shape;  ///< at most 8 dimensions
};
struct SafetensorsContents {
  std::vector<ShapedTensor> tensors;
  std::map<std::string, std::string> metadata;
};
/// The same with every dimension of the shapes, and with the metadata.
/// @throws FormatError also where the metadata is no object of strings
SafetensorsContents read_safetensors(std::span<const std::byte> file, std::string_view where);

}  // namespace kvgauge
