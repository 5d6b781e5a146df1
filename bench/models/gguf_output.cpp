#include "models/gguf_output.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <system_error>

#include "core/cat.h"
#include "core/check.h"
#include "kvgauge/error.h"

namespace kvgauge::bench {
namespace {

constexpr std::uint64_t kAlignment = 32;  // GGUF's default, which needs no key

template <class T>
std::string bytes_of(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}
std::string text(std::string_view value) { return bytes_of(static_cast<std::uint64_t>(value.size())).append(value); }
std::string number(GgufType type) { return bytes_of(static_cast<std::uint32_t>(type)); }
std::string array_head(GgufType element, std::uint64_t count) { return number(element) + bytes_of(count); }
std::uint64_t padding(std::uint64_t size) { return (kAlignment - size % kAlignment) % kAlignment; }

/// ggml's numbers of the tensor types.
std::uint32_t tensor_type(StoredType type) {
  switch (type) {
    case StoredType::kF32: return 0;
    case StoredType::kF16: return 1;
    case StoredType::kQ4_0: return 2;
    case StoredType::kQ4_1: return 3;
    case StoredType::kQ5_0: return 6;
    case StoredType::kQ5_1: return 7;
    case StoredType::kQ8_0: return 8;
    case StoredType::kQ4_K: return 12;
    case StoredType::kQ5_K: return 13;
    case StoredType::kQ6_K: return 14;
    case StoredType::kBF16: return 30;
  }
  KVGAUGE_CHECK(false, "stored type ", static_cast<int>(type));
  return 0;
}

void put(std::ofstream& file, std::string_view bytes) {
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

/// A file that is removed with the object, unless it was renamed.
struct Temporary {
  std::filesystem::path path;
  ~Temporary() {
    std::error_code absent;
    std::filesystem::remove(path, absent);
  }
};

}  // namespace

void GgufOutput::add_key(std::string_view key, GgufType type, std::string bytes) {
  std::string value = number(type) + std::move(bytes);
  const auto known = std::find_if(keys_.begin(), keys_.end(), [&](const auto& entry) { return entry.first == key; });
  if (known != keys_.end())
    known->second = std::move(value);
  else
    keys_.emplace_back(key, std::move(value));
}

void GgufOutput::set_u32(std::string_view key, std::uint32_t value) {
  add_key(key, GgufType::kUint32, bytes_of(value));
}
void GgufOutput::set_f32(std::string_view key, float value) { add_key(key, GgufType::kFloat32, bytes_of(value)); }
void GgufOutput::set_bool(std::string_view key, bool value) {
  add_key(key, GgufType::kBool, bytes_of(static_cast<std::uint8_t>(value)));
}
void GgufOutput::set_string(std::string_view key, std::string_view value) {
  add_key(key, GgufType::kString, text(value));
}
void GgufOutput::set_strings(std::string_view key, std::span<const std::string> values) {
  std::string bytes = array_head(GgufType::kString, values.size());
  for (const std::string& value : values) bytes += text(value);
  add_key(key, GgufType::kArray, std::move(bytes));
}
void GgufOutput::set_ints(std::string_view key, std::span<const std::int32_t> values) {
  std::string bytes = array_head(GgufType::kInt32, values.size());
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  add_key(key, GgufType::kArray, std::move(bytes));
}

void GgufOutput::set(std::string_view key, const GgufValue& value) {
  std::string bytes;
  if (value.type == GgufType::kArray) bytes = array_head(value.element, value.count);
  if (value.type == GgufType::kString) bytes = bytes_of(static_cast<std::uint64_t>(value.bytes.size()));
  bytes.append(reinterpret_cast<const char*>(value.bytes.data()), value.bytes.size());
  add_key(key, value.type, std::move(bytes));
}

void GgufOutput::add_tensor(std::string name, StoredType type, std::int64_t rows, std::int64_t columns) {
  const auto elements = static_cast<std::uint64_t>(std::max<std::int64_t>(rows, 1) * columns);
  tensors_.push_back({std::move(name), type, rows, columns, stored_bytes(type, elements)});
}

std::string GgufOutput::header() const {
  std::string bytes = "GGUF" + bytes_of(std::uint32_t{3}) + bytes_of(static_cast<std::uint64_t>(tensors_.size())) +
                      bytes_of(static_cast<std::uint64_t>(keys_.size()));
  for (const auto& [key, value] : keys_) bytes += text(key) + value;
  std::uint64_t offset = 0;
  for (const Tensor& t : tensors_) {
    bytes += text(t.name) + bytes_of(std::uint32_t{t.rows == 0 ? 1u : 2u}) + bytes_of(t.columns);
    if (t.rows > 0) bytes += bytes_of(t.rows);
    bytes += bytes_of(tensor_type(t.type)) + bytes_of(offset);
    offset += t.bytes + padding(t.bytes);
  }
  return bytes.append(padding(bytes.size()), '\0');
}

void GgufOutput::write(const std::filesystem::path& path, const Fill& fill) const {
  const Temporary temporary{path.string() + ".tmp"};
  std::ofstream file(temporary.path, std::ios::binary);
  put(file, header());
  std::vector<std::byte> data;
  for (std::size_t i = 0; i < tensors_.size() && file; ++i) {
    data.assign(tensors_[i].bytes + padding(tensors_[i].bytes), std::byte{0});
    fill(i, std::span(data).first(tensors_[i].bytes));
    put(file, {reinterpret_cast<const char*>(data.data()), data.size()});
  }
  file.close();
  std::error_code error;
  if (file) std::filesystem::rename(temporary.path, path, error);
  if (!file || error)
    throw OutputError(cat(path.string(), ": cannot be written, a folder with room for it was needed"));
}

}  // namespace kvgauge::bench
