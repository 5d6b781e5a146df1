#include "question_prompts.h"

#include "core/cat.h"
#include "core/printable.h"
#include "core/sha256.h"
#include "kvgauge/error.h"
#include "loader/model_files.h"
#include "option_values.h"
#include "requests.h"
#include "thinking_options.h"

namespace kvgauge::cli {
namespace {

OrderedJson user_turn(const std::string& text) {
  OrderedJson messages = OrderedJson::array();
  messages.push_back({{"role", "user"}, {"content", text}});
  return messages;
}

}  // namespace

void add_question_options(CLI::App& app, QuestionOptions& o) {
  o.dataset_flag = add_text(app, "--dataset", o.dataset, "gsm8k|math|theoremqa|csqa|exact",
                            "how answers are read and compared, as in `kvgauge grade` (exact)");
  add_choice(app, "--prompt-set", o.prompt_set, {"native", "paper"},
             "native: the model's chat template; paper: the paper's wording (native)");
  add_text(app, "--prompt-template", o.prompt_template, "TEXT", "the user's turn, with {field} for fields of the row");
  add_tag_options(app, o.tags);
}

void check_questions(const QuestionOptions& o) {
  static_cast<void>(o.graded_as());
  if (o.paper() && !o.prompt_template.empty())
    throw UsageError("--prompt-template: --prompt-set paper has a wording of its own; drop one of them");
}

QuestionPrompts::QuestionPrompts(const Engine& engine, const QuestionOptions& options)
    : prompter_(prompter_of(engine)), paper_(options.paper()) {
  if (!engine.files().chat_template())
    throw UsageError("--model: the model has no chat template, which says where think tags go; choose one that has");
  style_ = find_think_style(prompter_, *engine.files().chat_template(), options.tags);
  std::string rendered;
  if (paper_) {
    const Tokenizer& tokenizer = engine.tokenizer();
    if (tokenizer.find("<|im_start|>") && tokenizer.find("<|im_end|>")) {
      user_ = "<|im_start|>user\n";
      assistant_ = "<|im_end|>\n<|im_start|>assistant\n";
    } else if (tokenizer.find("<｜User｜>") && tokenizer.find("<｜Assistant｜>")) {
      user_ = "<｜User｜> ";
      assistant_ = "<｜Assistant｜>\n";
    } else {
      throw UsageError(
          "--prompt-set: 'paper' was asked for, the tokenizer has the turn markers of neither Qwen nor DeepSeek; use "
          "native");
    }
    rendered = paper_text("?", "thinking") + paper_text("?", "direct answering");
  } else {
    rendered = cat(style_.bare_prompt(prompter_, user_turn("?"), nullptr), '\0', options.prompt_template);
  }
  const std::string hash =
      sha256_hex(cat(rendered, '\0', style_.text.open, '\0', style_.text.close, '\0', style_.text.fast_prefix));
  id_ = cat(paper_ ? "paper " : "native ", hash.substr(0, 12));
}

void QuestionPrompts::check_head(const DifficultyHead& head, const std::string& path) const {
  if (head.template_set != id_)
    throw InputError(cat(path, ": template set '", printable(head.template_set), "' was found, '", id_,
                         "' was needed, as the prompt set, --prompt-template and the think tags make it"));
}

std::string QuestionPrompts::paper_text(const std::string& question, const char* ability) const {
  return cat(user_, "You are a math problem solver. For the following question, solve it using your ", ability,
             " ability.\nHere is the question:\n", question, "\n", assistant_);
}

std::vector<std::int32_t> QuestionPrompts::tokens(const InputRow& row, const char* ability) const {
  if (row.plain || row.thinking)
    throw RequestError(
        "the row fixes how its prompt ends; messages or a question were needed, without chat_template_kwargs");
  const bool has_messages = !row.messages.is_null();
  if (!paper_)
    return prompter_.tokens_of_chat(
        style_.bare_prompt(prompter_, has_messages ? row.messages : user_turn(row.prompt), row.tools));
  if (has_messages) throw RequestError("messages: the paper's prompts are made of a question; use --prompt-set native");
  return prompter_.tokens_of_chat(paper_text(row.prompt, ability));
}

}  // namespace kvgauge::cli
