#include "grade/compare.h"

#include <algorithm>
#include <vector>

#include "grade/compare_number.h"
#include "grade/parser.h"
#include "grade/plain_text.h"
#include "grade/real_set.h"
#include "grade/rewrite.h"

namespace kvgauge::math {
namespace {

bool is(const Expr& e, Kind kind) { return e.kind == kind; }

bool in_order(const std::vector<Expr>& a, const std::vector<Expr>& b, Budget& budget) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](const Expr& x, const Expr& y) { return same(x, y, budget); });
}

std::vector<const Expr*> distinct(const std::vector<Expr>& items, bool drop_repeats, Budget& budget) {
  std::vector<const Expr*> out;
  for (const Expr& item : items) {
    const bool is_repeat =
        drop_repeats && std::any_of(out.begin(), out.end(), [&](const Expr* o) { return same(*o, item, budget); });
    if (!is_repeat) out.push_back(&item);
  }
  return out;
}

// Each of one side has its partner on the other. Equality is transitive enough for the first match to do.
bool in_any_order(const Expr& a, const Expr& b, Budget& budget) {
  const bool are_sets = is(a, Kind::kSet) || is(b, Kind::kSet);
  const auto left = distinct(a.parts, are_sets, budget);
  auto right = distinct(b.parts, are_sets, budget);
  if (left.size() != right.size()) return false;
  return std::all_of(left.begin(), left.end(), [&](const Expr* item) {
    const auto partner =
        std::find_if(right.begin(), right.end(), [&](const Expr* other) { return same(*item, *other, budget); });
    if (partner == right.end()) return false;
    right.erase(partner);
    return true;
  });
}

// x = 1, y = 2: equations of different symbols, whose order says which is which
bool names_its_items(const Expr& list) {
  std::vector<std::string> names;
  for (const Expr& item : list.parts)
    if (is(item, Kind::kRelation) && is(item.parts[0], Kind::kSymbol)) names.push_back(item.parts[0].text);
  std::sort(names.begin(), names.end());
  return names.size() == list.parts.size() && std::adjacent_find(names.begin(), names.end()) == names.end();
}

bool same_lists(const Expr& a, const Expr& b, Budget& budget) {
  if (names_its_items(a) != names_its_items(b)) return in_order(a.parts, b.parts, budget);
  return in_any_order(a, b, budget);
}

// Of two items the brackets tell open from closed intervals; longer ones are lists in any style.
bool same_brackets(const Expr& a, const Expr& b, Budget& budget) {
  if (a.parts.size() != b.parts.size() || (a.parts.size() == 2 && a.text != b.text)) return false;
  return in_order(a.parts, b.parts, budget);
}

// Rows of brackets, [[1,2],[3,4]], or one column or row of a matrix against a tuple
bool same_matrix_and_bracket(const Expr& matrix, const Expr& bracket, Budget& budget) {
  const bool has_rows =
      std::all_of(bracket.parts.begin(), bracket.parts.end(), [](const Expr& row) { return is(row, Kind::kBracket); });
  if (!has_rows) {
    const bool is_vector = matrix.columns == 1 || matrix.columns == matrix.parts.size();
    return is_vector && bracket.text[0] != '\\' && in_order(matrix.parts, bracket.parts, budget);
  }
  std::vector<Expr> flat;
  for (const Expr& row : bracket.parts) {
    if (row.parts.size() != matrix.columns) return false;
    flat.insert(flat.end(), row.parts.begin(), row.parts.end());
  }
  return in_order(matrix.parts, flat, budget);
}

Expr difference(const Expr& a, const Expr& b) { return make(Kind::kSum, {a, make(Kind::kNegative, {b})}); }

bool is_equation(const Expr& e) {
  return is(e, Kind::kRelation) && e.text.find_first_not_of("=~") == std::string::npos;
}

bool same_equations(const Expr& a, const Expr& b, Budget& budget) {
  if (a.text == "=" && b.text == "=" &&
      same_up_to_factor(difference(a.parts[0], a.parts[1]), difference(b.parts[0], b.parts[1]), false, budget))
    return true;
  // f(x) = 2x and y = 2x, Area = 5 and A = 5; but x = 5 is not y = 5.
  const Expr *left = said_by(a), *right = said_by(b);
  if (!left || !right) return false;
  const bool have_names = is(a.parts[0], Kind::kSymbol) && is(b.parts[0], Kind::kSymbol);
  return (!have_names || a.parts[0].text == b.parts[0].text) && same(*left, *right, budget);
}

