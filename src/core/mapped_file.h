#pragma once
#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

namespace kvgauge {

/// A whole file mapped read-only. Move-only; the mapping ends with the object.
class MappedFile {
 public:
  /// @throws InputError naming the path and the cause if it cannot be opened or mapped. An empty file maps to no bytes.
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }

  /// Tells the system that these bytes are not needed in memory any more (they can still be read: from disk again).
  /// Keeps peak memory at one copy of the weights while they are packed.
  void drop(std::span<const std::byte> part) const;

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace kvgauge
