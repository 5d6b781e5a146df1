#include "engine/think_tags.h"

#include <string_view>

#include "core/cat.h"
#include "core/printable.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace {

constexpr std::string_view kOpen = "<think>", kClose = "</think>";

// What follows the last `tag` of a text, the tag included; empty if there is none.
std::string_view from_last(std::string_view text, std::string_view tag) {
  const std::size_t at = text.rfind(tag);
  return at == std::string_view::npos ? std::string_view() : text.substr(at);
}

bool only_space(std::string_view text) { return text.find_first_not_of(" \t\r\n") == std::string_view::npos; }

std::string trimmed(std::string_view text) {
  const std::size_t last = text.find_last_not_of(" \t\r\n");
  return std::string(text.substr(0, last == std::string_view::npos ? 0 : last + 1));
}

}  // namespace

ThinkStyle find_think_style(const Prompter& prompter, const std::string& template_source, const ThinkText& wanted) {
  const bool told = !wanted.open.empty() && !wanted.close.empty() && !wanted.fast_prefix.empty();
  if (!told && !prompter.tokenizer->find(kClose) && template_source.find(kClose) == std::string::npos)
    throw UsageError(cat("--think: the model has no think tags: ", kClose,
                         " is neither a token of its tokenizer nor in its chat template; leave --think out, or give "
                         "--think-open, --think-close and --fast-prefix"));
  ThinkStyle style{.text = wanted, .tags = {}, .thinking = std::nullopt, .tail = {}};
  OrderedJson probe = OrderedJson::array();
  probe.push_back({{"role", "user"}, {"content", "?"}});

  const std::string off = prompter.render(probe, nullptr, false);
  const std::string_view empty_block = from_last(off, kOpen);
  std::string bare;
  if (const std::string_view close = from_last(empty_block, kClose);
      !close.empty() && only_space(close.substr(kClose.size()))) {
    style.thinking = false;
    style.tail = empty_block;
    bare = off.substr(0, off.size() - style.tail.size());
    if (style.text.fast_prefix.empty()) style.text.fast_prefix = empty_block;
    if (style.text.close.empty()) style.text.close = close;
  } else {
    bare = prompter.render(probe, nullptr, std::nullopt);
    if (const std::string_view tail = from_last(bare, kOpen);
        !tail.empty() && only_space(tail.substr(kOpen.size()))) {  // a template that always opens a block
      style.tail = tail;
      bare.resize(bare.size() - style.tail.size());
    }
  }
  if (style.text.open.empty()) {
    const std::string on = prompter.render(probe, nullptr, true);
    const bool opens = on.starts_with(bare) && std::string_view(on).substr(bare.size()).starts_with(kOpen);
    style.text.open = opens ? on.substr(bare.size()) : cat(kOpen, "\n");
  }
  if (style.text.close.empty()) style.text.close = cat(kClose, "\n\n");
  if (style.text.fast_prefix.empty()) style.text.fast_prefix = cat(style.text.open, style.text.close);

  const auto tokens = [&](const std::string& text, const char* flag) {
    auto ids = prompter.tokenizer->encode(text);
    if (ids.empty()) throw UsageError(cat(flag, ": '", printable(text), "' has no token, at least one was needed"));
    return ids;
  };
  style.tags = {.open = tokens(style.text.open, "--think-open"),
                .close = tokens(style.text.close, "--think-close"),
                .fast_prefix = tokens(style.text.fast_prefix, "--fast-prefix"),
                .end = tokens(trimmed(style.text.close), "--think-close")};
  return style;
}

std::string_view behind_thinking(std::string_view answer, const ThinkText& tags, bool opened) {
  const std::string open_tag = trimmed(tags.open), close_tag = trimmed(tags.close);
  const std::string_view open = open_tag.empty() ? kOpen : open_tag, close = close_tag.empty() ? kClose : close_tag;
  const std::size_t last_open = answer.rfind(open), last_close = answer.rfind(close);
  if (last_close == std::string_view::npos)
    return opened || last_open != std::string_view::npos ? std::string_view() : answer;
  if (last_open != std::string_view::npos && last_open > last_close) return {};
  answer.remove_prefix(last_close + close.size());
  const std::size_t first = answer.find_first_not_of(" \t\r\n");
  return first == std::string_view::npos ? std::string_view() : answer.substr(first);
}

bool template_drops_thinking(const Prompter& prompter) {
  constexpr const char* kThought = "kvgauge-thought";
  OrderedJson probe = OrderedJson::array();
  probe.push_back({{"role", "user"}, {"content", "?"}});
  probe.push_back({{"role", "assistant"}, {"content", cat(kOpen, "\n", kThought, "\n", kClose, "\n\n!")}});
  probe.push_back({{"role", "user"}, {"content", "?"}});
  return prompter.render(probe, nullptr, std::nullopt).find(kThought) == std::string::npos;
}

std::string ThinkStyle::bare_prompt(const Prompter& prompter, const OrderedJson& messages,
                                    const OrderedJson& tools) const {
  std::string prompt = prompter.render(messages, tools, thinking);
  if (!prompt.ends_with(tail))
    throw RequestError(cat("messages: the chat template ends this prompt with '",
                           printable(prompt.substr(prompt.size() - std::min(prompt.size(), tail.size()))), "', '",
                           printable(tail), "' was needed to find where think tags go"));
  prompt.resize(prompt.size() - tail.size());
  return prompt;
}

}  // namespace kvgauge
