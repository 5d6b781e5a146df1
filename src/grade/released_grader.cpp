#include "grade/released_grader.h"

#include <algorithm>
#include <bitset>
#include <cctype>
#include <utility>

#include "core/cat.h"
#include "grade/answer_text.h"

// The order of the rewriting steps matters and is that of the released grader: a later step sees what an earlier one
// left. Its patterns are matched by hand; characters beyond ASCII count as letters.
namespace kvgauge {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}
bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  std::size_t begin = 0;
  for (std::size_t at = text.find(from); at != std::string_view::npos; at = text.find(from, begin)) {
    out += text.substr(begin, at - begin);
    out += to;
    begin = at + from.size();
  }
  return out += text.substr(begin);
}

std::string_view after_last(std::string_view text, std::string_view mark) {
  return text.substr(text.rfind(mark) + mark.size());
}

// From the brace on: to the matching one without regard to escapes, or to the end where none matches; else to the next
// $.
std::string box_content(std::string_view text) {
  if (text.empty()) return {};
  if (text[0] != '{') return std::string(trimmed(text.substr(0, std::min(text.find('$'), text.size()))));
  int depth = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    depth += text[i] == '{' ? 1 : text[i] == '}' ? -1 : 0;
    if (depth == 0) return std::string(text.substr(1, i - 1));
  }
  return std::string(text.substr(1));
}

// The last of: minus or not, digits or none, a point or not, digits.
std::string last_number(std::string_view with_commas) {
  std::string text;
  text.reserve(with_commas.size());
  std::copy_if(with_commas.begin(), with_commas.end(), std::back_inserter(text), [](char c) { return c != ','; });
  std::string_view last;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at + (text[at] == '-');
    const std::size_t whole = end;
    while (end < text.size() && is_digit(text[end])) ++end;
    bool is_number = end > whole;
    if (end + 1 < text.size() && text[end] == '.' && is_digit(text[end + 1])) {
      ++end;
      while (end < text.size() && is_digit(text[end])) ++end;
      is_number = true;
    }
    if (is_number) last = std::string_view(text).substr(at, end - at);
    at = is_number ? end : at + 1;
  }
  return std::string(last);
}

std::string extracted(std::string_view text) {
  constexpr std::string_view kMinerva = "final answer is $", kMinervaEnd = "$. I hope", kBoxed = "boxed",
                             kChinese = "\xe7\xad\x94\xe6\xa1\x88\xe6\x98\xaf";
  if (contains(text, kMinerva) && contains(text, kMinervaEnd)) {
    const std::string_view rest = text.substr(text.find(kMinerva) + kMinerva.size());
    return std::string(trimmed(rest.substr(0, std::min(rest.find(kMinervaEnd), rest.size()))));
  }
  if (contains(text, kBoxed)) return box_content(after_last(text, kBoxed));
  for (const std::string_view phrase : {std::string_view("he answer is"), std::string_view("final answer is")})
    if (contains(text, phrase)) return std::string(trimmed(after_last(text, phrase)));
  if (contains(text, kChinese)) {
    std::string_view rest = text.substr(text.find(kChinese) + kChinese.size());
    rest = trimmed(rest.substr(0, rest.find(kChinese)));
    return std::string(trimmed(rest.substr(0, rest.find("\n\n"))));
  }
  return last_number(text);
}

// The words taken for units: each alone between two characters that are no letters, or at either end; a point is any
// one character. Each also with an s.
constexpr std::string_view kUnits[] = {
    " m east", "Surface", "a",       "a .",          "a . m",    "ab",     "acre",    "am",      "apple",
    "are",     "b .",     "bc",      "by",           "c",        "c .",    "cc",      "cm",      "cm 2",
    "coin",    "cu . m",  "cu cm",   "cube",         "cubic",    "d",      "d .",     "day",     "decrease",
    "deg",     "degree",  "dm",      "e .",          "east",     "excess", "f .",     "feet",    "ft",
    "g",       "g .",     "gain",    "gal",          "gallon",   "gm",     "h",       "h .",     "hectare",
    "hour",    "hr",      "inch",    "inches",       "increase", "kg",     "km",      "kmh",     "kmph",
    "l",       "lb",      "less",    "liter",        "litre",    "loss",   "lt",      "m",       "m sqaure",
    "man",     "mark",    "men",     "meter",        "metre",    "mile",   "min",     "minute",  "minw",
    "mm",      "monkey",  "month",   "more",         "mp",       "mph",    "mt",      "mtr",     "no change",
    "noon",    "number",  "o",       "ohm",          "p . m",    "per",    "percent", "pi sq m", "pie",
    "pm",      "prime",   "profit",  "profit of rs", "pure",     "q .",    "ratio",   "rd",      "rise",
    "rounds",  "rs",      "rs .",    "rupee",        "s",        "s .",    "sec",     "second",  "soldier",
    "sq",      "sq . m",  "sq inch", "sq m",         "square",   "st",     "t",       "th",      "tile",
    "toy",     "unit",    "way",     "west",         "woman",    "women",  "yard",    "year",    "yr"};

