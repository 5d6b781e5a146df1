#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

namespace kvgauge::testing {

/// A file of the repository, e.g. repo_path("tests/golden/bf16.json").
std::filesystem::path repo_path(const std::string& relative);

/// The project's shared reference files (../shared beside the checkout, or $KVGAUGE_SHARED); may not exist:
/// tests that need one call GTEST_SKIP() naming it.
std::filesystem::path shared_path(const std::string& relative);

/// A file that scripts/fetch_models.sh prepares, e.g. model_path("SmolLM2-135M-Instruct.Q4_1.gguf"), in $KVGAUGE_MODELS
/// or
/// ~/.cache/kvgauge/models; may not exist: tests that need one have the label `model` and skip with
/// missing_model(name).
std::filesystem::path model_path(const std::string& name);
std::string missing_model(const std::string& name);

/// A new empty directory under the system's temporary folder, removed with the object.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// The whole file as bytes. Fails the test run loudly if it is absent.
std::string read_file(const std::filesystem::path& path);
void write_file(const std::filesystem::path& path, const std::string& bytes);

/// Seed for a property test: $KVGAUGE_SEED if set, else `fallback`. Printed once so that a failure can be replayed.
std::uint64_t test_seed(std::uint64_t fallback);

}  // namespace kvgauge::testing
