#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "loader/model_config.h"

namespace kvgauge {

/// config.json of a Hugging Face folder. `stored_dtype` is left at its default: the tensors decide.
/// @throws FormatError (malformed, contradictory), ConfigError naming what is not supported
ModelConfig parse_config_json(std::string_view text, std::string_view where);

/// The ids that config.json gives (`eos_token_id`, `bos_token_id`); used where generation_config.json has none.
GenerationDefaults parse_generation_json(std::string_view text, std::string_view where);

/// What tokenizer_config.json says beside tokenizer.json.
struct TokenizerConfig {
  std::optional<std::string> chat_template;  ///< the string, or the one named "default" of a list
  std::string bos_token, eos_token;          ///< empty if absent or null
  /// `add_bos_token`, `add_eos_token`: if either is given, the two replace what tokenizer.json's post-processor adds.
  std::optional<bool> add_bos, add_eos;
};
TokenizerConfig parse_tokenizer_config_json(std::string_view text, std::string_view where);

/// Checks what holds for any decoder whatever file described it: positive counts within bounds, heads % kv_heads == 0,
/// ...
/// @throws FormatError
void check_model_config(const ModelConfig& config, std::string_view where);

/// Ids that lie outside the vocabulary are an error naming the key. @throws FormatError
void check_generation(const GenerationDefaults& generation, const ModelConfig& config, std::string_view where);

}  // namespace kvgauge