bool matches_unit(std::string_view text, std::size_t at, std::string_view unit) {
  if (at + unit.size() > text.size()) return false;
  for (std::size_t i = 0; i < unit.size(); ++i)
    if (unit[i] != '.' && unit[i] != text[at + i]) return false;
  return at + unit.size() == text.size() || !is_word(text[at + unit.size()]);
}

std::string without_unit(std::string_view text, std::string_view unit) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t begin = std::string_view::npos;
    if (at == 0 && matches_unit(text, 0, unit))
      begin = 0;
    else if (!is_word(text[at]) && matches_unit(text, at + 1, unit))
      begin = at + 1;
    if (begin == std::string_view::npos) {
      out += text[at++];
      continue;
    }
    out += text.substr(at, begin - at);
    at = begin + unit.size();
    if (at < text.size()) out += text[at++];  // the character behind the unit is used up by the match
  }
  return out;
}

// Which characters stand where a unit may begin.
using Starts = std::bitset<256>;
Starts unit_starts(std::string_view text) {
  Starts starts;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (i == 0 || !is_word(text[i - 1])) starts.set(static_cast<unsigned char>(text[i]));
  return starts;
}

std::string without_units(std::string text) {
  Starts starts = unit_starts(text);  // nearly all units are ruled out by their first character
  for (int round = 0; round < 2; ++round)
    for (const char* const plural : {"", "s"})
      for (const std::string_view unit : kUnits) {
        if (!starts.test(static_cast<unsigned char>(unit[0]))) continue;
        std::string left = without_unit(text, cat(unit, plural));
        if (left.empty() || left.size() == text.size()) continue;
        text = std::move(left);
        starts = unit_starts(text);
      }
  return text;
}

// word{...} -> keep ? the content : nothing, to the nearest closing brace.
std::string unwrapped(std::string_view text, std::string_view word, bool keep) {
  std::string out;
  for (std::size_t at = 0;;) {
    const std::size_t begin = text.find(word, at);
    const std::size_t end = begin == std::string_view::npos ? begin : text.find('}', begin + word.size());
    if (end == std::string_view::npos) return out += text.substr(at);
    out += text.substr(at, begin - at);
    if (keep) out += text.substr(begin + word.size(), end - begin - word.size());
    at = end + 1;
  }
}

// 18.00x -> 18x and a final 18.00 -> 18; a digit behind the zeros keeps all.
std::string without_zero_decimals(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const bool follows_digit = at > 0 && is_digit(text[at - 1]);
    std::size_t end = at + 1;
    if (text[at] == '.' && follows_digit) {
      while (end < text.size() && text[end] == '0') ++end;
      if (end == text.size()) break;
      if (!is_digit(text[end])) {
        out += text[end];
        at = end + 1;
        continue;
      }
    }
    out += text[at++];
  }
  return out;
}

std::string with_braced_roots(std::string_view text) {
  constexpr std::string_view kRoot = "\\sqrt";
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    if (text.substr(at, kRoot.size()) != kRoot) {
      out += text[at++];
      continue;
    }
    out += kRoot;
    at += kRoot.size();
    std::size_t end = at;
    while (end < text.size() && is_word(text[end])) ++end;
    if (end == at) continue;
    out += '{';
    out += text.substr(at, end - at);
    out += '}';
    at = end;
  }
  return out;
}

// \frac12 -> \frac{1}{2}, \frac1{72} -> \frac{1}{72}; a \frac with fewer than two characters behind it leaves all as it
// was.
std::string with_braced_fractions(const std::string& text) {
  constexpr std::string_view kFrac = "\\frac";
  std::string out = text.substr(0, text.find(kFrac));
  for (std::size_t at = text.find(kFrac); at != std::string::npos;) {
    const std::size_t begin = at + kFrac.size();
    at = text.find(kFrac, begin);
    const std::string_view part = std::string_view(text).substr(begin, at == std::string::npos ? at : at - begin);
    out += kFrac;
    if (!part.empty() && part[0] == '{') {
      out += part;
      continue;
    }
    if (part.size() < 2) return text;
    out += '{';
    out += part[0];
    out += '}';
    if (part[1] == '{') {
      out += part.substr(1);
    } else {
      out += '{';
      out += part[1];
      out += '}';
      out += part.substr(2);
    }
  }
  return out;
}

