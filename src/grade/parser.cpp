#include "grade/parser.h"

#include <algorithm>

#include "grade/ascii_math.h"
#include "grade/parser_state.h"

namespace kvgauge::math {
namespace {

constexpr std::size_t kMostTokens = 1024;

char relation_sign(std::string_view sign) {
  if (sign == "=" || sign == "<" || sign == ">" || sign == "~") return sign[0];
  if (sign == "<=") return 'l';
  if (sign == ">=") return 'g';
  if (sign == "!=") return 'n';
  if (sign == "in") return 'e';
  return 0;
}

}  // namespace

Expr Parser::list() {
  const Level level(*this);
  std::vector<Expr> items = {relation()};
  std::string separator = ",";
  for (;;) {
    bool is_separated = false;
    while (is_sign(",") || is_sign(";") || is_sign("&") || is_sign("and") || is_sign("or")) {
      if (is_sign("or")) separator = "or";
      ++pos_;
      is_separated = true;
    }
    if (!is_separated) break;
    if (peek().type == Token::Type::kEnd) break;  // a final comma
    items.push_back(relation());
  }
  if (items.size() == 1) return std::move(items[0]);
  return make(Kind::kList, std::move(items), separator);
}

Expr Parser::relation() {
  if (is_sign("=") || is_sign("~")) ++pos_;  // = 5
  std::vector<Expr> sides = {set_operation()};
  std::string signs;
  while (peek().type == Token::Type::kSign) {
    const char sign = relation_sign(peek().text);
    if (sign == 0) break;
    ++pos_;
    signs += sign;
    sides.push_back(set_operation());
  }
  if (signs.empty()) return std::move(sides[0]);
  return make(Kind::kRelation, std::move(sides), signs);
}

Expr Parser::set_operation() {
  Expr left = ratio();
  for (;;) {
    const Kind kind = is_sign("cup") ? Kind::kUnion : is_sign("cap") ? Kind::kIntersection : Kind::kDifference;
    if (kind == Kind::kDifference && !is_sign("minus")) return left;
    ++pos_;
    std::vector<Expr> parts;
    if (left.kind == kind && kind != Kind::kDifference && !left.is_grouped)
      parts = std::move(left.parts);
    else
      parts.push_back(std::move(left));
    parts.push_back(ratio());
    left = make(kind, std::move(parts));
  }
}

Expr Parser::ratio() {
  Expr first = sum();
  if (in_set_ || !is_sign(":")) return first;
  std::vector<Expr> parts;
  parts.push_back(std::move(first));
  while (take(":")) parts.push_back(sum());
  return make(Kind::kRatio, std::move(parts));
}

// ( or [ .. ) or ]: parentheses around one item, else a tuple or an interval.
Expr Parser::bracket() {
  const Level level(*this);
  const bool was_in_set = std::exchange(in_set_, false);
  const int bars = std::exchange(bars_, 0);
  std::string pair = peek().text;
  ++pos_;
  Expr inside = list();
  in_set_ = was_in_set;
  bars_ = bars;
  if (!is_sign(")") && !is_sign("]")) return fail();
  pair += peek().text;
  ++pos_;
  if (inside.kind == Kind::kList && !inside.is_grouped) return make(Kind::kBracket, std::move(inside.parts), pair);
  inside.is_grouped = true;
  return inside;
}

// \{ .. \}; {x | condition} is its condition.
Expr Parser::set() {
  const Level level(*this);
  const bool was_in_set = std::exchange(in_set_, true);
  const int bars = std::exchange(bars_, 0);
  ++pos_;
  Expr result = make(Kind::kSet, {});
  if (!is_sign("\\}")) {
    Expr inside = list();
    if (take("|") || take("mid") || take(":")) {
      result = list();
    } else if (inside.kind == Kind::kList && !inside.is_grouped) {
      result.parts = std::move(inside.parts);
    } else {
      result.parts.push_back(std::move(inside));
    }
  }
  in_set_ = was_in_set;
  bars_ = bars;
  expect("\\}");
  return result;
}

Expr Parser::matrix(bool is_determinant) {
  const Level level(*this);
  ++pos_;
  Expr result = make(Kind::kMatrix, {});
  std::uint32_t columns = 0;
  while (!failed_ && !is_sign("end matrix")) {
    result.parts.push_back(sum());
    ++columns;
    if (take("&")) continue;
    const bool is_last = !take("\\\\") || is_sign("end matrix");
    if (result.columns == 0) result.columns = columns;
    if (columns != result.columns || (is_last && !is_sign("end matrix"))) return fail();
    columns = 0;
  }
  expect("end matrix");
  if (result.parts.empty() || columns != 0) return fail();
  if (!is_determinant) return result;
  return make(Kind::kFunction, {std::move(result)}, "det");
}

std::optional<Expr> parse(std::string_view text) {
  auto tokens = tokenize(ascii_math(text), kMostTokens);
  if (!tokens || tokens->size() <= 1) return std::nullopt;
  Parser parser(std::move(*tokens));
  Expr answer = parser.list();
  if (!parser.is_whole()) return std::nullopt;
  return answer;
}

}  // namespace kvgauge::math
