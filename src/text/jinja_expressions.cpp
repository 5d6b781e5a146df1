#include "text/jinja_expressions.h"

#include <charconv>

#include "text/jinja_builtins.h"

namespace kvgauge::jinja {

ExprPtr ExpressionParser::parse_expression() { return parse_conditional(); }

ExprPtr ExpressionParser::parse_conditional() {
  const Nesting nesting(*this);
  ExprPtr then = parse_or();
  while (at_name("if")) {
    ExprPtr expr = make(ExprKind::kConditional, take().position);
    ExprPtr condition = parse_or();
    ExprPtr otherwise = skip_name("else") ? parse_conditional() : nullptr;
    add(*expr, std::move(then));
    add(*expr, std::move(condition));
    add(*expr, std::move(otherwise));
    then = std::move(expr);
  }
  return then;
}

ExprPtr ExpressionParser::parse_or() {
  ExprPtr left = parse_and();
  while (at_name("or")) {
    const Position position = take().position;
    ExprPtr right = parse_and();
    left = make(ExprKind::kOr, position, std::move(left), std::move(right));
  }
  return left;
}

ExprPtr ExpressionParser::parse_and() {
  ExprPtr left = parse_not();
  while (at_name("and")) {
    const Position position = take().position;
    ExprPtr right = parse_not();
    left = make(ExprKind::kAnd, position, std::move(left), std::move(right));
  }
  return left;
}

ExprPtr ExpressionParser::parse_not() {
  if (!at_name("not")) return parse_compare();
  const Nesting nesting(*this);
  ExprPtr expr = make(ExprKind::kNot, take().position);
  add(*expr, parse_not());
  return expr;
}

std::optional<Comparison> ExpressionParser::take_comparison() {
  static constexpr std::pair<std::string_view, Comparison> kOperators[] = {
      {"==", Comparison::kEqual},  {"!=", Comparison::kNotEqual},  {"<", Comparison::kLess},
      {">", Comparison::kGreater}, {"<=", Comparison::kLessEqual}, {">=", Comparison::kGreaterEqual}};
  for (const auto& op : kOperators)
    if (skip_operator(op.first)) return op.second;
  if (skip_name("in")) return Comparison::kIn;
  if (at_name("not") && is_name(peek(), "in")) {
    take();
    take();
    return Comparison::kNotIn;
  }
  return std::nullopt;
}

ExprPtr ExpressionParser::parse_compare() {
  ExprPtr left = parse_sum();
  ExprPtr expr;
  Position position = current().position;
  while (const auto op = take_comparison()) {
    if (!expr) {
      expr = make(ExprKind::kCompare, position);
      add(*expr, std::move(left));
    }
    expr->comparisons.push_back(*op);
    add(*expr, parse_sum());
  }
  return expr ? std::move(expr) : std::move(left);
}

ExprPtr ExpressionParser::parse_sum() {
  ExprPtr left = parse_concat();
  while (at_operator("+") || at_operator("-")) {
    const ExprKind kind = at_operator("+") ? ExprKind::kAdd : ExprKind::kSubtract;
    const Position position = take().position;
    ExprPtr right = parse_concat();
    left = make(kind, position, std::move(left), std::move(right));
  }
  return left;
}

ExprPtr ExpressionParser::parse_concat() {
  ExprPtr first = parse_product();
  if (!at_operator("~")) return first;
  ExprPtr expr = make(ExprKind::kConcat, current().position);
  add(*expr, std::move(first));
  while (skip_operator("~")) add(*expr, parse_product());
  return expr;
}

ExprPtr ExpressionParser::parse_product() {
  static constexpr std::pair<std::string_view, ExprKind> kOperators[] = {
      {"*", ExprKind::kMultiply}, {"/", ExprKind::kDivide}, {"//", ExprKind::kFloorDivide}, {"%", ExprKind::kModulo}};
  ExprPtr left = parse_power();
  for (bool found = true; found;) {
    found = false;
    for (const auto& op : kOperators) {
      if (!at_operator(op.first)) continue;
      const Position position = take().position;
      ExprPtr right = parse_power();
      left = make(op.second, position, std::move(left), std::move(right));
      found = true;
      break;
    }
  }
  return left;
}

ExprPtr ExpressionParser::parse_power() {
  ExprPtr left = parse_unary(true);
  while (at_operator("**")) {
    const Position position = take().position;
    ExprPtr right = parse_unary(true);
    left = make(ExprKind::kPower, position, std::move(left), std::move(right));
  }
  return left;
}

ExprPtr ExpressionParser::parse_unary(bool with_filters) {
  const Nesting nesting(*this);
  ExprPtr expr;
  if (at_operator("-") || at_operator("+")) {
    expr = make(at_operator("-") ? ExprKind::kNegate : ExprKind::kPlus, current().position);
    take();
    add(*expr, parse_unary(false));
  } else {
    expr = parse_primary();
  }
  expr = parse_postfix(std::move(expr));
  return with_filters ? parse_filters(std::move(expr)) : std::move(expr);
}

ExprPtr ExpressionParser::parse_primary() {
  const Token& token = current();
  switch (token.kind) {
    case TokenKind::kName: return parse_name();
    case TokenKind::kString: {
      ExprPtr expr = make(ExprKind::kConstant, token.position);
      while (current().kind == TokenKind::kString) expr->text += take().text;
      expr->constant = std::string_view(expr->text);
      return expr;
    }
    case TokenKind::kInteger:
    case TokenKind::kFloat: return parse_number();
    case TokenKind::kOperator:
      if (token.text == "(") return parse_parentheses();
      if (token.text == "[") return parse_list();
      if (token.text == "{") return parse_dict();
      [[fallthrough]];
    default: fail(token, cat("found ", describe(token), ", an expression was needed"));
  }
}

ExprPtr ExpressionParser::parse_name() {
  const Token& token = take();
  const bool is_true = token.text == "true" || token.text == "True";
  if (is_true || token.text == "false" || token.text == "False") {
    ExprPtr expr = make(ExprKind::kConstant, token.position);
    expr->constant = is_true;
    return expr;
  }
  if (token.text == "none" || token.text == "None") {
    ExprPtr expr = make(ExprKind::kConstant, token.position);
    expr->constant = None{};
    return expr;
  }
  ExprPtr expr = make(ExprKind::kName, token.position);
  expr->text = token.text;
  return expr;
}

ExprPtr ExpressionParser::parse_number() {
  const Token& token = take();
  ExprPtr expr = make(ExprKind::kConstant, token.position);
  const char* const begin = token.text.data();
  const char* const end = begin + token.text.size();
  std::int64_t integer = 0;
  double number = 0;
  const auto result =
      token.kind == TokenKind::kFloat ? std::from_chars(begin, end, number) : std::from_chars(begin, end, integer);
  if (result.ec != std::errc() || result.ptr != end)
    fail(token, cat("found the number ", token.text, ", one of at most 64 bits was needed"));
  if (token.kind == TokenKind::kFloat)
    expr->constant = number;
  else
    expr->constant = integer;
  return expr;
}

ExprPtr ExpressionParser::parse_parentheses() {
  const Position position = take().position;
  if (skip_operator(")")) return make(ExprKind::kTuple, position);
  ExprPtr expr = parse_tuple(true);
  expect_operator(")");
  return expr;
}

bool ExpressionParser::at_tuple_end() const {
  const TokenKind kind = current().kind;
  return kind == TokenKind::kOutputEnd || kind == TokenKind::kBlockEnd || kind == TokenKind::kEnd || at_operator(")");
}

// One expression, or several with commas, which make a tuple.
ExprPtr ExpressionParser::parse_tuple(bool with_conditional) {
  const Position position = current().position;
  const auto parse_one = [&] { return with_conditional ? parse_expression() : parse_or(); };
  ExprPtr first = parse_one();
  if (!at_operator(",")) return first;
  ExprPtr expr = make(ExprKind::kTuple, position);
  add(*expr, std::move(first));
  while (skip_operator(",") && !at_tuple_end()) add(*expr, parse_one());
  return expr;
}

ExprPtr ExpressionParser::parse_list() {
  ExprPtr expr = make(ExprKind::kList, take().position);
  while (!at_operator("]")) {
    if (!expr->operands.empty()) expect_operator(",");
    if (at_operator("]")) break;
    add(*expr, parse_expression());
  }
  expect_operator("]");
  return expr;
}

ExprPtr ExpressionParser::parse_dict() {
  ExprPtr expr = make(ExprKind::kDict, take().position);
  while (!at_operator("}")) {
    if (!expr->operands.empty()) expect_operator(",");
    if (at_operator("}")) break;
    add(*expr, parse_expression());
    expect_operator(":");
    add(*expr, parse_expression());
  }
  expect_operator("}");
  return expr;
}

ExprPtr ExpressionParser::parse_postfix(ExprPtr expr) {
  while (true) {
    if (at_operator("."))
      expr = parse_dot(std::move(expr));
    else if (at_operator("["))
      expr = parse_subscript(std::move(expr));
    else if (at_operator("("))
      expr = parse_call(std::move(expr));
    else
      return expr;
  }
}

ExprPtr ExpressionParser::parse_dot(ExprPtr object) {
  const Position position = take().position;
  if (current().kind == TokenKind::kInteger) {
    ExprPtr key = parse_number();
    return make(ExprKind::kItem, position, std::move(object), std::move(key));
  }
  ExprPtr expr = make(ExprKind::kAttribute, current().position);
  expr->text = expect_identifier();
  add(*expr, std::move(object));
  return expr;
}

ExprPtr ExpressionParser::parse_subscript(ExprPtr object) {
  const Position position = take().position;
  ExprPtr parts[3];
  int colons = 0;
  if (!at_operator(":")) parts[0] = parse_expression();
  while (colons < 2 && skip_operator(":")) {
    ++colons;
    if (!at_operator(":") && !at_operator("]")) parts[colons] = parse_expression();
  }
  if (at_operator(",")) fail(current(), "found several subscripts, one was needed; they are not supported");
  expect_operator("]");
  if (colons == 0) return make(ExprKind::kItem, position, std::move(object), std::move(parts[0]));
  ExprPtr expr = make(ExprKind::kSlice, position);
  add(*expr, std::move(object));
  for (ExprPtr& part : parts) add(*expr, std::move(part));
  return expr;
}

void ExpressionParser::parse_arguments(Expr& call) {
  expect_operator("(");
  for (bool first = true; !at_operator(")"); first = false) {
    if (!first) {
      expect_operator(",");
      if (at_operator(")")) break;
    }
    if (at_operator("*") || at_operator("**"))
      fail(current(), cat("found '", current().text, "' arguments, which are not supported; plain ones were needed"));
    if (current().kind == TokenKind::kName && is_operator(peek(), "=")) {
      call.names.push_back(take().text);
      take();
    } else if (!call.names.empty()) {
      fail(current(), "found a positional argument after a keyword argument, which must be the last");
    }
    add(call, parse_expression());
  }
  expect_operator(")");
}

ExprPtr ExpressionParser::parse_call(ExprPtr callee) {
  if (callee->kind == ExprKind::kAttribute && !is_method_name(callee->text))
    fail_at(callee->position,
            cat("found the method '", callee->text, "', which is not supported; pass a template without it"));
  ExprPtr expr = make(ExprKind::kCall, current().position);
  add(*expr, std::move(callee));
  parse_arguments(*expr);
  return expr;
}

ExprPtr ExpressionParser::parse_filters(ExprPtr expr) {
  while (true) {
    if (at_operator("|"))
      expr = parse_filter(std::move(expr));
    else if (at_name("is"))
      expr = parse_test(std::move(expr));
    else if (at_operator("("))
      expr = parse_call(std::move(expr));
    else
      return expr;
  }
}

// `subject` is null for the first filter of a filter block or a set block.
ExprPtr ExpressionParser::parse_filter(ExprPtr subject) {
  if (subject) expect_operator("|");
  ExprPtr expr = make(ExprKind::kFilter, current().position);
  expr->text = expect_identifier();
  expr->filter = find_filter(expr->text);
  if (!expr->filter)
    fail_at(expr->position,
            cat("found the filter '", expr->text, "', which is not supported; pass a template without it"));
  add(*expr, std::move(subject));
  if (at_operator("(")) parse_arguments(*expr);
  check_inner_name(*expr);
  return expr;
}

// map('upper'), select('odd'), selectattr('role', 'equalto', ...) name a filter or test: refused at load like the
// others.
void ExpressionParser::check_inner_name(const Expr& expr) const {
  const bool is_attribute_form = expr.text == "selectattr" || expr.text == "rejectattr";
  const bool is_map = expr.text == "map";
  if (!is_attribute_form && !is_map && expr.text != "select" && expr.text != "reject") return;
  const std::size_t at = is_attribute_form ? 2 : 1;
  if (expr.operands.size() - expr.names.size() <= at) return;
  const Expr& name = *expr.operands[at];
  const auto* const text = name.constant.get<std::string_view>();
  if (name.kind != ExprKind::kConstant || !text) return;
  if (is_map ? find_filter(*text) == nullptr : find_test(*text) == nullptr)
    fail_at(name.position, cat("found the ", is_map ? "filter '" : "test '", *text,
                               "', which is not supported; pass a template without it"));
}

ExprPtr ExpressionParser::parse_test(ExprPtr subject) {
  take();
  const bool is_negated = skip_name("not");
  ExprPtr expr = make(ExprKind::kTest, current().position);
  expr->is_negated = is_negated;
  expr->text = expect_identifier();
  expr->test = find_test(expr->text);
  if (!expr->test)
    fail_at(expr->position,
            cat("found the test '", expr->text, "', which is not supported; pass a template without it"));
  add(*expr, std::move(subject));
  const Token& token = current();
  const bool is_value = token.kind == TokenKind::kName || token.kind == TokenKind::kString ||
                        token.kind == TokenKind::kInteger || token.kind == TokenKind::kFloat || at_operator("[") ||
                        at_operator("{");
  if (at_operator("(")) {
    parse_arguments(*expr);
  } else if (is_value && !at_name("else") && !at_name("or") && !at_name("and")) {
    if (at_name("is")) fail(token, "found a second 'is', tests cannot be chained");
    if (at_name("if") || at_name("in") || at_name("not")) return expr;
    ExprPtr argument = parse_postfix(parse_primary());
    add(*expr, std::move(argument));
  }
  return expr;
}

}  // namespace kvgauge::jinja
