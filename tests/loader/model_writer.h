#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/json.h"

namespace kvgauge::testing {

/// A little-endian number as bytes.
template <class T>
std::string bytes_of(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

/// A safetensors file made of any JSON header text and any data, right or wrong.
inline std::string safetensors_file(const std::string& header, const std::string& data) {
  return bytes_of(static_cast<std::uint64_t>(header.size())) + header + data;
}
std::string safetensors_entry(const std::string& dtype, const std::vector<std::int64_t>& shape, std::uint64_t begin,
                              std::uint64_t end);

/// Writes GGUF bytes; counts, version and alignment can be falsified after construction.
class GgufWriter {
 public:
  std::string magic = "GGUF";
  std::uint32_t version = 3;
  std::int64_t extra_keys = 0, extra_tensors = 0;  ///< added to the true counts in the header
  std::uint64_t alignment = 32;  ///< of the data section; the key general.alignment is not written by itself

  void key(const std::string& name, std::uint32_t type, const std::string& value_bytes);
  void key_u32(const std::string& name, std::uint32_t value) { key(name, 4, bytes_of(value)); }
  void key_i32(const std::string& name, std::int32_t value) { key(name, 5, bytes_of(value)); }
  void key_f32(const std::string& name, float value) { key(name, 6, bytes_of(value)); }
  void key_bool(const std::string& name, bool value) { key(name, 7, bytes_of(static_cast<std::uint8_t>(value))); }
  void key_string(const std::string& name, const std::string& value) { key(name, 8, string(value)); }
  void key_strings(const std::string& name, const std::vector<std::string>& values);
  void key_ints(const std::string& name, const std::vector<std::int32_t>& values);
  /// Removes a key or a tensor again, to write the file without it.
  void remove_key(const std::string& name);
  void remove_tensor(const std::string& name);

  struct Tensor {
    std::string name;
    std::vector<std::uint64_t> dimensions;  ///< columns first, as GGUF has them
    std::uint32_t type = 0;
    std::string data;
    std::int64_t offset = -1;  ///< -1: after the tensors before it
  };
  Tensor& tensor(const std::string& name, const std::vector<std::uint64_t>& dimensions, std::uint32_t type,
                 const std::string& data);
  Tensor& find_tensor(const std::string& name);

  std::string header() const;  ///< everything before the padding of the data section
  std::string bytes() const;

  static std::string string(const std::string& text) {
    return bytes_of(static_cast<std::uint64_t>(text.size())) + text;
  }

 private:
  struct Key {
    std::string name, bytes;
  };
  std::vector<Key> keys_;
  std::vector<Tensor> tensors_;
};

/// A complete Llama, Qwen2 or Qwen3 of two layers with zero weights: hidden 32, 2 heads, 1 KV head of 16, intermediate
/// 48, 300 tokens.
GgufWriter tiny_gguf(const std::string& architecture);

/// The same as a Hugging Face folder, in parts that a test changes before it writes them.
struct TinyFolder {
  OrderedJson config;
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> tensors;  ///< name, shape; all F32 zeros
  Json tokenizer, tokenizer_config, generation_config;

  std::string weights() const;  ///< model.safetensors
  void write(const std::filesystem::path& folder) const;
};
TinyFolder tiny_folder(const std::string& architecture);

}  // namespace kvgauge::testing
