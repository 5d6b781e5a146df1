#include "grade/plain_text.h"

#include <algorithm>
#include <cctype>
#include <vector>

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
  std::vector<bool> braces;  // whether each open one belongs to a text command
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
    } else if (c == '}' && !braces.empty() && braces.back()) {
      braces.pop_back();
      ++at;
    } else if (c == '$' || c == '`' || (c == '*' && at + 1 < text.size() && text[at + 1] == '*')) {
      at += c == '*' ? 2 : 1;
    } else if (c == '\\') {
      const std::string_view name = command_at(text, at);
      const char next = at + 1 < text.size() ? text[at + 1] : '\0';
      at += std::max<std::size_t>(2, name.size() + 1);
      if (is_text_command(name) && at < text.size() && text[at] == '{') {
        braces.push_back(true);
        ++at;
      } else if (name == "dfrac" || name == "tfrac" || name == "cfrac") {
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
      if (c == '{') braces.push_back(false);
      if (c == '}' && !braces.empty()) braces.pop_back();
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

namespace {

// The items of "red, blue and green" in alphabetical order, each without spaces and hyphens.
std::vector<std::string> sorted_items(std::string_view raw) {
  constexpr std::string_view kJoints[] = {" and ", " or ", ",", ";", "&"};
  std::vector<std::string> items;
  for (std::size_t at = 0; at <= raw.size();) {
    std::size_t end = raw.size(), joint = 1;
    for (std::size_t i = at; i < raw.size() && end == raw.size(); ++i)
      for (const std::string_view candidate : kJoints)
        if (end == raw.size() && raw.substr(i, candidate.size()) == candidate) {
          end = i;
          joint = candidate.size();
        }
    std::string item;
    for (const char c : plain_words(raw.substr(at, end - at)))
      if (c != ' ' && c != '-') item += c;
    if (!item.empty()) items.push_back(item);
    at = end + joint;
  }
  std::sort(items.begin(), items.end());
  return items;
}

}  // namespace

bool same_words(std::string_view a, std::string_view b) {
  const std::string left = plain_words(a), right = plain_words(b);
  if (left.empty() || left == right) return !left.empty();
  const auto is_letters = [](const std::string& words) { return std::none_of(words.begin(), words.end(), is_digit); };
  return is_letters(left) && is_letters(right) && sorted_items(a) == sorted_items(b);
}

bool is_wordy(std::string_view text) {
  const std::string words = plain_words(text);
  if (words.empty() ||
      std::any_of(words.begin(), words.end(), [](char c) { return is_digit(c) || c == '=' || c == '+' || c == '^'; }))
    return false;
  if (text.find("\\text") != std::string_view::npos || text.find("\\mbox") != std::string_view::npos) return true;
  return text.find('\\') == std::string_view::npos && is_prose(text) &&
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
  const std::string words = plain_words(text);
  long total = 0, group = 0;
  for (std::size_t at = 0; at < words.size();) {
    const std::size_t end = std::min(words.find_first_of(" -", at), words.size());
    const std::string_view word = std::string_view(words).substr(at, end - at);
    at = end + 1;
    if (word == "and" && group > 0) continue;
    const char* const digits = digits_of_word(word);
    if (!digits || total > 1'000'000'000) return {};
    const long value = std::stol(digits);
    if (value == 100) {
      group = std::min(std::max(group, 1L), 99L) * 100;
    } else if (value == 1000) {
      total += std::max(group, 1L) * 1000;
      group = 0;
    } else if (group % 100 != 0 && (group % 100 < 20 || value > 9)) {
      return {};  // "five six" is no number
    } else {
      group += value;
    }
  }
  return words.empty() ? std::string() : std::to_string(total + group);
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
