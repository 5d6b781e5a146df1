#include "loader/safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/cat.h"
#include "core/json.h"
#include "core/printable.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace {

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the format's own reader

std::string_view header_text(std::span<const std::byte> file, std::string_view where) {
  if (file.size() < kLengthBytes)
    throw FormatError(cat(where, ": found ", file.size(), " bytes, a safetensors file has at least ", kLengthBytes));
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), kLengthBytes);
  const std::uint64_t available = file.size() - kLengthBytes;
  if (length > available)
    throw FormatError(cat(where, ": header length ", length, ", but only ", available,
                          " bytes follow; the file is truncated or no safetensors file"));
  if (length > kMaxHeaderBytes)
    throw FormatError(cat(where, ": header length ", length, ", at most ", kMaxHeaderBytes, " was needed"));
  return {reinterpret_cast<const char*>(file.data()) + kLengthBytes, static_cast<std::size_t>(length)};
}

struct TensorEntry {
  StoredTensor tensor;
  std::uint64_t begin = 0, end = 0, elements = 1;
  std::vector<std::uint64_t> shape;
};

StoredType stored_type(const std::string& dtype, const std::string& where) {
  for (const StoredType type : {StoredType::kF32, StoredType::kF16, StoredType::kBF16})
    if (dtype == name(type)) return type;
  throw ConfigError(cat(where, "dtype ", printable(dtype), " is not supported, F32, F16 or BF16 was needed"));
}

std::vector<std::uint64_t> counts(const Json& list, const char* key, const std::string& where) {
  if (!list.is_array()) throw FormatError(cat(where, "'", key, "' is ", list.type_name(), ", an array was needed"));
  std::vector<std::uint64_t> values;
  for (const Json& value : list) {
    if (!value.is_number_unsigned()) throw FormatError(cat(where, "'", key, "' holds something other than counts"));
    values.push_back(value.get<std::uint64_t>());
  }
  return values;
}

/// Bytes that the shape needs. Fills elements.
std::uint64_t checked_bytes(TensorEntry& t, const std::string& where) {
  constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max() / 8);
  t.elements = 1;
  for (const std::uint64_t count : t.shape) {
    if (count != 0 && t.elements > kMax / count)
      throw FormatError(cat(where, "the shape [", join(t.shape), "] overflows"));
    t.elements *= count;
  }
  return stored_bytes(t.tensor.type, t.elements);
}

void check_entry(TensorEntry& t, std::uint64_t data_bytes, const std::string& where) {
  if (t.begin > t.end || t.end > data_bytes)
    throw FormatError(
        cat(where, "bytes [", t.begin, ", ", t.end, ") lie outside the data section of ", data_bytes, " bytes"));
  if (const auto need = checked_bytes(t, where); need != t.end - t.begin)
    throw FormatError(cat(where, name(t.tensor.type), "[", join(t.shape), "] needs ", need, " bytes, the header gives ",
                          t.end - t.begin));
}

TensorEntry read_entry(const std::string& tensor_name, const Json& value, std::span<const std::byte> data,
                       std::string_view file) {
  const std::string where = cat(file, ": tensor '", printable(tensor_name), "': ");
  const std::string_view member_where = std::string_view(where).substr(0, where.size() - 2);
  TensorEntry t;
  t.tensor.name = tensor_name;
  t.tensor.type = stored_type(get_string(value, "dtype", member_where), where);
  t.shape = counts(get_member(value, "shape", member_where), "shape", where);
  const auto offsets = counts(get_member(value, "data_offsets", member_where), "data_offsets", where);
  if (offsets.size() != 2)
    throw FormatError(cat(where, "'data_offsets' has ", offsets.size(), " numbers, 2 were needed"));
  if (t.shape.size() > 8)
    throw FormatError(cat(where, "the shape has ", t.shape.size(), " dimensions, at most 8 were needed"));
  t.begin = offsets[0];
  t.end = offsets[1];
  check_entry(t, data.size(), where);
  const std::uint64_t columns = t.shape.empty() ? 1 : t.shape.back();
  t.tensor.columns = static_cast<std::int64_t>(columns);
  t.tensor.rows = columns == 0 ? 0 : static_cast<std::int64_t>(t.elements / columns);
  t.tensor.data = data.subspan(t.begin, t.end - t.begin);
  return t;
}

