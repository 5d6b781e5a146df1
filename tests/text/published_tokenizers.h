#pragma once
#include <filesystem>

#include "core/json.h"
#include "text/tokenizer.h"

namespace kvgauge::testing {

/// The tokenizers of published models, from the files that scripts/fetch_models.sh prepares.
TokenizerSpec smollm2_spec(const std::filesystem::path& gguf);
TokenizerSpec qwen3_spec(const std::filesystem::path& tiktoken, const std::filesystem::path& special);
TokenizerSpec llama3_spec(const std::filesystem::path& vocab, const std::filesystem::path& special);

/// The spec as a tokenizer.json with the components that published files have; merges as pairs or as "a b".
std::string to_tokenizer_json(const TokenizerSpec& spec, bool merges_as_pairs);

}  // namespace kvgauge::testing
