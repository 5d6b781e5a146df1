#pragma once
#include <CLI/App.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "control/difficulty_head.h"
#include "engine/prompt.h"
#include "engine/think_tags.h"
#include "grade/grader.h"
#include "kvgauge/engine.h"
#include "report/input_row.h"

namespace kvgauge::cli {

/// Of verbs that ask questions in both modes and grade the answers.
struct QuestionOptions {
  std::string dataset = "exact";
  const CLI::Option* dataset_flag = nullptr;
  /// native: the chat template around the row's messages or question; paper: the paper's wording, without a system
  /// turn, where the fast and the slow prompt differ (METHOD.md F.3)
  std::string prompt_set = "native";
  std::string prompt_template;
  ThinkText tags;  ///< what is empty is found in the model

  Dataset graded_as() const { return parse_dataset(dataset); }
  bool paper() const { return prompt_set == "paper"; }
};

void add_question_options(CLI::App& app, QuestionOptions& options);
/// @throws UsageError
void check_questions(const QuestionOptions& options);

/// How questions become prompts that end before the think tags.
class QuestionPrompts {
 public:
  /// @throws UsageError for a model without think tags or chat template, and for the paper's set one without the turn
  /// markers of Qwen or DeepSeek
  QuestionPrompts(const Engine& engine, const QuestionOptions& options);

  const ThinkTags& tags() const { return style_.tags; }
  /// The prompt behind which the tags of a fast or slow answer go. @throws RequestError: this row cannot be run
  std::vector<std::int32_t> slow(const InputRow& row) const { return tokens(row, "thinking"); }
  std::vector<std::int32_t> fast(const InputRow& row) const { return tokens(row, "direct answering"); }
  /// The set's name and 12 digits of a hash over what it writes: prompts of equal ids are made alike.
  const std::string& id() const { return id_; }
  /// @param path the head's file @throws InputError unless it was trained on prompts that are made like these
  void check_head(const DifficultyHead& head, const std::string& path) const;

 private:
  std::vector<std::int32_t> tokens(const InputRow& row, const char* ability) const;
  std::string paper_text(const std::string& question, const char* ability) const;

  Prompter prompter_;
  bool paper_;
  ThinkStyle style_;
  std::string user_, assistant_;  ///< turn markers of the paper's set
  std::string id_;
};

}  // namespace kvgauge::cli
