// Answers that are exact text (dataset exact) or a number in prose (gsm8k).
#include <algorithm>
#include <cctype>

#include "grade/answer_text.h"
#include "grade/compare.h"
#include "grade/compare_number.h"
#include "grade/datasets.h"
#include "grade/number_text.h"
#include "grade/parser.h"

namespace kvgauge {
namespace {

bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string without_commas(std::string_view number) {
  std::string out;
  std::copy_if(number.begin(), number.end(), std::back_inserter(out), [](char c) { return c != ','; });
  return out;
}

// "eggs per day" or "cm^2", not "+ 3" and not "12": what may follow a number without changing it.
bool is_unit_text(std::string_view rest) {
  rest = trimmed(rest);
  if (rest.empty()) return true;
  if (!is_letter(rest[0]) && rest[0] != '/' && rest[0] != '(' && static_cast<unsigned char>(rest[0]) < 0x80)
    return false;
  for (std::size_t i = 0; i < rest.size(); ++i)
    if (is_digit(rest[i]) && (i == 0 || (rest[i - 1] != '^' && rest[i - 1] != '{'))) return false;
  return rest.find('=') == std::string_view::npos;
}

// The whole cleaned text as a number, perhaps with a unit.
std::optional<std::string> whole_number(std::string_view text, bool allow_unit) {
  const std::size_t length = number_length(text);
  if (length == 0) return std::nullopt;
  const std::string_view rest = text.substr(length);
  if (!(allow_unit ? is_unit_text(rest) : trimmed(rest).empty())) return std::nullopt;
  return without_commas(text.substr(0, length));
}

// A number with its unit; else the right side of an equation; else, in prose, the first number.
std::optional<std::string> stated_number(std::string_view cleaned, bool is_prose) {
  if (auto number = whole_number(cleaned, true)) return number;
  const std::size_t equals = cleaned.rfind('=');
  const std::string_view right_side = equals == std::string_view::npos ? cleaned : trimmed(cleaned.substr(equals + 1));
  if (auto number = whole_number(right_side, true)) return number;
  if (!is_prose) return std::nullopt;
  const std::string_view first = first_number(right_side);
  return first.empty() ? std::nullopt : std::optional(without_commas(first));
}

// The part of a long text that its last number must lie in.
std::string_view tail_with_number(std::string_view text) {
  constexpr std::size_t kAfter = 64;
  const std::size_t last = text.find_last_of("0123456789");
  if (last == std::string_view::npos) return {};
  const std::size_t begin = last > kLongestAnswer ? last - kLongestAnswer : 0;
  return text.substr(begin, last + kAfter - begin);
}

// The text after the last #### of a worked solution, else all of it.
std::string_view after_hashes(std::string_view gold) {
  constexpr std::string_view kMark = "####";
  const std::size_t at = gold.rfind(kMark);
  return trimmed(at == std::string_view::npos ? gold : gold.substr(at + kMark.size()));
}

std::string exact_text(std::string_view text) {
  if (text.size() > kLongestAnswer) return std::string(text);
  std::string out;
  for (const char c : clean_math(text))  // runs of spaces as one
    if (c != ' ' || out.empty() || out.back() != ' ') out += c;
  if (auto number = whole_number(out, false)) return *number;
  return out;
}

}  // namespace

std::optional<std::string> exact_answer(std::string_view visible) {
  const StatedAnswer stated = stated_answer(visible);
  const std::string_view text = stated.marker == StatedAnswer::Marker::kNone ? trimmed(stated.before) : stated.text;
  if (text.empty()) return std::nullopt;
  return exact_text(text);
}

std::string exact_gold(std::string_view gold) { return exact_text(after_hashes(gold)); }

bool same_exact(std::string_view a, std::string_view b) {
  if (a == b) return !a.empty();
  if (!whole_number(a, false) || !whole_number(b, false)) return false;
  const auto x = math::parse(a), y = math::parse(b);
  math::Budget budget;
  if (!x || !y) return false;
  const math::Value left = math::evaluate(*x, 0, {}, false, budget), right = math::evaluate(*y, 0, {}, false, budget);
  if (!left.is_defined || !right.is_defined || !left.is_exact || !right.is_exact || !(left.residue == right.residue))
    return false;
  // Residues of numbers beyond doubles decide alone.
  return left.is_finite == right.is_finite && std::abs(left.z - right.z) <= 1e-9 * std::abs(left.z);
}

std::optional<std::string> gsm8k_answer(std::string_view visible) {
  using Marker = StatedAnswer::Marker;
  const StatedAnswer stated = stated_answer(visible);
  if (stated.marker != Marker::kNone) {
    if (stated.text.size() > kLongestAnswer) return std::string(stated.text);
    const std::string cleaned = clean_math(stated.text);
    if (auto number = stated_number(cleaned, stated.marker != Marker::kBox)) return number;
    if (stated.marker == Marker::kBox) return cleaned.empty() ? std::nullopt : std::optional(cleaned);
  }
  const std::string tail = clean_math(tail_with_number(stated.before));
  const std::string_view number = last_number(tail);
  return number.empty() ? std::nullopt : std::optional(without_commas(number));
}

std::string gsm8k_gold(std::string_view gold) {
  const std::string_view stated = after_hashes(gold);
  if (stated.size() > kLongestAnswer) return std::string(stated);
  std::string cleaned = clean_math(stated);
  if (auto number = whole_number(cleaned, true)) return *number;
  return cleaned;
}

bool same_gsm8k(std::string_view a, std::string_view b) { return math::same_answer(a, b); }

}  // namespace kvgauge
