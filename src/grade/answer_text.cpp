#include "grade/answer_text.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <utility>
#include <vector>

namespace kvgauge {
namespace {

constexpr std::string_view kSpaces = " \t\r\n\f\v";

bool starts_with(std::string_view text, std::size_t at, std::string_view word) {
  return text.substr(at, word.size()) == word;
}

// The position of the brace that closes the one at each position, kNone where there is none. \{ and \} are characters.
constexpr std::uint32_t kNone = 0xffffffff;
std::vector<std::uint32_t> closing_braces(std::string_view text) {
  std::vector<std::uint32_t> closing(text.size(), kNone), open;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '{') {
      open.push_back(static_cast<std::uint32_t>(i));
    } else if (text[i] == '}' && !open.empty()) {
      closing[open.back()] = static_cast<std::uint32_t>(i);
      open.pop_back();
    }
  }
  return closing;
}

struct Box {
  bool found = false;
  std::string_view content;
  std::size_t unclosed_at = std::string_view::npos;  // the first box after the last closed one
};

Box last_closed_box(std::string_view text) {
  Box box;
  std::vector<std::uint32_t> closing;
  for (std::size_t at = text.rfind('\\'); at != std::string_view::npos;
       at = at == 0 ? at - 1 : text.rfind('\\', at - 1)) {
    const std::size_t word = starts_with(text, at, "\\boxed") ? 6 : starts_with(text, at, "\\fbox") ? 5 : 0;
    if (word == 0) continue;
    std::size_t begin = at + word;
    if (begin < text.size() && std::isalpha(static_cast<unsigned char>(text[begin]))) continue;  // another command
    while (begin < text.size() && text[begin] == ' ') ++begin;
    if (begin < text.size() && text[begin] == '{') {
      if (closing.empty()) closing = closing_braces(text);
      if (closing[begin] == kNone) {
        box.unclosed_at = at;
        continue;
      }
      box.content = text.substr(begin + 1, closing[begin] - begin - 1);
    } else {
      const std::size_t end = std::min(text.find_first_of(" \t\r\n$", begin), text.size());
      if (begin == end) continue;
      box.content = text.substr(begin, end - begin);
    }
    box.found = true;
    return box;
  }
  return box;
}

std::string_view line_at(std::string_view text, std::size_t at) {
  return trimmed(text.substr(at, std::min(text.find('\n', at), text.size()) - at));
}

// "#### 18", at the start of a line or not; "#### 1. Add the eggs" and "#### Step 1" are headings, unless they end the
// text.
std::string_view last_hash_line(std::string_view text) {
  constexpr std::string_view kMark = "####";
  const char* const end_of_text = trimmed(text).data() + trimmed(text).size();
  std::string_view rest = text;  // up to the mark seen last, so that a line of many marks is read once
  for (std::size_t at = rest.rfind(kMark); at != std::string_view::npos; at = rest.rfind(kMark)) {
    const std::string_view line = line_at(rest, at + kMark.size());
    rest = text.substr(0, at);
    if (!rest.empty() && rest.back() == '#') continue;
    if (!line.empty() && line.data() + line.size() == end_of_text) return line;
    const std::size_t first = line.find_first_of("0123456789");
    const std::size_t after =
        first == std::string_view::npos ? line.size() : line.find_first_not_of("0123456789", first);
    const bool is_numbered_heading = after != std::string_view::npos && starts_with(line, after, ". ");
    const bool leads_with_number = first != std::string_view::npos &&
                                   std::none_of(line.begin(), line.begin() + static_cast<std::ptrdiff_t>(first),
                                                [](char c) { return std::isalpha(static_cast<unsigned char>(c)); });
    const bool is_one_word = !line.empty() && line.find_first_of(kSpaces) == std::string_view::npos;
    if (is_one_word || (leads_with_number && !is_numbered_heading)) return line;
  }
  return {};
}

// The end of the statement that starts at `at`: its line, or the whole of a displayed formula.
std::string_view statement_at(std::string_view text, std::size_t at) {
  for (const auto& [open, close] : {std::pair<std::string_view, std::string_view>{"\\[", "\\]"}, {"$$", "$$"}})
    if (starts_with(text, at, open))
      if (const std::size_t end = text.find(close, at + 2); end != std::string_view::npos)
        return text.substr(at, end + 2 - at);
  return line_at(text, at);
}

