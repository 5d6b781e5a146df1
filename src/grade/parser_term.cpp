#include <algorithm>

#include "core/cat.h"
#include "grade/math_words.h"
#include "grade/parser_state.h"

namespace kvgauge::math {
namespace {

using Type = Token::Type;

bool is_integer(const Expr& e) {
  return e.kind == Kind::kNumber && !e.has_point && e.exponent == 0 && e.repeating == 0 && !e.is_grouped;
}

bool is_integer_fraction(const Expr& e) {
  return e.kind == Kind::kQuotient && !e.is_grouped && is_integer(e.parts[0]) && is_integer(e.parts[1]);
}

// Words that may stand before a number without changing it.
bool is_hedge(std::string_view word) {
  for (const std::string_view hedge :
       {"about", "approximately", "exactly", "approx", "roughly", "only", "around", "nearly", "About", "Approximately",
        "Exactly", "approx.", "Rs", "base", "USD", "EUR"})
    if (word == hedge) return true;
  return false;
}

Expr one_or_product(std::vector<Expr> factors) {
  if (factors.size() == 1) return std::move(factors[0]);
  return make(Kind::kProduct, std::move(factors));
}

}  // namespace

Expr Parser::sum() {
  const Level level(*this);
  std::vector<Expr> terms;
  bool is_first = true;
  while (!failed_) {
    char sign = 0;
    // - - 3 and + - 3: any run of signs
    bool is_negative = false, is_signed = false;
    for (;; is_signed = true) {
      if (take("-")) {
        is_negative = !is_negative;
      } else if (is_sign("pm") || is_sign("mp")) {
        sign = is_sign("pm") ? '+' : '-';
        ++pos_;
      } else if (!take("+")) {
        break;
      }
    }
    if (!is_first && !is_signed) break;
    is_first = false;
    Expr next = term();
    if (sign) next = make(Kind::kPlusMinus, {std::move(next)}, std::string(1, sign));
    if (is_negative) next = make(Kind::kNegative, {std::move(next)});
    terms.push_back(std::move(next));
  }
  if (failed_) return {};
  Expr result = terms.size() == 1 ? std::move(terms[0]) : make(Kind::kSum, std::move(terms));
  if (take("mod")) return make(Kind::kModulo, {std::move(result), term()});
  if (is_sign("(") && is_sign("mod", 1)) {  // 3 (mod 7)
    pos_ += 2;
    Expr modulus = sum();
    expect(")");
    return make(Kind::kModulo, {std::move(result), std::move(modulus)});
  }
  return result;
}

// Whether the next token continues a product without a sign.
bool Parser::joins_factor() const {
  const Token& next = peek();
  if (next.type == Type::kEnd) return false;
  if (next.type == Type::kNumber) return false;
  if (next.type != Type::kSign) return true;
  if (next.text == "|") return bars_ == 0 && !in_set_;
  if (next.text == "(" && is_sign("mod", 1)) return false;
  for (const std::string_view sign :
       {"(", "[", "{", "\\{", "frac", "sqrt", "binom", "floor(", "ceil(", "begin matrix", "begin determinant"})
    if (next.text == sign) return true;
  return false;
}

// Words after a number are its unit; a mixed number is a sum.
void Parser::append_factor(std::vector<Expr>& factors, Expr factor) {
  if (factor.kind == Kind::kText) {
    if (!factors.empty()) {
      if (factors.back().kind == Kind::kText) factors.back().text += ' ' + factor.text;
      return;
    }
  } else if (factors.size() == 1 && factors[0].kind == Kind::kText) {
    if (!is_hedge(factors[0].text)) {
      fail();
      return;
    }
    factors.clear();
  }
  // 45 degrees C
  const bool is_temperature = !factors.empty() && factors.back().kind == Kind::kDegree &&
                              factor.kind == Kind::kSymbol &&
                              (factor.text == "C" || factor.text == "F" || factor.text == "K");
  if (!is_temperature) factors.push_back(std::move(factor));
}

Expr Parser::term() {
  std::vector<Expr> factors;
  append_factor(factors, power());
  while (!failed_) {
    if (take("*")) {
      bool is_negative = false;
      while (is_sign("-") || is_sign("+")) is_negative ^= peek().text == "-", ++pos_;
      Expr next = power();
      append_factor(factors, is_negative ? make(Kind::kNegative, {std::move(next)}) : std::move(next));
    } else if (take("/")) {
      bool is_negative = false;
      while (is_sign("-") || is_sign("+")) is_negative ^= peek().text == "-", ++pos_;
      Expr divisor = power();
      if (divisor.kind == Kind::kText) continue;  // miles / hour
      if (is_negative) divisor = make(Kind::kNegative, {std::move(divisor)});
      Expr dividend = one_or_product(std::move(factors));
      factors.clear();
      factors.push_back(make(Kind::kQuotient, {std::move(dividend), std::move(divisor)}));
    } else if (peek().type == Type::kNumber && factors.back().kind == Kind::kFactorial) {  // 3!4!
      append_factor(factors, power());
    } else if (peek().type == Type::kNumber) {
      // 1 1/2 is a mixed number, two numbers side by side are nothing else.
      const bool is_mixed = factors.size() == 1 && is_integer(factors[0]) && peek().is_spaced && is_sign("/", 1) &&
                            peek(2).type == Type::kNumber;
      if (!is_mixed)
        return factors.back().kind == Kind::kText && is_hedge(factors.back().text) ? (factors.clear(), term()) : fail();
      Expr whole = std::move(factors[0]);
      Expr above = number();
      ++pos_;
      Expr below = number();
      factors[0] = make(Kind::kSum, {std::move(whole), make(Kind::kQuotient, {std::move(above), std::move(below)})});
      factors[0].is_grouped = true;
    } else if (joins_factor()) {
      const bool is_after_integer = factors.size() == 1 && is_integer(factors[0]) && is_sign("frac");
      Expr next = power();
      if (failed_) break;
      if (is_after_integer && is_integer_fraction(next)) {
        factors[0] = make(Kind::kSum, {std::move(factors[0]), std::move(next)});
        factors[0].is_grouped = true;
      } else {
        append_factor(factors, std::move(next));
      }
    } else {
      break;
    }
  }
  if (failed_) return {};
  return one_or_product(std::move(factors));
}

Expr Parser::power() {
  const Level level(*this);
  Expr base = with_postfixes(primary());
  while (take("^")) {
    Expr raised = exponent();
    if (base.kind == Kind::kText) continue;  // cm^2
    base = with_postfixes(make(Kind::kPower, {std::move(base), std::move(raised)}));
  }
  return base;
}

// What stands after ^; 2^3^2 is 2^(3^2).
Expr Parser::exponent() {
  const Level level(*this);
  bool is_negative = false;
  while (is_sign("-") || is_sign("+")) is_negative ^= peek().text == "-", ++pos_;
  Expr e = primary();
  if (take("^")) e = make(Kind::kPower, {std::move(e), exponent()});
  return is_negative ? make(Kind::kNegative, {std::move(e)}) : std::move(e);
}

Expr Parser::with_postfixes(Expr e) {
  while (!failed_) {
    if (is_sign("!")) {
      std::string marks;
      while (take("!")) marks += '!';
      e = make(Kind::kFactorial, {std::move(e)}, marks);
    } else if (take("%")) {
      e = make(Kind::kPercent, {std::move(e)});
    } else if (take("deg")) {
      e = make(Kind::kDegree, {std::move(e)});
    } else if (is_sign("_") && e.kind == Kind::kNumber && !e.has_point) {
      e = based(e.text);
    } else if (is_sign("_") && e.kind == Kind::kText) {
      e = based(e.text);
    } else {
      break;
    }
  }
  return e;
}

Expr Parser::based(std::string digits) {
  ++pos_;
  std::vector<Expr> base = {argument(true)};
  if (base[0].kind == Kind::kText)
    if (const char* const number = digits_of_word(base[0].text)) base[0] = make(Kind::kNumber, {}, number);
  return make(Kind::kBased, std::move(base), std::move(digits));
}

Expr Parser::primary() {
  if (failed_) return {};
  switch (peek().type) {
    case Type::kNumber: return number();
    case Type::kSymbol: return symbol();
    case Type::kText: return words();
    case Type::kFunction: return function();
    case Type::kSign: break;
    case Type::kEnd: return fail();
  }
  const std::string& sign = peek().text;
  if (sign == "(" || sign == "[") return bracket();
  if (sign == "{") return group();
  if (sign == "\\{") return set();
  if (sign == "frac") return fraction();
  if (sign == "sqrt") return root();
  if (sign == "binom") return binomial();
  if (sign == "|") return absolute();
  if (sign == "floor(") return rounded("floor");
  if (sign == "ceil(") return rounded("ceil");
  if (sign == "begin matrix") return matrix(false);
  if (sign == "begin determinant") return matrix(true);
  return fail();
}

Expr Parser::number() {
  const Token& token = peek();
  Expr e = make(Kind::kNumber, {}, token.text);
  e.exponent = token.exponent;
  e.repeating = token.repeating;
  e.has_point = token.has_point;
  ++pos_;
  return e;
}

Expr Parser::symbol() {
  const std::string& name = peek().text;
  Expr e = make(Kind::kSymbol, {}, name);
  if (name == "\\pi") e.kind = Kind::kPi;
  if (name == "e" || name == "\\e") e.kind = Kind::kEuler;
  if (name == "i" || name == "\\imath") e.kind = Kind::kImaginary;
  if (name == "\\infty") e.kind = Kind::kInfinity;
  if (name == "\\emptyset") e.kind = Kind::kSet;
  if (name.compare(0, 8, "\\mathbb ") == 0) {
    e.kind = Kind::kNamedSet;
    e.text = name.substr(8);
  }
  ++pos_;
  return e;
}

Expr Parser::words() {
  Expr e = make(Kind::kText, {}, peek().text);
  ++pos_;
  return e;
}

Expr Parser::function() {
  const Level level(*this);
  std::string name = peek().text;
  ++pos_;
  std::vector<Expr> raised, base;
  for (;;) {
    if (raised.empty() && take("^")) {
      raised.push_back(exponent());
    } else if (base.empty() && take("_")) {
      base.push_back(argument(false));
    } else if (base.empty() && name == "log" && peek().type == Type::kNumber && !peek().is_spaced && is_sign("(", 1)) {
      base.push_back(number());  // log2(8)
    } else {
      break;
    }
  }
  const bool is_inverse = raised.size() == 1 && raised[0].kind == Kind::kNegative && is_integer(raised[0].parts[0]) &&
                          raised[0].parts[0].text == "1";
  if (is_inverse) {
    name = cat("arc", name);
    raised.clear();
  }
  std::vector<Expr> operands = {function_argument()};
  for (Expr& b : base) operands.push_back(std::move(b));
  Expr e = make(Kind::kFunction, std::move(operands), name);
  if (raised.empty()) return e;
  return make(Kind::kPower, {std::move(e), std::move(raised[0])});
}

// \sin 2x: the factors up to a sign or the next function; \sin(2)x: the parentheses only.
Expr Parser::function_argument() {
  if (is_sign("(") || is_sign("[") || is_sign("|")) return with_postfixes(primary());
  std::vector<Expr> factors;
  if (take("-")) {
    factors.push_back(make(Kind::kNegative, {power()}));
  } else {
    factors.push_back(power());
  }
  while (!failed_ && joins_factor() && peek().type != Type::kFunction && peek().type != Type::kText && !is_sign("("))
    factors.push_back(power());
  return one_or_product(std::move(factors));
}

// An argument of a command: {..}, one digit or one symbol; parentheses count too, as plain text has them.
Expr Parser::argument(bool takes_whole_number) {
  if (peek().type == Type::kNumber && !takes_whole_number && !peek().has_point && peek().text.size() > 1) {
    Expr digit = make(Kind::kNumber, {}, peek().text.substr(0, 1));
    tokens_[pos_].text.erase(0, 1);
    tokens_[pos_].is_spaced = false;
    return digit;
  }
  if (is_sign("-")) {
    ++pos_;
    return make(Kind::kNegative, {argument(takes_whole_number)});
  }
  return primary();
}

Expr Parser::fraction() {
  const Level level(*this);
  ++pos_;
  Expr above = argument(false);
  Expr below = argument(false);
  // miles / hour, 5 miles / hour
  if (below.kind == Kind::kText) return above;
  if (above.kind == Kind::kText) return fail();
  return make(Kind::kQuotient, {std::move(above), std::move(below)});
}

Expr Parser::root() {
  const Level level(*this);
  ++pos_;
  Expr degree = make(Kind::kNumber, {}, "2");
  if (take("[")) {
    degree = sum();
    expect("]");
  }
  Expr radicand = argument(true);
  return make(Kind::kRoot, {std::move(radicand), std::move(degree)});
}

Expr Parser::binomial() {
  const Level level(*this);
  ++pos_;
  Expr above = argument(false);
  Expr below = argument(false);
  return make(Kind::kBinomial, {std::move(above), std::move(below)});
}

// {..}: what it holds; several items are a set written without backslashes.
Expr Parser::group() {
  const Level level(*this);
  const int bars = std::exchange(bars_, 0);
  ++pos_;
  if (take("}")) {
    bars_ = bars;
    return is_sign("^") || is_sign("_") ? fail() : make(Kind::kSet, {});
  }
  Expr inside = list();
  bars_ = bars;
  if (take("choose")) {
    inside = make(Kind::kBinomial, {std::move(inside), sum()});
  } else if (take("over")) {
    inside = make(Kind::kQuotient, {std::move(inside), sum()});
  }
  expect("}");
  if (inside.kind == Kind::kList && !inside.is_grouped) inside.kind = Kind::kSet;
  if (inside.kind == Kind::kSum || inside.kind == Kind::kProduct || inside.kind == Kind::kNegative)
    inside.is_grouped = true;
  return inside;
}

Expr Parser::absolute() {
  const Level level(*this);
  ++pos_;
  ++bars_;
  Expr inside = sum();
  --bars_;
  expect("|");
  return make(Kind::kFunction, {std::move(inside)}, "abs");
}

Expr Parser::rounded(std::string_view name) {
  const Level level(*this);
  ++pos_;
  Expr inside = sum();
  expect(name == "floor" ? "floor)" : "ceil)");
  return make(Kind::kFunction, {std::move(inside)}, std::string(name));
}

}  // namespace kvgauge::math
