#pragma once
#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/mapped_file.h"
#include "loader/model_config.h"
#include "loader/stored_tensor.h"
#include "loader/tensor_names.h"
#include "text/tokenizer.h"

namespace kvgauge {

/// What a model's files say, before tensors are matched with roles. The views of `tensors` point into `files`.
struct OpenedFiles {
  std::string where;  ///< the file whose tensor list is meant, for messages
  std::vector<MappedFile> files;
  std::vector<StoredTensor> tensors;  ///< file after file, each in its own order
  std::vector<std::size_t> file_of;   ///< for every tensor, its index in `files`
  Naming naming = Naming::kHuggingFace;
  bool interleaved_heads = false;  ///< rows of each q and k head in GGUF's order for Llama: 0, d/2, 1, d/2 + 1, ...

  ModelConfig config;
  GenerationDefaults generation;
  TokenizerSpec tokenizer;
  std::optional<std::string> chat_template;
  std::string chat_template_where;
  std::string bos_token, eos_token;
};

/// @throws InputError, FormatError, ConfigError
OpenedFiles open_hugging_face_folder(const std::filesystem::path& folder);
OpenedFiles open_gguf_file(const std::filesystem::path& path);
/// The same from bytes that are mapped already; `files` stays empty.
OpenedFiles read_gguf_model(std::span<const std::byte> file, const std::string& where);

/// Id of the token with exactly this text, if the tokenizer has one.
std::optional<std::int32_t> find_token(const TokenizerSpec& spec, std::string_view text);

/// A tokenizer with more tokens than the embedding has rows is a contradiction. @throws FormatError
void check_tokenizer(const TokenizerSpec& spec, const ModelConfig& config, std::string_view where);

}  // namespace kvgauge