// "answer is 18", "Answer: 18", "**Answer:**\n18"
std::string_view last_answer_phrase(std::string_view text) {
  constexpr std::string_view kWord = "answer", kDecoration = " \t\r\n*_:";
  constexpr std::string_view kVerbs[] = {"is", "are", "would be", "should be", "must be", "will be", "=", ":"};
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  const std::string_view view = lower;
  for (std::size_t at = view.rfind(kWord); at != std::string_view::npos;
       at = at == 0 ? std::string_view::npos : view.rfind(kWord, at - 1)) {
    std::size_t next = at + kWord.size();
    if (next < view.size() && view[next] == 's') ++next;
    while (next < view.size() && (view[next] == ' ' || view[next] == '*')) ++next;
    std::size_t verb = 0;
    for (const std::string_view word : kVerbs)
      if (verb == 0 && starts_with(view, next, word)) verb = word.size();
    if (verb == 0) continue;
    next += verb;
    const bool is_longer_word = std::isalpha(static_cast<unsigned char>(view[next - 1])) && next < view.size() &&
                                std::isalnum(static_cast<unsigned char>(view[next]));
    if (is_longer_word) continue;
    next = std::min(view.find_first_not_of(kDecoration, next), view.size());
    const std::string_view statement = trimmed(statement_at(text, next));
    if (!statement.empty()) return statement;
  }
  return {};
}

struct Replacement {
  std::string_view from, to;
};
// Longer ones first where one starts another.
constexpr Replacement kReplacements[] = {
    {"^{\\circ}", ""},
    {"^\\circ", ""},
    {"\\left", ""},
    {"\\right", ""},
    {"\\dfrac", "\\frac"},
    {"\\tfrac", "\\frac"},
    {"\\cfrac", "\\frac"},
    {"\\cdot", "\\times"},
    {"\\$", ""},
    {"\\%", ""},
    {"\\,", ""},
    {"\\!", ""},
    {"\\;", " "},
    {"\\:", " "},
    {"\\ ", " "},
    {"\\(", ""},
    {"\\)", ""},
    {"\\[", ""},
    {"\\]", ""},
    {"{,}", ","},
    {"**", ""},
    {"`", ""},
    {"$", ""},
    {"%", ""},
    {"~", " "},
    {"\n", " "},
    {"\r", " "},
    {"\t", " "},
    {"\xe2\x88\x92", "-"},    // minus sign
    {"\xe2\x80\x93", "-"},    // en dash
    {"\xc3\x97", "\\times"},  // multiplication sign
    {"\xc2\xb0", ""},         // degree sign
    {"\xe2\x82\xac", ""},     // euro
    {"\xc2\xa3", ""},         // pound
    {"\xc2\xa5", ""},         // yen
    {"\xc2\xa0", " "},        // no-break space
    {"\xe2\x80\xaf", " "},    // narrow no-break space
    {"\xe2\x80\x89", " "},    // thin space
    {"\xef\xbc\x8c", ","},    // full-width comma
};
constexpr std::string_view kWrappers[] = {"\\text{",   "\\textbf{", "\\textit{", "\\textrm{", "\\mathrm{",
                                          "\\mathbf{", "\\mbox{",   "\\boxed{",  "\\fbox{"};

}  // namespace

std::string_view before_end_of_turn(std::string_view text) {
  constexpr std::string_view kMarkers[] = {"<|im_end|>",
                                           "<|eot_id|>",
                                           "<|eom_id|>",
                                           "<|end_of_text|>",
                                           "<|endoftext|>",
                                           "</s>",
                                           "<|end|>",
                                           "<end_of_turn>",
                                           "<\xef\xbd\x9c"
                                           "end\xe2\x96\x81"
                                           "of\xe2\x96\x81"
                                           "sentence\xef\xbd\x9c>"};
  for (std::size_t at = text.find('<'); at != std::string_view::npos; at = text.find('<', at + 1)) {
    const char next = at + 1 < text.size() ? text[at + 1] : '\0';
    if (next != '|' && next != '/' && next != 'e' && next != '\xef') continue;  // no marker goes on otherwise
    for (const std::string_view marker : kMarkers)
      if (starts_with(text, at, marker)) return text.substr(0, at);
  }
  return text;
}

