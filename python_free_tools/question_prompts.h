#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "common_options.h"
#include "engine/prompt.h"
#include "engine/think_tags.h"
#include "report/input_row.h"

namespace kvgauge::cli {

/// How questions become prompts that end before the think tags (METHOD.md F.3).
enum class PromptSet : std::uint8_t {
  kNative,  ///< the chat template around the row's messages or question
  kPaper,   ///< the paper's wording, without a system turn; the fast and the slow prompt differ
};

class QuestionPrompts {
 public:
  struct Options {
    PromptSet set = PromptSet::kNative;
    PromptOptions prompts = {};
    ThinkText tags = {};  ///< what is empty is found in the model
  };

  /// @throws UsageError for a model without think tags or chat template, and for the paper's set one without the turn
  /// markers of Qwen or DeepSeek
  QuestionPrompts(const Engine& engine, const Options& options);

  const ThinkTags& tags() const { return style_.tags; }
  /// The prompt behind which the tags of a fast or slow answer go. @throws RequestError: this row cannot be run
  std::vector<std::int32_t> slow(const InputRow& row) const { return tokens(row, "thinking"); }
  std::vector<std::int32_t> fast(const InputRow& row) const { return tokens(row, "direct answering"); }
  /// The set's name and 12 digits of a hash over what it writes: prompts of equal ids are made alike.
  const std::string& id() const { return id_; }

 private:
  std::vector<std::int32_t> tokens(const InputRow& row, const char* ability) const;
  std::string paper_text(const std::string& question, const char* ability) const;

  Prompter prompter_;
  Options options_;
  ThinkStyle style_;
  std::string user_, assistant_;  ///< turn markers of the paper's set
  std::string id_;
};

}  // namespace kvgauge::cli