// 2x < 10 and 5 > x: the larger side less the smaller one, up to a positive factor
bool same_inequalities(const Expr& a, const Expr& b, Budget& budget) {
  if (a.text.size() != 1 || b.text.size() != 1) return false;
  const auto is_strict = [](const Expr& e) { return e.text == "<" || e.text == ">"; };
  const auto gap = [](const Expr& e) {
    return e.text == "<" || e.text == "l" ? difference(e.parts[1], e.parts[0]) : difference(e.parts[0], e.parts[1]);
  };
  const bool are_unequal = a.text == "n" && b.text == "n";
  if (!are_unequal && (a.text == "n" || b.text == "n" || is_strict(a) != is_strict(b))) return false;
  if (a.text == "e" || b.text == "e" || a.text == "=" || b.text == "=") return false;
  return same_up_to_factor(gap(a), gap(b), !are_unequal, budget);
}

bool same_relations(const Expr& a, const Expr& b, Budget& budget) {
  if (is_equation(a) && is_equation(b)) return same_equations(a, b, budget);
  if (is_equation(a) || is_equation(b)) return false;
  if (a.text == b.text && in_order(a.parts, b.parts, budget)) return true;
  return same_inequalities(a, b, budget);
}

// 6:4 and 3:2 are one ratio, 12:30 and 6:15 two times of day.
bool same_ratios(const Expr& a, const Expr& b, Budget& budget) {
  if (a.parts.size() != b.parts.size()) return false;
  const auto is_clock = [](const Expr& e) {
    return std::all_of(e.parts.begin() + 1, e.parts.end(),
                       [](const Expr& part) { return is(part, Kind::kNumber) && part.text.size() == 2; });
  };
  if (is_clock(a) || is_clock(b)) return in_order(a.parts, b.parts, budget);
  for (std::size_t i = 1; i < a.parts.size(); ++i)
    if (!same_number(make(Kind::kProduct, {a.parts[i], b.parts[0]}), make(Kind::kProduct, {a.parts[0], b.parts[i]}),
                     budget))
      return false;
  return same_number(make(Kind::kQuotient, {a.parts[1], a.parts[0]}), make(Kind::kQuotient, {b.parts[1], b.parts[0]}),
                     budget);
}

bool same_based(const Expr& a, const Expr& b, Budget& budget) {
  const auto digits = [](const Expr& e) {
    std::string out = lower(e.text);
    out.erase(0, std::min(out.find_first_not_of('0'), out.size() - 1));
    return out;
  };
  return digits(a) == digits(b) && same(a.parts[0], b.parts[0], budget);
}

// Kinds that denote sets of real numbers by themselves; a tuple or a finite set does so next to one of them.
bool is_set_like(const Expr& e) {
  if (is(e, Kind::kRelation)) return !is_equation(e);
  if (is(e, Kind::kList))
    return std::all_of(e.parts.begin(), e.parts.end(),
                       [](const Expr& p) { return is(p, Kind::kRelation) && !is_equation(p); });
  if (is(e, Kind::kBracket))
    return e.text == "(]" || e.text == "[)" ||
           std::any_of(e.parts.begin(), e.parts.end(), [](const Expr& p) { return contains(p, Kind::kInfinity); });
  return is(e, Kind::kUnion) || is(e, Kind::kIntersection) || is(e, Kind::kDifference) || is(e, Kind::kNamedSet);
}

bool same_as_sets(const Expr& a, const Expr& b, Budget& budget) {
  const auto left = real_set(a, budget);
  if (!left) return false;
  const auto right = real_set(b, budget);
  return right && same_set(*left, *right, budget);
}