std::string_view tail_of(std::string_view text) {
  return text.size() <= kLongestResponse ? text : text.substr(text.size() - kLongestResponse);
}

std::string_view after_thinking(std::string_view text) {
  constexpr std::string_view kClose = "</think>";
  const std::size_t at = text.rfind(kClose);
  return at == std::string_view::npos ? text : text.substr(at + kClose.size());
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kSpaces);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

StatedAnswer stated_answer(std::string_view text) {
  using Marker = StatedAnswer::Marker;
  const Box box = last_closed_box(text);
  const std::string_view usable = text.substr(0, box.unclosed_at);
  if (box.found) return {.marker = Marker::kBox, .text = trimmed(box.content), .before = usable};
  if (const std::string_view line = last_hash_line(usable); !line.empty())
    return {.marker = Marker::kHash, .text = line, .before = usable};
  if (const std::string_view phrase = last_answer_phrase(usable); !phrase.empty())
    return {.marker = Marker::kPhrase, .text = phrase, .before = usable};
  return {.marker = Marker::kNone, .text = {}, .before = usable};
}

std::vector<std::string_view> math_spans(std::string_view text) {
  std::vector<std::string_view> spans;
  for (std::size_t at = text.find_first_of("$\\"); at != std::string_view::npos; at = text.find_first_of("$\\", at)) {
    std::string_view open, close;
    for (const auto& [opening, closing] :
         {std::pair<std::string_view, std::string_view>{"\\(", "\\)"}, {"\\[", "\\]"}, {"$$", "$$"}, {"$", "$"}})
      if (open.empty() && starts_with(text, at, opening)) {
        open = opening;
        close = closing;
      }
    if (open.empty()) {
      at += 2;
      continue;
    }
    const std::size_t begin = at + open.size();
    std::size_t end = begin;
    while (end < text.size() && !starts_with(text, end, close))
      end += text[end] == '\\' && end + 1 < text.size() ? 2 : 1;
    if (end >= text.size()) break;
    if (const std::string_view inside = trimmed(text.substr(begin, end - begin)); !inside.empty())
      spans.push_back(inside);
    at = end + close.size();
  }
  return spans;
}

std::string clean_math(std::string_view text) {
  std::string out;
  std::vector<bool> brace_is_wrapper;  // of the braces open at this point
  for (std::size_t i = 0; i < text.size();) {
    const std::string_view* wrapper = nullptr;
    const Replacement* replacement = nullptr;
    if (text[i] == '\\')
      for (const std::string_view& word : kWrappers)
        if (starts_with(text, i, word)) wrapper = &word;
    if (wrapper) {
      out += ' ';
      brace_is_wrapper.push_back(true);
      i += wrapper->size();
      continue;
    }
    if (!std::isalnum(static_cast<unsigned char>(text[i])) && text[i] != ' ')  // the first character of none
      for (const Replacement& candidate : kReplacements)
        if (!replacement && starts_with(text, i, candidate.from)) replacement = &candidate;
    if (replacement) {
      out += replacement->to;
      i += replacement->from.size();
      continue;
    }
    if (text[i] == '\\' && i + 1 < text.size()) {  // \{ and \} are no braces
      out += text.substr(i, 2);
      i += 2;
      continue;
    }
    if (text[i] == '{') brace_is_wrapper.push_back(false);
    bool is_dropped = false;
    if (text[i] == '}' && !brace_is_wrapper.empty()) {
      is_dropped = brace_is_wrapper.back();
      brace_is_wrapper.pop_back();
    }
    if (!is_dropped) out += text[i];
    ++i;
  }
  std::string_view kept = trimmed(out);
  while (!kept.empty() && kept.back() == '.') kept = trimmed(kept.substr(0, kept.size() - 1));
  return std::string(kept);
}

}  // namespace kvgauge