void check_coverage(const std::vector<TensorEntry>& sorted, std::uint64_t data_bytes, std::string_view where) {
  std::uint64_t covered = 0;
  for (const TensorEntry& t : sorted) {
    if (t.begin != covered)
      throw FormatError(cat(
          where, ": tensor '", printable(t.tensor.name), "': starts at byte ", t.begin,
          t.begin < covered ? " and overlaps the tensor before it, which ends at " : " and leaves a gap after byte ",
          covered));
    covered = t.end;
  }
  if (covered != data_bytes)
    throw FormatError(
        cat(where, ": the tensors end at byte ", covered, " of ", data_bytes, " data bytes, all of which were needed"));
}

struct Contents {
  std::vector<TensorEntry> entries;  ///< in the order of their bytes
  Json metadata;                     ///< as it stands in the file, or null
};

Contents parse(std::span<const std::byte> file, std::string_view where) {
  const std::string_view text = header_text(file, where);
  const Json header = parse_json_unique(text, where);
  if (!header.is_object())
    throw FormatError(cat(where, ": the header is ", header.type_name(), ", an object was needed"));
  const auto data = file.subspan(kLengthBytes + text.size());
  Contents contents;
  for (const auto& [key, value] : header.items()) {
    if (key == "__metadata__")
      contents.metadata = value;
    else
      contents.entries.push_back(read_entry(key, value, data, where));
  }
  std::sort(contents.entries.begin(), contents.entries.end(), [](const TensorEntry& a, const TensorEntry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  check_coverage(contents.entries, data.size(), where);
  return contents;
}

}  // namespace

std::vector<StoredTensor> parse_safetensors(std::span<const std::byte> file, std::string_view where) {
  Contents parsed = parse(file, where);
  std::vector<StoredTensor> tensors;
  for (TensorEntry& t : parsed.entries) tensors.push_back(std::move(t.tensor));
  return tensors;
}

SafetensorsContents read_safetensors(std::span<const std::byte> file, std::string_view where) {
  Contents parsed = parse(file, where);
  SafetensorsContents contents;
  for (TensorEntry& t : parsed.entries) contents.tensors.push_back({std::move(t.tensor), std::move(t.shape)});
  if (parsed.metadata.is_null()) return contents;
  if (!parsed.metadata.is_object())
    throw FormatError(cat(where, ": '__metadata__' is ", parsed.metadata.type_name(), ", an object was needed"));
  for (const auto& [key, value] : parsed.metadata.items()) {
    if (!value.is_string())
      throw FormatError(
          cat(where, ": metadata '", printable(key), "' is ", value.type_name(), ", a string was needed"));
    contents.metadata[key] = value.get<std::string>();
  }
  return contents;
}

std::string safetensors_header(const std::vector<WrittenTensor>& tensors,
                               const std::vector<std::pair<std::string, std::string>>& metadata) {
  OrderedJson json = OrderedJson::object();
  if (!metadata.empty()) json["__metadata__"] = OrderedJson::object();
  for (const auto& [key, value] : metadata) json["__metadata__"][key] = value;
  std::int64_t begin = 0;
  for (const WrittenTensor& tensor : tensors) {
    std::int64_t end = sizeof(float);
    for (const std::int64_t count : tensor.shape) end *= count;
    end += begin;
    json[tensor.name] = {{"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
    begin = end;
  }
  std::string text = json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::string header;
  for (int i = 0; i < 8; ++i) header += static_cast<char>(text.size() >> (8 * i) & 0xff);
  return header + text;
}

}  // namespace kvgauge