// a/b of two integers in their shortest form -> \frac{a}{b}; a root on either side stands for itself.
std::string with_slash_as_fraction(const std::string& text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string::npos || text.find('/', slash + 1) != std::string::npos) return text;
  const std::string a = text.substr(0, slash), b = text.substr(slash + 1);
  const auto stands = [](std::string_view part) {
    if (contains(part, "sqrt")) return true;
    const bool negative = !part.empty() && part[0] == '-';
    const std::string_view digits = part.substr(negative);
    return !digits.empty() && std::all_of(digits.begin(), digits.end(), is_digit) &&
           (digits[0] != '0' || (digits.size() == 1 && !negative));
  };
  return stands(a) && stands(b) ? cat("\\frac{", a, "}{", b, "}") : text;
}

// \begin{array}{..} -> \begin{pmatrix} and its end
std::string with_arrays_as_matrices(std::string_view text) {
  constexpr std::string_view kBegin = "\\begin{array}{";
  std::string out;
  for (std::size_t at = 0;;) {
    const std::size_t begin = text.find(kBegin, at);
    const std::size_t end = begin == std::string_view::npos ? begin : text.find('}', begin + kBegin.size());
    if (end == std::string_view::npos) {
      out += text.substr(at);
      return replaced(out, "\\end{array}", "\\end{pmatrix}");
    }
    out += text.substr(at, begin - at);
    out += "\\begin{pmatrix}";
    at = end + 1;
  }
}

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string stripped(std::string_view answer) {
  std::string text = replaced(trimmed(answer), "\n", "");
  while (!text.empty() && text.back() == '.') text.pop_back();
  text = with_arrays_as_matrices(replaced(text, "\\!", ""));
  constexpr std::pair<std::string_view, std::string_view> kFirst[] = {
      {"bmatrix", "pmatrix"}, {"tfrac", "frac"}, {"dfrac", "frac"}, {"\\neq", "\\ne"}, {"\\leq", "\\le"},
      {"\\geq", "\\ge"},      {"\\left", ""},    {"\\right", ""},   {"\\{", "{"},      {"\\}", "}"}};
  for (const auto& [from, to] : kFirst) text = replaced(text, from, to);
  if (const std::size_t unit = text.find("\\text{"); unit != std::string::npos && text.back() == '}')
    if (const std::string_view left = trimmed(std::string_view(text).substr(0, unit)); !left.empty())
      text = std::string(left);
  text = without_units(std::move(text));
  for (const std::string_view gone : {"^{\\circ}", "^\\circ", "\\$", "$", "\\(", "\\)"})
    text = replaced(text, gone, "");
  text = unwrapped(text, "\\text{", true);
  for (const std::string_view gone : {"x=", "y=", "z=", "x\\in", "y\\in", "z\\in", "x\\to", "y\\to", "z\\to"})
    text = replaced(text, gone, "");
  constexpr std::pair<std::string_view, std::string_view> kSecond[] = {{"\\emptyset", "{}"},
                                                                       {"(-\\infty,\\infty)", "\\mathbb{R}"},
                                                                       {"\\%", ""},
                                                                       {"%", ""},
                                                                       {" .", " 0."},
                                                                       {"{.", "{0."},
                                                                       {"infinity", "\\infty"}};
  for (const auto& [from, to] : kSecond) text = replaced(text, from, to);
  if (!contains(text, "\\infty")) text = replaced(text, "inf", "\\infty");
  text = replaced(text, "+\\inity", "\\infty");
  text = replaced(replaced(text, "and", ""), "\\mathbf", "");
  text = unwrapped(text, "\\mbox{", false);
  if (contains(text, "j") && !contains(text, "i")) text = replaced(text, "j", "i");
  text = without_zero_decimals(text);
  if (text.empty()) return text;
  if (text[0] == '.') text.insert(0, 1, '0');
  if (const std::size_t equals = text.find('=');
      equals != std::string::npos && text.find('=', equals + 1) == std::string::npos)
    if (characters(std::string_view(text).substr(0, equals)) <= 2) text = text.substr(equals + 1);
  return with_slash_as_fraction(with_braced_fractions(replaced(with_braced_roots(text), " ", "")));
}

// A line break and the white space behind it are nothing.
std::string without_line_breaks(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '\n') {
      out += text[at];
      continue;
    }
    while (at + 1 < text.size() && std::isspace(static_cast<unsigned char>(text[at + 1]))) ++at;
  }
  return out;
}

std::string rewritten(std::string_view extracted_text) {
  std::string answer = without_line_breaks(extracted_text);
  if (!answer.empty() && answer.front() == ':') answer.erase(0, 1);
  if (!answer.empty() && answer.back() == '.') answer.pop_back();
  if (!answer.empty() && answer.back() == '/') answer.pop_back();
  return stripped(answer);
}

}  // namespace

std::string released_answer(std::string_view text) { return rewritten(extracted(text)); }

bool released_correct(std::string_view response, std::string_view gold) {
  constexpr std::size_t kLongest = 8 << 10;
  const std::string answer = extracted(response), expected = extracted(gold);
  if (answer.size() > kLongest || expected.size() > kLongest) return false;
  return rewritten(answer) == rewritten(expected);
}

}  // namespace kvgauge
