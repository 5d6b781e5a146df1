#include "grade/rewrite.h"

#include <algorithm>

#include "grade/plain_text.h"

namespace kvgauge::math {
namespace {

constexpr std::size_t kMostItems = 2000;

// With every \pm read as `sign` and every \mp as its opposite.
Expr with_sign(const Expr& e, bool is_plus) {
  if (e.kind == Kind::kPlusMinus) {
    Expr inside = with_sign(e.parts[0], is_plus);
    if ((e.text == "+") == is_plus) return inside;
    return make(Kind::kNegative, {std::move(inside)});
  }
  Expr out = e;
  for (Expr& part : out.parts) part = with_sign(part, is_plus);
  return out;
}

bool is_collection(Kind kind) { return kind == Kind::kList || kind == Kind::kSet; }

// The items with plus-minus written out and lists in lists dissolved.
std::vector<Expr> expanded(std::vector<Expr> items) {
  std::vector<Expr> out;
  for (Expr& item : items) {
    if (!is_collection(item.kind) && contains(item, Kind::kPlusMinus) && out.size() < kMostItems) {
      out.push_back(with_sign(item, true));
      out.push_back(with_sign(item, false));
    } else if (item.kind == Kind::kList) {
      for (Expr& inner : item.parts) out.push_back(std::move(inner));
    } else {
      out.push_back(std::move(item));
    }
  }
  return out;
}

bool is_inequality(const Expr& e) {
  return e.kind == Kind::kRelation && e.text.find_first_not_of("<>lgn") == std::string::npos;
}

// scalar factors and one matrix or vector -> its elements times the factors
void distribute(Expr& product) {
  const auto is_array = [](const Expr& e) { return e.kind == Kind::kMatrix || e.kind == Kind::kBracket; };
  const auto array = std::find_if(product.parts.begin(), product.parts.end(), is_array);
  if (array == product.parts.end() || std::count_if(product.parts.begin(), product.parts.end(), is_array) != 1) return;
  if (array->kind == Kind::kBracket && array != product.parts.end() - 1) return;
  if (product.parts.size() * array->parts.size() > kMostItems) return;
  Expr result = std::move(*array);
  product.parts.erase(array);
  // P(1,2) is a point with its name.
  const bool is_name =
      result.kind == Kind::kBracket && product.parts.size() == 1 && product.parts[0].kind == Kind::kSymbol;
  if (!is_name)
    for (Expr& part : result.parts) {
      std::vector<Expr> factors = product.parts;
      factors.push_back(std::move(part));
      part = make(Kind::kProduct, std::move(factors));
    }
  product = std::move(result);
}

void rewrite(Expr& e) {
  for (Expr& part : e.parts) rewrite(part);
  if (e.kind == Kind::kText) {
    const std::string words = plain_words(e.text);
    for (const std::string_view reals :
         {"all real numbers", "real numbers", "all reals", "set of all real numbers", "set of real numbers"})
      if (words == reals) e = make(Kind::kNamedSet, {}, "R");
    for (const std::string_view empty : {"empty set", "no solution", "no solutions"})
      if (words == empty) e = make(Kind::kSet, {});
  }
  if (e.kind == Kind::kProduct) distribute(e);
  if (e.kind == Kind::kQuotient && e.parts[0].kind == Kind::kMatrix) {
    for (Expr& part : e.parts[0].parts) part = make(Kind::kQuotient, {std::move(part), e.parts[1]});
    Expr matrix = std::move(e.parts[0]);
    e = std::move(matrix);
  }
  if (e.kind == Kind::kNegative && e.parts[0].kind == Kind::kMatrix) {
    for (Expr& part : e.parts[0].parts) part = make(Kind::kNegative, {std::move(part)});
    Expr matrix = std::move(e.parts[0]);
    e = std::move(matrix);
  }
  if (is_collection(e.kind)) {
    e.parts = expanded(std::move(e.parts));
    if (e.kind == Kind::kList && e.text == "or" && std::all_of(e.parts.begin(), e.parts.end(), is_inequality))
      e.kind = Kind::kUnion;
  }
}

bool has_number(const Expr& e) {
  return e.kind == Kind::kNumber || std::any_of(e.parts.begin(), e.parts.end(), has_number);
}

}  // namespace

bool contains(const Expr& e, Kind kind) {
  return e.kind == kind ||
         std::any_of(e.parts.begin(), e.parts.end(), [&](const Expr& part) { return contains(part, kind); });
}

bool is_constant(const Expr& e) {
  return e.kind != Kind::kSymbol && e.kind != Kind::kText && std::all_of(e.parts.begin(), e.parts.end(), is_constant);
}

Expr rewritten(Expr e) {
  rewrite(e);
  if (!is_collection(e.kind) && contains(e, Kind::kPlusMinus)) {
    std::vector<Expr> items;
    items.push_back(std::move(e));
    e = make(Kind::kList, expanded(std::move(items)), ",");
  }
  if (e.kind == Kind::kList && e.parts.size() == 1) {
    Expr only = std::move(e.parts[0]);
    e = std::move(only);
  }
  return e;
}

bool is_label(const Expr& e) {
  switch (e.kind) {
    case Kind::kSymbol:
    case Kind::kText:
    case Kind::kEuler: return true;
    case Kind::kProduct: return e.parts.size() == 2 && e.parts[0].kind == Kind::kSymbol && e.parts[1].is_grouped;
    case Kind::kBracket: return std::all_of(e.parts.begin(), e.parts.end(), is_label);
    default: return false;
  }
}

const Expr* said_by(const Expr& e) {
  if (e.kind != Kind::kRelation) return nullptr;
  const Expr& left = e.parts.front();
  const Expr& right = e.parts.back();
  if (e.text == "e") return is_label(left) ? &right : nullptr;
  if (e.text.find_first_not_of("=~") != std::string::npos) return nullptr;
  // sqrt(2) ~ 1.41: the exact side
  if (e.text.back() == '~' && e.parts.size() > 2) return &e.parts[e.parts.size() - 2];
  if (is_label(left)) return &right;
  if (e.text == "~" && is_constant(left)) return &left;
  if (is_label(right) && right.kind == Kind::kSymbol && is_constant(left)) return &left;
  // a + b = 5 says the value of a + b; x^2 = 4 is an equation.
  if (is_constant(right) && (is_constant(left) || !has_number(left))) return &right;
  return e.parts.size() > 2 ? &right : nullptr;
}

}  // namespace kvgauge::math
