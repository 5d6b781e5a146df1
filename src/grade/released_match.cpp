#include "grade/released_match.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "grade/answer_text.h"
#include "grade/datasets.h"

namespace kvgauge {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string without_spaces(std::string_view text) {
  std::string out;
  std::copy_if(text.begin(), text.end(), std::back_inserter(out), [](char c) { return c != ' '; });
  return out;
}

// The first \boxed{..} with matching braces.
std::optional<std::string> first_box(std::string_view text) {
  constexpr std::string_view kBox = "\\boxed{";
  const std::size_t at = text.find(kBox);
  if (at == std::string_view::npos) return std::nullopt;
  int depth = 1;
  for (std::size_t i = at + kBox.size(); i < text.size(); ++i) {
    depth += text[i] == '{' ? 1 : text[i] == '}' ? -1 : 0;
    if (depth == 0) return without_spaces(text.substr(at + kBox.size(), i - at - kBox.size()));
  }
  return std::nullopt;
}

// The last of: digits, perhaps a point and digits; commas are nothing, nor is a sign.
std::optional<std::string> last_unsigned_number(std::string_view text) {
  std::string plain;
  plain.reserve(text.size());
  std::copy_if(text.begin(), text.end(), std::back_inserter(plain), [](char c) { return c != ','; });
  std::size_t begin = 0, length = 0;
  for (std::size_t at = 0; at < plain.size(); ++at) {
    std::size_t end = at;
    while (end < plain.size() && is_digit(plain[end])) ++end;
    if (end == at) continue;
    if (end + 1 < plain.size() && plain[end] == '.' && is_digit(plain[end + 1])) {
      ++end;
      while (end < plain.size() && is_digit(plain[end])) ++end;
    }
    begin = at;
    length = end - at;
    at = end - 1;
  }
  return length == 0 ? std::nullopt : std::optional(plain.substr(begin, length));
}

std::string_view after_last(std::string_view text, std::string_view mark) {
  const std::size_t at = text.rfind(mark);
  return at == std::string_view::npos ? text : text.substr(at + mark.size());
}

// The first True or False, [..] or (a) to (d)
std::optional<std::string> typed(std::string_view text, TheoremType type) {
  if (type == TheoremType::kNumber) return last_unsigned_number(text);
  if (type == TheoremType::kBool) {
    const std::size_t yes = text.find("True"), no = text.find("False");
    if (yes == no) return std::nullopt;
    return yes < no ? "True" : "False";
  }
  if (type == TheoremType::kList) {
    const std::size_t open = text.find('['), close = text.find(']', std::min(open, text.size()));
    if (open == std::string_view::npos || close == std::string_view::npos) return std::nullopt;
    return std::string(text.substr(open + 1, close - open - 1));
  }
  for (std::size_t at = text.find('('); at != std::string_view::npos; at = text.find('(', at + 1))
    if (at + 2 < text.size() && text[at + 2] == ')' && text[at + 1] >= 'a' && text[at + 1] <= 'd')
      return std::string(text.substr(at, 3));
  return std::nullopt;
}

// Answer, spaces, a colon, spaces, perhaps a dollar sign, a letter; the first of them. No word boundary.
std::optional<std::string> first_letter(std::string_view text) {
  constexpr std::string_view kWord = "answer";
  const auto is_space = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
  std::size_t matched = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = static_cast<char>(std::tolower(static_cast<unsigned char>(text[at])));
    matched = c == kWord[matched] ? matched + 1 : c == kWord[0] ? 1 : 0;
    if (matched < kWord.size()) continue;
    matched = 0;
    std::size_t next = at + 1;
    while (next < text.size() && is_space(text[next])) ++next;
    if (next >= text.size() || text[next] != ':') continue;
    ++next;
    while (next < text.size() && is_space(text[next])) ++next;
    if (next < text.size() && text[next] == '$') ++next;
    if (next < text.size() && std::string_view("ABCDEabcde").find(text[next]) != std::string_view::npos)
      return std::string(1, text[next]);
  }
  return std::nullopt;
}

bool equal_numbers(const std::string& a, std::string_view gold) {
  char* end = nullptr;
  const std::string expected(gold);
  const double g = std::strtod(expected.c_str(), &end);
  return end != expected.c_str() && *end == '\0' && std::strtod(a.c_str(), nullptr) == g;
}

}  // namespace

std::optional<std::string> released_match_answer(Dataset dataset, std::string_view response, std::string_view gold,
                                                 std::string_view answer_type) {
  switch (dataset) {
    case Dataset::kGsm8k: {
      const std::size_t at = response.rfind("Answer");
      if (at == std::string_view::npos) return std::nullopt;
      return last_unsigned_number(response.substr(at));
    }
    case Dataset::kMath: return first_box(response);
    case Dataset::kTheoremqa: return typed(after_last(response, "answer is"), theorem_type(answer_type, gold));
    case Dataset::kCsqa: return first_letter(response);
    case Dataset::kExact: break;
  }
  return std::nullopt;
}

bool released_match(Dataset dataset, std::string_view response, std::string_view gold, std::string_view answer_type) {
  const auto answer = released_match_answer(dataset, response, gold, answer_type);
  if (!answer) return false;
  switch (dataset) {
    case Dataset::kGsm8k: return equal_numbers(*answer, gsm8k_gold(gold));
    case Dataset::kMath: return *answer == without_spaces(gold);
    case Dataset::kTheoremqa: {
      const std::string_view expected = trimmed(gold);
      if (*answer == expected) return true;
      const TheoremType type = theorem_type(answer_type, gold);
      if (type == TheoremType::kNumber) return equal_numbers(*answer, expected);
      return type == TheoremType::kList && expected.size() >= 2 && *answer == expected.substr(1, expected.size() - 2);
    }
    case Dataset::kCsqa: return *answer == trimmed(gold);
    case Dataset::kExact: break;
  }
  return false;
}

}  // namespace kvgauge
