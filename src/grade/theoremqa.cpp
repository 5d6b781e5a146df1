#include <algorithm>
#include <cctype>
#include <cmath>
#include <vector>

#include "grade/answer_text.h"
#include "grade/compare.h"
#include "grade/compare_number.h"
#include "grade/datasets.h"
#include "grade/number_text.h"
#include "grade/parser.h"
#include "grade/plain_text.h"
#include "grade/rewrite.h"

namespace kvgauge {
namespace {

using math::Expr;
using math::Kind;

bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }

enum class Which { kFirst, kLast };

// "True" or "False" for the first or last of the words true, yes, false, no; empty for none.
std::string truth_in(std::string_view text, Which which) {
  constexpr std::size_t kMost = 1 << 15;
  if (text.size() > kMost) text = which == Which::kFirst ? text.substr(0, kMost) : text.substr(text.size() - kMost);
  const std::string words = math::lower(text);
  std::string found;
  for (std::size_t at = 0; at < words.size();) {
    std::size_t end = at;
    while (end < words.size() && is_letter(words[end])) ++end;
    const std::string_view word = std::string_view(words).substr(at, end - at);
    if (word == "true" || word == "yes") found = "True";
    if (word == "false" || word == "no") found = "False";
    if (!found.empty() && which == Which::kFirst) return found;
    at = std::max(end, at + 1);
  }
  return found;
}

// The option letter of (b), b, B) or \text{(b)}, upper case; else empty.
std::string option_in(std::string_view text) {
  std::string bare;
  for (const char c : math::plain_words(text.substr(0, 256))) bare += c;
  for (const std::string_view lead : {"option ", "choice ", "letter "})
    if (bare.compare(0, lead.size(), lead) == 0) bare.erase(0, lead.size());
  const bool is_option = !bare.empty() && is_letter(bare[0]) && (bare.size() == 1 || bare[1] == ' ');
  if (is_option) return std::string(1, static_cast<char>(std::toupper(static_cast<unsigned char>(bare[0]))));
  for (std::size_t at = text.find('('); at != std::string_view::npos; at = text.find('(', at + 1))
    if (at + 2 < text.size() && text[at + 2] == ')' && is_letter(text[at + 1]))
      return std::string(1, static_cast<char>(std::toupper(static_cast<unsigned char>(text[at + 1]))));
  return {};
}

std::optional<Expr> tree_of(std::string_view text) {
  auto tree = math::parse(text);
  if (!tree) return std::nullopt;
  Expr e = math::rewritten(std::move(*tree));
  while (const Expr* const said = math::said_by(e)) {
    Expr inner = *said;
    e = std::move(inner);
  }
  return e;
}

// The values a real constant may have: percent and degree signs, and log, are read both ways.
std::vector<double> values_of(const Expr& e) {
  const math::Features features = math::features_of(e);
  math::Budget budget;
  std::vector<double> values;
  for (const bool hundredth : {false, true})
    for (const bool angle : {false, true})
      for (const bool decimal : {false, true}) {
        if ((hundredth && !features.has_percent) || (angle && !features.has_degree) ||
            (decimal && !features.has_open_log))
          continue;
        if (const auto value = math::real_constant(e, {hundredth, angle, decimal}, budget)) values.push_back(*value);
      }
  return values;
}

bool is_number(std::string_view text) {
  const auto tree = tree_of(text);
  return tree && !values_of(*tree).empty();
}

std::string number_in(std::string_view stated) {
  if (stated.size() > kLongestAnswer) return std::string(stated);
  const std::size_t equals = stated.rfind('=');
  std::vector<std::string_view> candidates = {stated};
  if (equals != std::string_view::npos) candidates.push_back(trimmed(stated.substr(equals + 1)));
  for (const std::string_view candidate : candidates)
    if (is_number(candidate)) return std::string(candidate);
  const std::string cleaned = clean_math(candidates.back());
  const std::string_view number = first_number(cleaned);
  return number.empty() ? std::string(stated) : std::string(number);
}

bool near(double a, double b, double tolerance) {
  if (a == b) return true;
  return std::isfinite(a) && std::isfinite(b) &&
         std::abs(a - b) <= std::max(tolerance * std::abs(b), b == 0 ? 1e-9 : 0.0);
}

bool same_item(const Expr& a, const Expr& b, double tolerance) {
  math::Budget budget;
  if (math::same(a, b, budget)) return true;
  const auto left = values_of(a), right = values_of(b);
  return std::any_of(left.begin(), left.end(), [&](double x) {
    return std::any_of(right.begin(), right.end(), [&](double y) { return near(x, y, tolerance); });
  });
}

std::vector<Expr> items_of(std::string_view text) {
  auto tree = tree_of(text);
  if (!tree) return {};
  switch (tree->kind) {
    case Kind::kBracket:
    case Kind::kSet:
    case Kind::kList:
    case Kind::kMatrix: return tree->parts;
    default: return {std::move(*tree)};
  }
}

bool same_lists(std::string_view a, std::string_view b, double tolerance) {
  std::vector<Expr> left = items_of(a), right = items_of(b);
  for (std::vector<Expr>* const side : {&left, &right})
    for (Expr& item : *side)
      while (const Expr* const said = math::said_by(item)) {
        Expr inner = *said;
        item = std::move(inner);
      }
  return !left.empty() && std::equal(left.begin(), left.end(), right.begin(), right.end(),
                                     [&](const Expr& x, const Expr& y) { return same_item(x, y, tolerance); });
}

}  // namespace

