#include <algorithm>
#include <cctype>

#include "grade/answer_text.h"
#include "grade/datasets.h"

namespace kvgauge {
namespace {

bool is_letter(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) != 0 || static_cast<unsigned char>(c) >= 0x80;
}
bool is_alnum(char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '_'; }
char upper(char c) { return static_cast<char>(std::toupper(static_cast<unsigned char>(c))); }

// Without the marks that surround a letter; \text{ and the like leave their content.
std::string plain(std::string_view text) {
  std::string out;
  for (const char c : clean_math(text.substr(0, 512)))
    if (c != '*' && c != '$' && c != '(' && c != '{' && c != '}' && c != '[' && c != '"' && c != '\'') out += c;
  return std::string(trimmed(out));
}

bool starts_with_word(std::string_view text, std::string_view word) {
  if (text.size() < word.size()) return false;
  for (std::size_t i = 0; i < word.size(); ++i)
    if (std::tolower(static_cast<unsigned char>(text[i])) != word[i]) return false;
  return text.size() == word.size() || !is_alnum(text[word.size()]);
}

// A second letter behind the first: "A or B", "A, C", "A/B", "A and B"
bool names_another(std::string_view rest) {
  rest = trimmed(rest);
  if (!rest.empty() && rest[0] == ')') rest = trimmed(rest.substr(1));
  bool is_joined = false;
  for (const std::string_view joint : {"or", "and"})
    if (starts_with_word(rest, joint)) {
      rest = trimmed(rest.substr(joint.size()));
      is_joined = true;
    }
  while (!rest.empty() && (rest[0] == ',' || rest[0] == '/' || rest[0] == '&' || rest[0] == ' ')) {
    rest.remove_prefix(1);
    is_joined = true;
  }
  for (const std::string_view joint : {"or", "and"})
    if (is_joined && starts_with_word(rest, joint)) rest = trimmed(rest.substr(joint.size()));
  if (!is_joined || rest.empty() || rest[0] < 'A' || rest[0] > 'E') return false;
  return rest.size() == 1 || !is_alnum(rest[1]);
}

// The letter that a statement starts with; 0 for none, two, or one beyond E.
char letter_of(std::string_view statement, bool must_stand_alone) {
  const std::string text = plain(statement);
  std::string_view view = text;
  for (const std::string_view lead : {"option", "choice", "letter", "answer"})
    if (starts_with_word(view, lead)) {
      view = trimmed(view.substr(lead.size()));
      while (!view.empty() && (view[0] == ':' || view[0] == ' ')) view.remove_prefix(1);
    }
  if (view.empty() || upper(view[0]) < 'A' || upper(view[0]) > 'E' || (view.size() > 1 && is_alnum(view[1])))
    return '\0';
  const std::string_view rest = view.substr(1);
  if (names_another(rest)) return '\0';
  const std::string_view next = trimmed(rest);
  // "a bank" has an article, "A bank" a letter; "A's" is no letter
  if (view[0] == 'a' && !next.empty() && next.data() != rest.data() && is_letter(next[0])) return '\0';
  if (must_stand_alone && !next.empty() && next[0] != ')' && next[0] != '.' && next[0] != ':' && next[0] != ']')
    return '\0';
  return upper(view[0]);
}

}  // namespace

std::optional<std::string> csqa_answer(std::string_view visible) {
  const StatedAnswer stated = stated_answer(visible);
  const bool is_stated = stated.marker != StatedAnswer::Marker::kNone;
  const char letter = is_stated ? letter_of(stated.text, false) : letter_of(trimmed(stated.before), true);
  return letter == 0 ? std::nullopt : std::optional(std::string(1, letter));
}

std::string csqa_gold(std::string_view gold) {
  const char letter = letter_of(trimmed(gold), false);
  return letter == 0 ? std::string(trimmed(gold)) : std::string(1, letter);
}

}  // namespace kvgauge
