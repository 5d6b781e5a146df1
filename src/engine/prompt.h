#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace kvgauge {

/// Turns messages or plain text into prompt tokens, by the model's own template. Non-owning.
struct Prompter {
  const Tokenizer* tokenizer = nullptr;
  const ChatTemplate* chat_template = nullptr;  ///< nullptr: only plain text
  std::string bos_token, eos_token;             ///< handed to the template

  /// @param messages array of {"role","content",...}; @param thinking enable_thinking of the template, nullopt =
  /// undefined
  /// @throws RequestError (no template, a template error, an invalid message)
  std::string render(const OrderedJson& messages, const OrderedJson& tools, std::optional<bool> thinking) const;
  /// Rendered text to tokens: added tokens are parsed, nothing is added around (the template writes BOS itself; a BOS
  /// the tokenizer would add is added only if the text does not begin with it).
  std::vector<std::int32_t> tokens_of_chat(std::string_view rendered) const;
  /// Plain text to tokens (--no-chat): the tokenizer's own prefix (BOS) is added, added tokens are parsed.
  std::vector<std::int32_t> tokens_of_text(std::string_view text) const;
};

}  // namespace kvgauge
