#include "grade/grader.h"

#include <cctype>

#include "core/cat.h"
#include "grade/answer_text.h"
#include "grade/exact_number.h"
#include "grade/released_grader.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace {

struct Answer {
  std::string text;  ///< the number as written, or the cleaned text where it is none
  std::optional<Rational> number;
};

bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)); }
bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)); }

std::string without_commas(std::string_view number) {
  std::string out;
  for (const char c : number)
    if (c != ',') out += c;
  return out;
}

// "eggs per day" or "cm^2", not "+ 3" and not "12": what may follow a number without changing it.
bool is_unit(std::string_view rest) {
  rest = trimmed(rest);
  if (rest.empty()) return true;
  if (!is_letter(rest[0]) && rest[0] != '/' && rest[0] != '(' && static_cast<unsigned char>(rest[0]) < 0x80)
    return false;
  for (std::size_t i = 0; i < rest.size(); ++i)
    if (is_digit(rest[i]) && (i == 0 || (rest[i - 1] != '^' && rest[i - 1] != '{'))) return false;
  return rest.find('=') == std::string_view::npos;
}

// The whole cleaned text as a number.
std::optional<Answer> whole_number(std::string_view text, bool allow_unit) {
  std::size_t used = 0;
  const auto number = read_number(text, used);
  if (!number || !(allow_unit ? is_unit(text.substr(used)) : trimmed(text.substr(used)).empty())) return std::nullopt;
  return Answer{.text = without_commas(text.substr(0, used)), .number = number};
}

std::string_view after_last_equals(std::string_view text) {
  const std::size_t at = text.rfind('=');
  return at == std::string_view::npos ? text : trimmed(text.substr(at + 1));
}

enum class Which { kFirst, kLast };

std::optional<Answer> number_in(std::string_view text, Which which) {
  std::optional<Answer> found;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t used = 0;
    const char c = text[at];
    const bool may_start = is_digit(c) || c == '-' || c == '+' || c == '.' || c == '\\';
    const auto number = may_start ? read_number(text.substr(at), used) : std::nullopt;
    if (!number) {
      ++at;
      continue;
    }
    found = Answer{.text = without_commas(text.substr(at, used)), .number = number};
    if (which == Which::kFirst) return found;
    at += used;
  }
  return found;
}

// A number with its unit; else the right side of an equation; else, in prose, the first number.
std::optional<Answer> stated_number(std::string_view cleaned, bool is_prose) {
  if (auto number = whole_number(cleaned, true)) return number;
  const std::string_view right_side = after_last_equals(cleaned);
  if (auto number = whole_number(right_side, true)) return number;
  return is_prose ? number_in(right_side, Which::kFirst) : std::nullopt;
}

std::optional<Answer> gsm8k_answer(std::string_view visible) {
  using Marker = StatedAnswer::Marker;
  const StatedAnswer stated = stated_answer(visible);
  if (stated.marker != Marker::kNone) {
    const std::string cleaned = clean_math(stated.text);
    if (auto number = stated_number(cleaned, stated.marker != Marker::kBox)) return number;
    if (stated.marker == Marker::kBox) {
      if (cleaned.empty()) return std::nullopt;
      return Answer{.text = cleaned, .number = std::nullopt};
    }
  }
  return number_in(clean_math(stated.before), Which::kLast);
}

std::string exact_text(std::string_view text) {
  std::string out;
  for (const char c : clean_math(text))  // runs of spaces as one
    if (c != ' ' || out.empty() || out.back() != ' ') out += c;
  return out;
}

Answer exact_value(std::string_view text) {
  std::string cleaned = exact_text(text);
  if (auto number = whole_number(cleaned, false)) return *number;
  return {.text = std::move(cleaned), .number = std::nullopt};
}

std::optional<Answer> exact_answer(std::string_view visible) {
  const StatedAnswer stated = stated_answer(visible);
  const std::string_view text = stated.marker == StatedAnswer::Marker::kNone ? trimmed(stated.before) : stated.text;
  if (text.empty()) return std::nullopt;
  return exact_value(text);
}

// The text after the last #### of a worked solution, else all of it.
std::string_view gold_text(std::string_view gold) {
  constexpr std::string_view kMark = "####";
  const std::size_t at = gold.rfind(kMark);
  return trimmed(at == std::string_view::npos ? gold : gold.substr(at + kMark.size()));
}

Answer gold_answer(Dataset dataset, std::string_view gold) {
  const std::string_view text = gold_text(gold);
  if (dataset != Dataset::kGsm8k) return exact_value(text);
  std::string cleaned = clean_math(text);
  if (auto number = whole_number(cleaned, true)) return *number;
  return {.text = std::move(cleaned), .number = std::nullopt};
}

bool same(Dataset dataset, const Answer& predicted, const Answer& gold) {
  if (predicted.number && gold.number)
    return equal(*predicted.number, *gold.number) ||
           (dataset == Dataset::kGsm8k && equal_to_six_decimals(*predicted.number, *gold.number));
  return !predicted.number && !gold.number && !gold.text.empty() && predicted.text == gold.text;
}

}  // namespace

const char* name(Dataset dataset) {
  switch (dataset) {
    case Dataset::kExact: return "exact";
    case Dataset::kGsm8k: return "gsm8k";
    case Dataset::kMath: return "math";
    case Dataset::kTheoremqa: return "theoremqa";
    case Dataset::kCsqa: return "csqa";
  }
  return "?";
}

Dataset parse_dataset(std::string_view text) {
  for (const Dataset dataset : {Dataset::kExact, Dataset::kGsm8k})
    if (text == name(dataset)) return dataset;
  if (text == "math" || text == "theoremqa" || text == "csqa")
    throw UsageError(cat("--dataset: ", text, " cannot be graded by this version, exact or gsm8k was needed"));
  throw UsageError(cat("--dataset: '", text, "', exact or gsm8k was needed"));
}

std::optional<std::string> extract_answer(Dataset dataset, std::string_view response) {
  const std::string_view visible = after_thinking(before_end_of_turn(response));
  const auto predicted = dataset == Dataset::kGsm8k ? gsm8k_answer(visible) : exact_answer(visible);
  if (!predicted) return std::nullopt;
  return predicted->text;
}

bool equivalent(Dataset dataset, std::string_view a, std::string_view b) {
  return same(dataset, gold_answer(dataset, a), gold_answer(dataset, b));
}

Grade grade(Dataset dataset, std::string_view response, std::string_view gold, bool finished) {
  const std::string_view turn = before_end_of_turn(response);
  const std::string_view visible = after_thinking(turn);
  const auto predicted = dataset == Dataset::kExact ? exact_answer(visible) : gsm8k_answer(visible);
  const Answer expected = gold_answer(dataset, gold);
  Grade result;
  if (predicted) result.predicted = predicted->text;
  result.gold = expected.text;
  result.correct = predicted && same(dataset, *predicted, expected);
  result.paper_correct = released_answer(turn) == released_answer(gold);
  result.truncated = !finished;
  return result;
}

}  // namespace kvgauge
