#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "core/json.h"

namespace kvgauge {

/// A Jinja chat template, parsed whole at load. Rendering equals Jinja2's with trim_blocks and lstrip_blocks
/// (what transformers uses), for the language subset listed in docs/chat_templates.md; anything else is refused at
/// load.
class ChatTemplate {
 public:
  /// @throws FormatError "where:line:column: ..." naming the construct that is malformed or not supported
  explicit ChatTemplate(std::string source, std::string_view where = "chat template");
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  /// @param variables an object: messages, tools, add_generation_prompt, enable_thinking, bos_token, eos_token, ...
  /// @throws RequestError for raise_exception(), type errors, or output, recursion and step limits
  std::string render(const OrderedJson& variables) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kvgauge
