#include "support/paths.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace kvgauge::testing {

std::filesystem::path repo_path(const std::string& relative) {
  return std::filesystem::path(KVGAUGE_SOURCE_DIR) / relative;
}

std::filesystem::path shared_path(const std::string& relative) {
  if (const char* const folder = std::getenv("KVGAUGE_SHARED")) return std::filesystem::path(folder) / relative;
  return std::filesystem::path(KVGAUGE_SOURCE_DIR).parent_path() / "shared" / relative;
}

std::filesystem::path model_path(const std::string& name) {
  if (const char* const folder = std::getenv("KVGAUGE_MODELS")) return std::filesystem::path(folder) / name;
  const char* const home = std::getenv("HOME");
  return std::filesystem::path(home ? home : "/") / ".cache/kvgauge/models" / name;
}

std::string missing_model(const std::string& name) { return name + " is not there: run scripts/fetch_models.sh"; }

TempDir::TempDir() {
  std::string name = (std::filesystem::temp_directory_path() / "kvgauge-test-XXXXXX").string();
  if (!::mkdtemp(name.data())) throw std::runtime_error("no temporary directory");
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

void write_file(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary);
  if (!file.write(bytes.data(), static_cast<std::streamsize>(bytes.size())))
    throw std::runtime_error("cannot write " + path.string());
}

std::uint64_t test_seed(std::uint64_t fallback) {
  const char* const text = std::getenv("KVGAUGE_SEED");
  const std::uint64_t seed = text ? std::strtoull(text, nullptr, 10) : fallback;
  std::printf("seed %llu (KVGAUGE_SEED to override)\n", static_cast<unsigned long long>(seed));
  return seed;
}

}  // namespace kvgauge::testing
