#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace kvgauge::testing {

/// A golden file in safetensors form, read whole and without the product's loader: named arrays of F32, F64 or I32.
class GoldenTensors {
 public:
  /// @throws std::runtime_error naming the file if it is absent or malformed
  explicit GoldenTensors(const std::filesystem::path& path);

  bool has(const std::string& name) const { return entries_.count(name) != 0; }
  const std::vector<std::int64_t>& shape(const std::string& name) const { return entry(name).shape; }
  /// Values of an F32 or F64 tensor, row-major. @throws std::runtime_error if absent or of another type
  std::vector<double> reals(const std::string& name) const;
  /// Values of an I32 tensor.
  std::vector<std::int32_t> ints(const std::string& name) const;

 private:
  struct Entry {
    std::string dtype;
    std::vector<std::int64_t> shape;
    std::string bytes;
  };
  const Entry& entry(const std::string& name) const;

  std::string path_;
  std::map<std::string, Entry> entries_;
};

/// max|got - want| / max|want|; infinite if a size or a finite/non-finite pattern differs.
double relative_error(const std::vector<double>& got, const std::vector<double>& want);

}  // namespace kvgauge::testing
