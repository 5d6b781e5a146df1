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
#include "loader/stored_tensor.h"
#include "text/tokenizer.h"

namespace kvgauge {

/// What the decoder asks for, under one name whatever the file calls it.
enum class TensorRole : std::uint8_t {
  kEmbedding,
  kOutputNorm,
  kOutputHead,  // layer = -1
  kAttentionNorm,
  kQ,
  kK,
  kV,
  kQBias,
  kKBias,
  kVBias,
  kQNorm,
  kKNorm,
  kAttentionOut,
  kFfnNorm,
  kGate,
  kUp,
  kDown,
};

/// An opened model: config, tokenizer spec, template, and every tensor's place, all checked; weights are not read yet.
class ModelFiles {
 public:
  /// @param path a Hugging Face folder or a .gguf file
  /// @throws InputError, FormatError, ConfigError: one line naming the file and what is missing, malformed or
  /// unsupported. After it returns, every tensor that `config()` implies exists with the right shape.
  static ModelFiles open(const std::filesystem::path& path);
  ModelFiles(ModelFiles&&) noexcept;
  ModelFiles& operator=(ModelFiles&&) noexcept;
  ~ModelFiles();

  const ModelConfig& config() const;
  const GenerationDefaults& generation() const;
  const TokenizerSpec& tokenizer() const;
  /// The Jinja source, if the model has one (chat_template.jinja, tokenizer_config.json or GGUF metadata).
  const std::optional<std::string>& chat_template() const;
  const std::string& chat_template_where() const;  ///< the file it came from, for messages
  /// Text of bos/eos tokens for the template; empty if the model has none.
  const std::string& bos_token() const;
  const std::string& eos_token() const;

  /// The role must be one that the config has (else a broken invariant); kOutputHead of a tied model is the embedding.
  const StoredTensor& tensor(TensorRole role, std::int64_t layer = -1) const;
  std::span<const StoredTensor> tensors() const;  ///< all, in file order (for `inspect`)

  /// Rows [first, first + count) of a matrix, widened. GGUF's permuted Llama q/k rows are put back into Hugging Face's
  /// (half-rotation) order here, so callers never see the difference.
  /// @param out count * columns values, row-major
  void read_rows(TensorRole role, std::int64_t layer, std::int64_t first, std::int64_t count, float* out) const;
  void read_rows(TensorRole role, std::int64_t layer, std::int64_t first, std::int64_t count, bf16_t* out) const;
  /// The same rows in the bytes of the tensor's stored type, in the same (half-rotation) order: count *
  /// stored_bytes(type, columns) bytes. Matrices only.
  void read_stored_rows(TensorRole role, std::int64_t layer, std::int64_t first, std::int64_t count,
                        std::byte* out) const;
  /// Drops a tensor's source bytes from memory after it has been packed (MappedFile::drop).
  void drop(TensorRole role, std::int64_t layer) const;

  /// 64 hex digits over the content that decides results: config, tokenizer and all tensor bytes (SHA-256 of a
  /// canonical listing with a strong hash of each tensor). Reads the whole file once; cached per object.
  std::string content_hash() const;

 private:
  ModelFiles();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kvgauge
