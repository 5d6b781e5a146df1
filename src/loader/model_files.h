#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"
#include "loader/model_config.h"
#include "text/tokenizer.h"

namespace kvgauge {

/// Element types of a model file. Block types are GGUF's (32 or 256 elements a block).
enum class StoredType : std::uint8_t { kF32, kF16, kBF16, kQ8_0, kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ4_K, kQ5_K, kQ6_K };
const char* name(StoredType type);
/// Bytes of `elements` values; elements must be a multiple of the block size.
std::uint64_t stored_bytes(StoredType type, std::uint64_t elements);
std::int64_t block_elements(StoredType type);

/// A tensor where it lies in the mapped file: row-major [rows, columns] (or [columns] for vectors, rows = 1).
struct StoredTensor {
  std::string name;                      ///< as the file spells it
  StoredType type = StoredType::kF32;
  std::int64_t rows = 0, columns = 0;
  std::span<const std::byte> data;
};

/// What the decoder asks for, under one name whatever the file calls it.
enum class TensorRole : std::uint8_t {
  kEmbedding, kOutputNorm, kOutputHead,                       // layer = -1
  kAttentionNorm, kQ, kK, kV, kQBias, kKBias, kVBias, kQNorm, kKNorm, kAttentionOut, kFfnNorm, kGate, kUp, kDown,
};

/// An opened model: config, tokenizer spec, template, and every tensor's place, all checked; weights are not read yet.
class ModelFiles {
 public:
  /// @param path a Hugging Face folder or a .gguf file
  /// @throws InputError, FormatError, ConfigError: one line naming the file and what is missing, malformed or unsupported.
  /// After it returns, every tensor that `config()` implies exists with the right shape.
  static ModelFiles open(const std::filesystem::path& path);
  ModelFiles(ModelFiles&&) noexcept;
  ModelFiles& operator=(ModelFiles&&) noexcept;
  ~ModelFiles();

  const ModelConfig& config() const;
  const GenerationDefaults& generation() const;
  const TokenizerSpec& tokenizer() const;
  /// The Jinja source, if the model has one (chat_template.jinja, tokenizer_config.json or GGUF metadata).
  const std::optional<std::string>& chat_template() const;
  const std::string& chat_template_where() const;   ///< the file it came from, for messages
  /// Text of bos/eos tokens for the template; empty if the model has none.
  const std::string& bos_token() const;
  const std::string& eos_token() const;

  const StoredTensor& tensor(TensorRole role, std::int64_t layer = -1) const;
  std::span<const StoredTensor> tensors() const;      ///< all, in file order (for `inspect`)

  /// Rows [first, first + count) of a matrix, widened. GGUF's permuted Llama q/k rows are put back into Hugging Face's
  /// (half-rotation) order here, so callers never see the difference.
  /// @param out count * columns values, row-major
  void read_rows(TensorRole role, std::int64_t layer, std::int64_t first, std::int64_t count, float* out) const;
  void read_rows(TensorRole role, std::int64_t layer, std::int64_t first, std::int64_t count, bf16_t* out) const;
  /// Drops a tensor's source bytes from memory after it has been packed (MappedFile::drop).
  void drop(TensorRole role, std::int64_t layer) const;

  /// 64 hex digits over the content that decides results: config, tokenizer and all tensor bytes (SHA-256 of a canonical
  /// listing with a strong hash of each tensor). Reads the whole file once; cached per object.
  std::string content_hash() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Widens `elements` values of any stored type (a multiple of the block size). Exact for f16/bf16/f32; the block formulas
/// are those of ggml's reference dequantisation.
void widen(StoredType type, const std::byte* source, std::int64_t elements, float* out);

}  // namespace kvgauge
