#include "engine/prompt.h"

#include <utility>

#include "core/cat.h"
#include "core/printable.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace {

// A content of parts ([{"type":"text","text":...}]) as one string: what templates expect of text.
OrderedJson flattened(const OrderedJson& content, std::size_t number) {
  std::string text;
  for (const OrderedJson& part : content) {
    const bool is_text = part.is_object() && part.contains("type") && part.at("type") == "text" &&
                         part.contains("text") && part.at("text").is_string();
    if (!is_text)
      throw RequestError(
          cat("messages: message ", number,
              " has a content part that is not text, only {\"type\":\"text\",\"text\":...} can be read"));
    text += part.at("text").get_ref<const std::string&>();
  }
  return text;
}

OrderedJson checked_messages(const OrderedJson& messages) {
  if (!messages.is_array() || messages.empty())
    throw RequestError(cat("messages: found ", messages.is_array() ? "an empty array" : messages.type_name(),
                           ", an array with at least one message was needed"));
  OrderedJson checked = messages;
  for (std::size_t i = 0; i < checked.size(); ++i) {
    OrderedJson& message = checked[i];
    if (!message.is_object() || !message.contains("role") || !message.at("role").is_string())
      throw RequestError(cat("messages: message ", i + 1,
                             " is no object with a 'role' string, {\"role\":...,\"content\":...} was needed"));
    OrderedJson* const content = message.contains("content") ? &message.at("content") : nullptr;
    const bool calls_tools = message.contains("tool_calls");
    if (!content || content->is_null()) {
      if (!calls_tools) throw RequestError(cat("messages: message ", i + 1, " has no 'content', a string was needed"));
    } else if (content->is_array()) {
      *content = flattened(*content, i + 1);
    } else if (!content->is_string()) {
      throw RequestError(
          cat("messages: the content of message ", i + 1, " is ", content->type_name(), ", a string was needed"));
    }
  }
  return checked;
}

// Text to tokens, with the BOS that the tokenizer would put in front unless the text has it already. An EOS that some
// tokenizers append is left out: a prompt goes on.
std::vector<std::int32_t> with_bos(const Prompter& prompter, std::string_view text) {
  const Tokenizer& tokenizer = *prompter.tokenizer;
  std::vector<std::int32_t> ids = tokenizer.encode(text);
  const std::optional<std::int32_t> bos =
      prompter.bos_token.empty() ? std::nullopt : tokenizer.find(prompter.bos_token);
  if (!bos || (!ids.empty() && ids.front() == *bos)) return ids;
  const std::vector<std::int32_t> around = tokenizer.encode("", {.parse_added = true, .add_special = true});
  if (!around.empty() && around.front() == *bos) ids.insert(ids.begin(), *bos);
  return ids;
}

}  // namespace

std::string Prompter::render(const OrderedJson& messages, const OrderedJson& tools,
                             std::optional<bool> thinking) const {
  if (!chat_template)
    throw RequestError("messages: the model has no chat template to render them with; give a 'prompt' and --no-chat");
  if (!tools.is_null() && !tools.is_array())
    throw RequestError(cat("tools: found ", tools.type_name(), ", an array was needed"));
  OrderedJson variables = OrderedJson::object();
  variables["messages"] = checked_messages(messages);
  variables["tools"] = tools.empty() ? OrderedJson() : tools;
  variables["add_generation_prompt"] = true;
  variables["bos_token"] = bos_token;
  variables["eos_token"] = eos_token;
  if (thinking) variables["enable_thinking"] = *thinking;
  return chat_template->render(variables);
}

std::vector<std::int32_t> Prompter::tokens_of_chat(std::string_view rendered) const {
  return with_bos(*this, rendered);
}

std::vector<std::int32_t> Prompter::tokens_of_text(std::string_view text) const { return with_bos(*this, text); }

}  // namespace kvgauge
