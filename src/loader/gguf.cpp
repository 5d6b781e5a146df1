#include "loader/gguf.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <set>

#include "core/cat.h"
#include "core/load_bytes.h"
#include "core/printable.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace {

constexpr std::uint64_t kMostKeys = 1 << 16, kMostTensors = 1 << 17;
constexpr int kMostNesting = 4;  // of arrays in arrays

const char* type_name(GgufType type) {
  static constexpr std::array<const char*, 13> kNames{"uint8",  "int8",    "uint16", "int16",  "uint32",
                                                      "int32",  "float32", "bool",   "string", "array",
                                                      "uint64", "int64",   "float64"};
  return kNames[static_cast<std::size_t>(type)];
}

/// Bytes of a number or truth value; 0 for strings and arrays.
std::uint64_t scalar_bytes(GgufType type) {
  static constexpr std::array<std::uint8_t, 13> kBytes{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return kBytes[static_cast<std::size_t>(type)];
}

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Takes bytes from the front of a span; every read is checked against what is left.
class Reader {
 public:
  Reader(std::span<const std::byte> bytes, std::string_view where) : bytes_(bytes), where_(where) {}

  std::span<const std::byte> take(std::uint64_t bytes, std::string_view what) {
    if (bytes > left())
      throw FormatError(cat(where_, ": ", printable(what), " at byte ", position_, " needs ", bytes,
                            " bytes, the file has ", left(), " left; it is truncated or damaged"));
    const auto part = bytes_.subspan(position_, bytes);
    position_ += bytes;
    return part;
  }
  template <class T>
  T number(std::string_view what) {
    return load_bytes<T>(take(sizeof(T), what).data());
  }
  std::string_view string(std::string_view what) { return as_text(take(number<std::uint64_t>(what), what)); }
  GgufType type(std::string_view what) {
    const auto value = number<std::uint32_t>(what);
    if (value > static_cast<std::uint32_t>(GgufType::kFloat64))
      throw FormatError(cat(where_, ": ", printable(what), " has value type ", value, ", 0 to 12 was needed"));
    return static_cast<GgufType>(value);
  }
  std::uint64_t left() const { return bytes_.size() - position_; }
  std::uint64_t position() const { return position_; }

 private:
  std::span<const std::byte> bytes_;
  std::string_view where_;
  std::uint64_t position_ = 0;
};

void skip_elements(Reader& reader, GgufType element, std::uint64_t count, std::string_view key, int nesting,
                   std::string_view where) {
  if (const std::uint64_t size = scalar_bytes(element); size > 0) {
    reader.take(count > reader.left() ? count : count * size, key);
    return;
  }
  if (nesting > kMostNesting)
    throw FormatError(cat(where, ": ", printable(key), " nests arrays deeper than ", kMostNesting));
  for (std::uint64_t i = 0; i < count; ++i) {  // each takes at least eight bytes, so an absurd count ends with the file
    if (element == GgufType::kString) {
      reader.string(key);
    } else {
      const GgufType inner = reader.type(key);
      skip_elements(reader, inner, reader.number<std::uint64_t>(key), key, nesting + 1, where);
    }
  }
}

GgufValue read_value(Reader& reader, std::span<const std::byte> file, std::string_view key, std::string_view where) {
  GgufValue value;
  value.type = reader.type(key);
  if (value.type == GgufType::kString) {
    const std::string_view text = reader.string(key);
    value.bytes = std::as_bytes(std::span(text));
  } else if (value.type == GgufType::kArray) {
    value.element = reader.type(key);
    value.count = reader.number<std::uint64_t>(key);
    const std::uint64_t begin = reader.position();
    skip_elements(reader, value.element, value.count, key, 1, where);
    value.bytes = file.subspan(begin, reader.position() - begin);
  } else {
    value.bytes = reader.take(scalar_bytes(value.type), key);
  }
  return value;
}

void read_metadata(Reader& reader, std::span<const std::byte> file, std::uint64_t keys, GgufMetadata& metadata) {
  for (std::uint64_t i = 0; i < keys; ++i) {
    const std::string_view key = reader.string(cat("metadata key ", i));
    if (!metadata.add(key, read_value(reader, file, key, metadata.where())))
      throw FormatError(cat(metadata.where(), ": the key '", printable(key), "' is there twice, once was needed"));
  }
}

/// ggml's numbers of the tensor types, with the names of those that we refuse.
StoredType tensor_type(std::uint32_t type, const std::string& where) {
  switch (type) {
    case 0: return StoredType::kF32;
    case 1: return StoredType::kF16;
    case 2: return StoredType::kQ4_0;
    case 3: return StoredType::kQ4_1;
    case 6: return StoredType::kQ5_0;
    case 7: return StoredType::kQ5_1;
    case 8: return StoredType::kQ8_0;
    case 12: return StoredType::kQ4_K;
    case 13: return StoredType::kQ5_K;
    case 14: return StoredType::kQ6_K;
    case 30: return StoredType::kBF16;
    default: break;
  }
  static const std::map<std::uint32_t, const char*> kRefused{
      {9, "Q8_1"},   {10, "Q2_K"},   {11, "Q3_K"},  {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"},
      {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"}, {22, "IQ2_S"}, {23, "IQ4_XS"},  {24, "I8"},     {25, "I16"},
      {26, "I32"},   {27, "I64"},    {28, "F64"},   {29, "IQ1_M"}, {34, "TQ1_0"},   {35, "TQ2_0"},  {39, "MXFP4"}};
  const auto known = kRefused.find(type);
  const std::string found = known == kRefused.end() ? cat("number ", type) : known->second;
  throw ConfigError(
      cat(where, "type ", found,
          " is not supported, F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K or Q6_K was needed"));
}

struct TensorEntry {
  StoredTensor tensor;
  std::uint64_t offset = 0, bytes = 0;
};

TensorEntry read_entry(Reader& reader, std::uint64_t index, std::string_view file) {
  TensorEntry t;
  t.tensor.name = reader.string(cat("the name of tensor ", index));
  const std::string where = cat(file, ": tensor '", printable(t.tensor.name), "': ");
  const auto dimensions = reader.number<std::uint32_t>(t.tensor.name);
  if (dimensions < 1 || dimensions > 4)
    throw FormatError(cat(where, "has ", dimensions, " dimensions, 1 to 4 were needed"));
  std::array<std::uint64_t, 4> shape{1, 1, 1, 1};
  for (std::uint32_t i = 0; i < dimensions; ++i) shape[i] = reader.number<std::uint64_t>(t.tensor.name);
  std::uint64_t elements = 1;
  for (const std::uint64_t count : shape) {
    if (count == 0 || count > (std::uint64_t{1} << 60) / elements)
      throw FormatError(cat(where, "the dimensions [", join(shape), "] are zero or overflow"));
    elements *= count;
  }
  t.tensor.type = tensor_type(reader.number<std::uint32_t>(t.tensor.name), where);
  if (const auto block = static_cast<std::uint64_t>(block_elements(t.tensor.type)); shape[0] % block != 0)
    throw FormatError(cat(where, "rows of ", shape[0], " values, a multiple of the ", block, " of a ",
                          name(t.tensor.type), " block was needed"));
  t.tensor.columns = static_cast<std::int64_t>(shape[0]);
  t.tensor.rows = static_cast<std::int64_t>(elements / shape[0]);
  t.bytes = stored_bytes(t.tensor.type, elements);
  t.offset = reader.number<std::uint64_t>(t.tensor.name);
  return t;
}

void place_in_data(std::vector<TensorEntry>& entries, std::span<const std::byte> data, std::uint64_t alignment,
                   std::string_view file) {
  std::vector<const TensorEntry*> by_offset;
  for (TensorEntry& t : entries) {
    const std::string where = cat(file, ": tensor '", printable(t.tensor.name), "': ");
    if (t.offset > data.size() || t.bytes > data.size() - t.offset)
      throw FormatError(cat(where, t.bytes, " bytes at offset ", t.offset, " lie outside the data section of ",
                            data.size(), " bytes; the file is truncated or damaged"));
    if (t.offset % alignment != 0)
      throw FormatError(cat(where, "offset ", t.offset, " is no multiple of the alignment ", alignment));
    t.tensor.data = data.subspan(t.offset, t.bytes);
    by_offset.push_back(&t);
  }
  std::sort(by_offset.begin(), by_offset.end(),
            [](const TensorEntry* a, const TensorEntry* b) { return a->offset < b->offset; });
  for (std::size_t i = 1; i < by_offset.size(); ++i)
    if (by_offset[i]->offset < by_offset[i - 1]->offset + by_offset[i - 1]->bytes)
      throw FormatError(cat(file, ": tensor '", printable(by_offset[i]->tensor.name), "': starts at offset ",
                            by_offset[i]->offset, " and overlaps '", printable(by_offset[i - 1]->tensor.name), "'"));
}

void check_count(std::uint64_t count, std::uint64_t most, std::uint64_t bytes_each, const Reader& reader,
                 const char* what, std::string_view where) {
  if (count > most || count > reader.left() / bytes_each)
    throw FormatError(cat(where, ": the header counts ", count, " ", what, ", at most ", most, " that fit the file's ",
                          reader.left(), " remaining bytes were needed"));
}

std::uint64_t data_begin(const GgufMetadata& metadata, std::uint64_t header_end) {
  const std::int64_t alignment = metadata.find_int("general.alignment").value_or(32);
  if (alignment < 1 || alignment > (1 << 20) || !std::has_single_bit(static_cast<std::uint64_t>(alignment)))
    throw FormatError(cat(metadata.where(), ": 'general.alignment' is ", alignment, ", a power of two up to ", 1 << 20,
                          " was needed"));
  const auto unit = static_cast<std::uint64_t>(alignment);
  return (header_end + unit - 1) / unit * unit;
}

void check_version(std::uint32_t version, std::string_view where) {
  if (version == 2 || version == 3) return;
  if (version != 0 && (version & 0xffffu) == 0)
    throw ConfigError(cat(where, ": a big-endian GGUF file is not supported, little endian was needed"));
  throw ConfigError(cat(where, ": GGUF version ", version, " is not supported, 2 or 3 was needed"));
}

FormatError wrong_type(const GgufMetadata& metadata, std::string_view key, const GgufValue& value, const char* needed) {
  return FormatError(
      cat(metadata.where(), ": '", printable(key), "' is ", type_name(value.type), ", ", needed, " was needed"));
}

/// The integer at p, or nullopt if the type is none or the value exceeds int64.
std::optional<std::int64_t> integer(GgufType type, const std::byte* p) {
  switch (type) {
    case GgufType::kUint8: return load_bytes<std::uint8_t>(p);
    case GgufType::kInt8: return load_bytes<std::int8_t>(p);
    case GgufType::kUint16: return load_bytes<std::uint16_t>(p);
    case GgufType::kInt16: return load_bytes<std::int16_t>(p);
    case GgufType::kUint32: return load_bytes<std::uint32_t>(p);
    case GgufType::kInt32: return load_bytes<std::int32_t>(p);
    case GgufType::kInt64: return load_bytes<std::int64_t>(p);
    case GgufType::kUint64:
      if (const auto value = load_bytes<std::uint64_t>(p); value <= static_cast<std::uint64_t>(INT64_MAX))
        return static_cast<std::int64_t>(value);
      return std::nullopt;
    default: return std::nullopt;
  }
}

}  // namespace

const GgufValue* GgufMetadata::find(std::string_view key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

std::optional<std::int64_t> GgufMetadata::find_int(std::string_view key) const {
  const GgufValue* const value = find(key);
  if (!value) return std::nullopt;
  const auto number = integer(value->type, value->bytes.data());
  if (!number) throw wrong_type(*this, key, *value, "an integer below 2^63");
  return number;
}

std::optional<double> GgufMetadata::find_number(std::string_view key) const {
  const GgufValue* const value = find(key);
  if (!value) return std::nullopt;
  if (value->type == GgufType::kFloat32) return static_cast<double>(load_bytes<float>(value->bytes.data()));
  if (value->type == GgufType::kFloat64) return load_bytes<double>(value->bytes.data());
  const auto number = integer(value->type, value->bytes.data());
  if (!number) throw wrong_type(*this, key, *value, "a number");
  return static_cast<double>(*number);
}

std::optional<bool> GgufMetadata::find_bool(std::string_view key) const {
  const GgufValue* const value = find(key);
  if (!value) return std::nullopt;
  if (value->type != GgufType::kBool) throw wrong_type(*this, key, *value, "bool");
  return std::to_integer<int>(value->bytes[0]) != 0;
}

std::optional<std::string_view> GgufMetadata::find_string(std::string_view key) const {
  const GgufValue* const value = find(key);
  if (!value) return std::nullopt;
  if (value->type != GgufType::kString) throw wrong_type(*this, key, *value, "a string");
  return as_text(value->bytes);
}

std::optional<std::vector<std::string_view>> GgufMetadata::find_strings(std::string_view key) const {
  const GgufValue* const value = find(key);
  if (!value) return std::nullopt;
  if (value->type != GgufType::kArray || value->element != GgufType::kString)
    throw wrong_type(*this, key, *value, "an array of strings");
  Reader reader(value->bytes, where_);
  std::vector<std::string_view> strings;
  strings.reserve(value->count);  // every one was read by parse_gguf, so the count is bounded by the file
  for (std::uint64_t i = 0; i < value->count; ++i) strings.push_back(reader.string(key));
  return strings;
}

std::optional<std::vector<std::int64_t>> GgufMetadata::find_ints(std::string_view key) const {
  const GgufValue* const value = find(key);
  if (!value) return std::nullopt;
  const bool is_array = value->type == GgufType::kArray;
  const GgufType type = is_array ? value->element : value->type;
  const std::uint64_t size = scalar_bytes(type);
  std::vector<std::int64_t> numbers;
  for (std::uint64_t i = 0; i < value->count; ++i) {
    const auto number = size == 0 ? std::nullopt : integer(type, value->bytes.data() + i * size);
    if (!number) throw wrong_type(*this, key, *value, "integers below 2^63");
    numbers.push_back(*number);
  }
  return numbers;
}

GgufContents parse_gguf(std::span<const std::byte> file, std::string_view where) {
  Reader reader(file, where);
  if (file.size() < 4 || as_text(reader.take(4, "magic")) != "GGUF")
    throw FormatError(
        cat(where, ": does not start with 'GGUF', a Hugging Face model folder or a .gguf file was needed"));
  check_version(reader.number<std::uint32_t>("version"), where);
  const auto tensors = reader.number<std::uint64_t>("tensor count");
  const auto keys = reader.number<std::uint64_t>("key count");
  check_count(keys, kMostKeys, 13, reader, "metadata keys", where);  // a key's length, its type, one byte
  check_count(tensors, kMostTensors, 32, reader, "tensors", where);  // a name's length, dimensions, type, offset
  GgufContents contents{GgufMetadata(where), {}};
  read_metadata(reader, file, keys, contents.metadata);
  std::vector<TensorEntry> entries;
  std::set<std::string_view> names;
  entries.reserve(tensors);  // never grows again: `names` views strings inside it
  for (std::uint64_t i = 0; i < tensors; ++i) {
    entries.push_back(read_entry(reader, i, where));
    if (!names.insert(entries.back().tensor.name).second)
      throw FormatError(
          cat(where, ": tensor '", printable(entries.back().tensor.name), "' is there twice, once was needed"));
  }
  const std::uint64_t begin = std::min<std::uint64_t>(data_begin(contents.metadata, reader.position()), file.size());
  const auto alignment = static_cast<std::uint64_t>(contents.metadata.find_int("general.alignment").value_or(32));
  place_in_data(entries, file.subspan(begin), alignment, where);
  for (TensorEntry& t : entries) contents.tensors.push_back(std::move(t.tensor));
  return contents;
}

}  // namespace kvgauge
