#include "grade/plain_text.h"

#include <algorithm>
#include <cctype>

#include "grade/ascii_math.h"
#include "grade/math_words.h"

namespace kvgauge::math {
namespace {

bool is_alpha(char c) { return std::isalpha(static_cast<unsigned char>(c)) || static_cast<unsigned char>(c) >= 0x80; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alnum(char c) { return is_alpha(c) || is_digit(c); }
bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }
char upper(char c) { return static_cast<char>(std::toupper(static_cast<unsigned char>(c))); }

// The command at `at`, without its backslash; empty for \, and the like.
std::string_view command_at(std::string_view text, std::size_t at) {
  std::size_t end = at + 1;
  while (end < text.size() && std::isalpha(static_cast<unsigned char>(text[end]))) ++end;
  return text.substr(at + 1, end - at - 1);
}

}  // namespace

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

std::string compact(std::string_view raw) {
  const std::string text = ascii_math(raw);
  std::string out;
  bool is_spaced = false;
  const auto put = [&](std::string_view part) {
    if (is_spaced && !out.empty() && !part.empty() && is_alnum(out.back()) && is_alnum(part.front())) out += ' ';
    is_spaced = false;
    out += part;
  };
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (is_space(c) || c == '~') {
      is_spaced = true;
      ++at;
    } else if (c == '$' || c == '`' || (c == '*' && at + 1 < text.size() && text[at + 1] == '*')) {
      at += c == '*' ? 2 : 1;
    } else if (c == '\\') {
      const std::string_view name = command_at(text, at);
      const char next = at + 1 < text.size() ? text[at + 1] : '\0';
      at += std::max<std::size_t>(2, name.size() + 1);
      if (name == "dfrac" || name == "tfrac" || name == "cfrac") {
        put("\\frac");
      } else if (name == "left" || name == "right" || name == "displaystyle" || name == "quad" || name == "qquad") {
        is_spaced = true;
      } else if (!name.empty()) {
        put(std::string("\\").append(name));
        is_spaced = true;  // \pi r: the space belongs to the command
        if (at < text.size() && !is_space(text[at]) && !is_alnum(text[at])) is_spaced = false;
      } else if (next == ',' || next == '!' || next == ';' || next == ':' || next == ' ' || next == '$' ||
                 next == '(' || next == ')' || next == '[' || next == ']') {
        is_spaced = is_spaced || next == ' ' || next == ';' || next == ':';
      } else {
        put(std::string("\\") + next);
      }
    } else {
      put(std::string_view(text).substr(at++, 1));
    }
  }
  while (!out.empty() && out.back() == '.') out.pop_back();
  return out;
}

std::string plain_words(std::string_view raw) {
  const std::string text = ascii_math(raw);
  std::string out;
  const auto space = [&] {
    if (!out.empty() && out.back() != ' ') out += ' ';
  };
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == '\\') {
      const std::string_view name = command_at(text, at);
      if (!name.empty() && !is_text_command(name) && !is_decoration(name)) {
        space();
        out += lower(name);
      }
      at += std::max<std::size_t>(2, name.size() + 1);
      space();
    } else {
      if (is_alnum(c) || c == '+' || c == '-' || c == '=' || c == '<' || c == '>' || c == '/' || c == '^' || c == ':' ||
          (c == '.' && at + 1 < text.size() && is_digit(text[at + 1])))
        out += lower(text.substr(at, 1));
      else if (c != '\'' && c != '.' && c != ',' && c != '"' && c != '{' && c != '}' && c != '*' && c != '$' &&
               c != '_')
        space();
      else if (c == ',')
        space();
      ++at;
    }
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  for (const std::string_view article : {"the ", "an ", "a "})
    if (out.compare(0, article.size(), article) == 0) out.erase(0, article.size());
  return out;
}

bool same_words(std::string_view a, std::string_view b) {
  const std::string left = plain_words(a);
  return !left.empty() && left == plain_words(b);
}

bool is_wordy(std::string_view text) {
  const std::string words = plain_words(text);
  if (words.empty() ||
      std::any_of(words.begin(), words.end(), [](char c) { return is_digit(c) || c == '=' || c == '+' || c == '^'; }))
    return false;
  if (text.find("\\text") != std::string_view::npos || text.find("\\mbox") != std::string_view::npos) return true;
  return text.find('\\') == std::string_view::npos && words.size() >= 2 &&
         std::all_of(words.begin(), words.end(), [](char c) { return is_alpha(c) || c == ' ' || c == '-'; });
}

bool is_prose(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == '\\') {
      at += std::max<std::size_t>(2, command_at(text, at).size() + 1);
      continue;
    }
    std::size_t end = at;
    while (end < text.size() && is_alpha(text[end])) ++end;
    const std::string_view word = text.substr(at, end - at);
    if (word.size() >= 3 && !function_name(word) && !plain_command(word)) return true;
    at = std::max(end, at + 1);
  }
  return false;
}

bool is_clock_time(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size() && is_digit(text[at])) ++at;
  if (at == 0 || at > 2) return false;
  const bool has_minutes = at + 2 < text.size() && text[at] == ':' && is_digit(text[at + 1]) && is_digit(text[at + 2]);
  std::string rest;
  for (const char c : lower(text.substr(has_minutes ? at + 3 : at)))
    if (is_alnum(c)) rest += c;
  if (rest.compare(0, 4, "text") == 0) rest.erase(0, 4);
  return rest == "am" || rest == "pm" || rest == "textam" || rest == "textpm";
}

std::string number_in_words(std::string_view text) {
  const char* const digits = digits_of_word(plain_words(text));
  return digits ? digits : "";
}

char lone_choice(std::string_view text) {
  const std::string words = plain_words(text);
  return words.size() == 1 && std::isalpha(static_cast<unsigned char>(words[0])) ? upper(words[0]) : '\0';
}

char stated_choice(std::string_view raw) {
  std::string text;
  for (std::size_t at = 0; at < raw.size() && text.size() < 8;) {
    if (raw[at] == '\\') {
      const std::string_view name = command_at(raw, at);
      if (!name.empty() && !is_text_command(name) && !is_decoration(name)) return '\0';
      at += std::max<std::size_t>(2, name.size() + 1);
      continue;
    }
    if (!(raw[at] == '{' || raw[at] == '}' || raw[at] == '$' || raw[at] == '*' || (text.empty() && is_space(raw[at]))))
      text += raw[at];
    ++at;
  }
  if (!text.empty() && text[0] == '(') {
    const bool is_letter = text.size() >= 3 && text[2] == ')' && text[1] >= 'A' && text[1] <= 'J';
    return is_letter ? text[1] : '\0';
  }
  if (text.empty() || text[0] < 'A' || text[0] > 'J') return '\0';
  return text.size() >= 2 &&
                 (text[1] == ')' || text[1] == ':' || (text[1] == '.' && text.size() >= 3 && text[2] == ' '))
             ? text[0]
             : '\0';
}

}  // namespace kvgauge::math