bool is_number_like(const Expr& e) {
  switch (e.kind) {
    case Kind::kText:
    case Kind::kNamedSet:
    case Kind::kModulo:
    case Kind::kBased:
    case Kind::kBracket:
    case Kind::kSet:
    case Kind::kList:
    case Kind::kMatrix:
    case Kind::kUnion:
    case Kind::kIntersection:
    case Kind::kDifference:
    case Kind::kRelation: return false;
    default: return true;
  }
}

// Both of one kind.
bool same_kind(const Expr& a, const Expr& b, Budget& budget) {
  switch (a.kind) {
    case Kind::kText: return same_words(a.text, b.text);
    case Kind::kNamedSet: return a.text == b.text;
    case Kind::kModulo: return same(a.parts[1], b.parts[1], budget) && same(a.parts[0], b.parts[0], budget);
    case Kind::kBased: return same_based(a, b, budget);
    case Kind::kBracket: return same_brackets(a, b, budget);
    case Kind::kSet: return in_any_order(a, b, budget);
    case Kind::kList: return same_lists(a, b, budget);
    case Kind::kMatrix: return a.columns == b.columns && in_order(a.parts, b.parts, budget);
    case Kind::kRelation: return same_relations(a, b, budget);
    case Kind::kUnion:
    case Kind::kIntersection: return in_any_order(a, b, budget);
    case Kind::kDifference: return in_order(a.parts, b.parts, budget);
    case Kind::kRatio:
      if (same_ratios(a, b, budget)) return true;
      return false;
    default: return same_number(a, b, budget);
  }
}

// `a` is of a kind that may stand for another one.
bool same_across(const Expr& a, const Expr& b, Budget& budget) {
  if (is(a, Kind::kRelation))
    if (const Expr* const said = said_by(a); said && same(*said, b, budget)) return true;
  if (is(a, Kind::kSet) && is(b, Kind::kList)) return in_any_order(a, b, budget);
  if (is(a, Kind::kSet) && a.parts.size() == 1 && !is(b, Kind::kBracket)) return same(a.parts[0], b, budget);
  if (is(a, Kind::kBracket) && is(b, Kind::kList)) return !is_set_like(a) && in_order(a.parts, b.parts, budget);
  if (is(a, Kind::kMatrix) && is(b, Kind::kBinomial)) return a.columns == 1 && in_order(a.parts, b.parts, budget);
  if (is(a, Kind::kMatrix) && is(b, Kind::kBracket)) return same_matrix_and_bracket(a, b, budget);
  if (is(a, Kind::kModulo) && !is(b, Kind::kModulo)) return same(a.parts[0], b, budget);
  if (is(a, Kind::kText) && is(b, Kind::kSymbol)) return same_words(a.text, b.text);
  if (is(a, Kind::kText) && is(b, Kind::kNumber)) return number_in_words(a.text) == b.text;
  return false;
}

}  // namespace

bool same(const Expr& a, const Expr& b, Budget& budget) {
  if (!budget.spend(1)) return false;
  if (is_number_like(a) && is_number_like(b))
    return a.kind == b.kind ? same_kind(a, b, budget) : same_number(a, b, budget);
  if (a.kind == b.kind && same_kind(a, b, budget)) return true;
  if ((is_set_like(a) || is_set_like(b)) && same_as_sets(a, b, budget)) return true;
  return a.kind != b.kind && (same_across(a, b, budget) || same_across(b, a, budget));
}

bool same_answer(std::string_view a, std::string_view b) {
  const std::string left = compact(a), right = compact(b);
  if (left.empty() || right.empty()) return false;
  if (left == right) return true;
  if (is_clock_time(left) || is_clock_time(right)) return same_words(a, b);
  auto x = parse(a), y = parse(b);
  if (x && y) {
    Budget budget;
    if (same(rewritten(std::move(*x)), rewritten(std::move(*y)), budget)) return true;
  }
  if (const char choice = lone_choice(a); choice && choice == stated_choice(b)) return true;
  if (const char choice = lone_choice(b); choice && choice == stated_choice(a)) return true;
  if (is_wordy(a) && is_wordy(b)) return same_words(a, b);
  // What is no formula is compared as text, prose without its punctuation.
  if (x && y) return false;
  return lower(left) == lower(right) || (is_prose(a) && is_prose(b) && same_words(a, b));
}

}  // namespace kvgauge::math
