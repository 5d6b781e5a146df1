#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "loader/gguf.h"

namespace kvgauge::bench {

/// A GGUF file (version 3) in the making: keys and the list of tensors first, then write() asks for the data of one
/// tensor after the other, so that a file may be larger than memory.
class GgufOutput {
 public:
  void set_u32(std::string_view key, std::uint32_t value);
  void set_f32(std::string_view key, float value);
  void set_bool(std::string_view key, bool value);
  void set_string(std::string_view key, std::string_view value);
  void set_strings(std::string_view key, std::span<const std::string> values);
  void set_ints(std::string_view key, std::span<const std::int32_t> values);
  /// As another file has it.
  void set(std::string_view key, const GgufValue& value);

  /// @param rows 0 for a vector of `columns` values
  void add_tensor(std::string name, StoredType type, std::int64_t rows, std::int64_t columns);

  /// Fills the bytes of one tensor; `index` counts in the order of add_tensor.
  using Fill = std::function<void(std::size_t index, std::span<std::byte> data)>;
  /// Writes beside `path` first and renames, so that a file of that name is whole.
  /// @throws OutputError; what `fill` throws
  void write(const std::filesystem::path& path, const Fill& fill) const;

 private:
  struct Tensor {
    std::string name;
    StoredType type;
    std::int64_t rows, columns;
    std::uint64_t bytes;
  };
  void add_key(std::string_view key, GgufType type, std::string bytes);
  std::string header() const;
  std::vector<std::pair<std::string, std::string>> keys_;  ///< name; type and value as bytes. The last of a name counts
  std::vector<Tensor> tensors_;
};

}  // namespace kvgauge::bench