TheoremType theorem_type(std::string_view answer_type, std::string_view gold) {
  if (answer_type == "bool") return TheoremType::kBool;
  if (answer_type == "option") return TheoremType::kOption;
  if (answer_type.substr(0, 4) == "list") return TheoremType::kList;
  if (answer_type == "integer" || answer_type == "float") return TheoremType::kNumber;
  gold = trimmed(gold);
  const std::string words = math::plain_words(gold.substr(0, 256));
  if (words == "true" || words == "false" || words == "yes" || words == "no") return TheoremType::kBool;
  if (gold.size() < 256 && math::lone_choice(gold) != 0) return TheoremType::kOption;
  return !gold.empty() && gold.front() == '[' ? TheoremType::kList : TheoremType::kNumber;
}

std::optional<std::string> theoremqa_answer(std::string_view visible, TheoremType type) {
  const StatedAnswer stated = stated_answer(visible);
  const bool is_stated = stated.marker != StatedAnswer::Marker::kNone;
  std::string found;
  switch (type) {
    case TheoremType::kBool:
      found = is_stated ? truth_in(stated.text, Which::kFirst) : truth_in(stated.before, Which::kLast);
      break;
    case TheoremType::kOption: found = option_in(is_stated ? stated.text : trimmed(stated.before)); break;
    case TheoremType::kList:
    case TheoremType::kNumber: {
      const auto formula = stated_formula(visible);
      if (!formula) return std::nullopt;
      found = type == TheoremType::kNumber ? number_in(*formula) : *formula;
    }
  }
  return found.empty() ? std::nullopt : std::optional(found);
}

std::string theoremqa_gold(std::string_view gold, TheoremType type) {
  gold = trimmed(gold);
  std::string found;
  if (type == TheoremType::kBool) found = truth_in(gold, Which::kFirst);
  if (type == TheoremType::kOption) found = option_in(gold);
  return found.empty() ? std::string(gold) : found;
}

bool same_theoremqa(std::string_view a, std::string_view b, TheoremType type, double tolerance) {
  if (a.empty() || b.empty()) return false;
  switch (type) {
    case TheoremType::kBool:
    case TheoremType::kOption: return a == b;
    case TheoremType::kList: return same_lists(a, b, tolerance);
    case TheoremType::kNumber: break;
  }
  if (math::same_answer(a, b)) return true;
  const auto x = tree_of(a), y = tree_of(b);
  return x && y && same_item(*x, *y, tolerance);
}

}  // namespace kvgauge
