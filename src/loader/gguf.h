#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "loader/stored_tensor.h"

namespace kvgauge {

/// Value types of GGUF metadata, by their numbers in the file.
enum class GgufType : std::uint32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64
};

/// One value where it lies in the file: the bytes of a number, of a string without its length, or of an array's
/// elements.
struct GgufValue {
  GgufType type = GgufType::kUint8;
  GgufType element = GgufType::kUint8;  ///< of an array
  std::uint64_t count = 1;              ///< of an array
  std::span<const std::byte> bytes;
};

/// The key-value table of a GGUF file, with typed access. Views point into the mapped file.
/// find_* return nullopt if the key is absent and throw FormatError "file: 'key' is ..., ... was needed" for another
/// type.
class GgufMetadata {
 public:
  explicit GgufMetadata(std::string_view where) : where_(where) {}
  /// @returns false if the key is there already
  bool add(std::string_view key, const GgufValue& value) { return values_.emplace(key, value).second; }

  bool contains(std::string_view key) const { return values_.contains(key); }
  std::optional<std::int64_t> find_int(std::string_view key) const;
  std::optional<double> find_number(std::string_view key) const;
  std::optional<bool> find_bool(std::string_view key) const;
  std::optional<std::string_view> find_string(std::string_view key) const;
  std::optional<std::vector<std::string_view>> find_strings(std::string_view key) const;
  /// One integer or an array of them: some models give counts per layer.
  std::optional<std::vector<std::int64_t>> find_ints(std::string_view key) const;
  const std::string& where() const { return where_; }
  /// All keys, by name.
  const std::map<std::string_view, GgufValue>& values() const { return values_; }

 private:
  const GgufValue* find(std::string_view key) const;
  std::string where_;
  std::map<std::string_view, GgufValue> values_;
};

struct GgufContents {
  GgufMetadata metadata;
  std::vector<StoredTensor> tensors;  ///< in file order
};

/// Parses the header, the metadata and the tensor table of a GGUF file (versions 2 and 3, little endian).
///   file = "GGUF", u32 version, u64 tensors, u64 keys, {key, value}, {name, u32 n, u64 dimensions[n], u32 type, u64
///   offset}, pad, data
/// Checked: counts against the bytes that are left, string and array lengths, duplicate names, dimensions, block sizes,
/// alignment, and that tensors lie inside the data section without overlap.
/// @throws FormatError, ConfigError (version, byte order or tensor type that is not supported)
GgufContents parse_gguf(std::span<const std::byte> file, std::string_view where);

}  // namespace kvgauge
