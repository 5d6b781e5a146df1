#pragma once
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
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

/// An F32 tensor to be written.
struct WrittenTensor {
  std::string name;
  std::vector<std::int64_t> shape;
};
/// What stands before the bytes of `tensors`, which follow it one behind the other in this order. Its own bytes are a
/// multiple of 8. What is not UTF-8 in the metadata is replaced.
std::string safetensors_header(const std::vector<WrittenTensor>& tensors,
                               const std::vector<std::pair<std::string, std::string>>& metadata);

}  // namespace kvgauge
