#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "engine/prompt.h"
#include "kvgauge/thinking.h"

namespace kvgauge {

/// How a model marks its thinking, as text. What is empty is asked of the model's chat template.
struct ThinkText {
  std::string open;         ///< begins a think block: `<think>\n`
  std::string close;        ///< ends it: `</think>\n\n`
  std::string fast_prefix;  ///< an empty block
};

/// Think tags of a model, and how prompts end before them.
struct ThinkStyle {
  ThinkText text;
  ThinkTags tags;
  std::optional<bool> thinking;  ///< enable_thinking of the rendering that `tail` ends
  std::string tail;              ///< what the template writes behind the bare prompt then

  /// The prompt up to its think tags. @throws RequestError as Prompter::render
  std::string bare_prompt(const Prompter& prompter, const OrderedJson& messages, const OrderedJson& tools) const;
};

/// Reads the tags off what the chat template writes with enable_thinking true and false; a template that knows no such
/// switch (or always opens a block) gives METHOD.md G.3's strings, if `</think>` is a token of the model or a word of
/// the template.
/// @param wanted overrides; what is empty there is looked for
/// @throws UsageError for a model without think tags
ThinkStyle find_think_style(const Prompter& prompter, const std::string& template_source, const ThinkText& wanted = {});

/// What of an answer stands behind its think blocks, and behind the space that follows the last of them; all of it if
/// it has none, nothing if it ends inside one. @param opened the prompt ended with an open block
std::string_view behind_thinking(std::string_view answer, const ThinkText& tags, bool opened);

/// Whether the chat template itself leaves out the think blocks of earlier answers (Qwen3's, DeepSeek-R1's).
bool template_drops_thinking(const Prompter& prompter);

}  // namespace kvgauge
