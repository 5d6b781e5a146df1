#pragma once
#include <optional>

#include "text/jinja_token_reader.h"

namespace kvgauge::jinja {

/// Parses expressions with Jinja2's own precedence: if-else < or < and < not < comparison < + - < ~ < * / // % < ** <
/// unary < postfix < filters and tests. Names of filters, tests and methods are resolved here, at load.
class ExpressionParser : protected TokenReader {
 protected:
  using TokenReader::TokenReader;

  ExprPtr parse_expression();
  ExprPtr parse_tuple(bool with_conditional);
  ExprPtr parse_dot(ExprPtr object);
  ExprPtr parse_filter(ExprPtr subject);

 private:
  ExprPtr parse_conditional();
  ExprPtr parse_or();
  ExprPtr parse_and();
  ExprPtr parse_not();
  std::optional<Comparison> take_comparison();
  ExprPtr parse_compare();
  ExprPtr parse_sum();
  ExprPtr parse_concat();
  ExprPtr parse_product();
  ExprPtr parse_power();
  ExprPtr parse_unary(bool with_filters);
  ExprPtr parse_primary();
  ExprPtr parse_name();
  ExprPtr parse_number();
  ExprPtr parse_parentheses();
  bool at_tuple_end() const;
  ExprPtr parse_list();
  ExprPtr parse_dict();
  ExprPtr parse_postfix(ExprPtr expr);
  ExprPtr parse_subscript(ExprPtr object);
  void parse_arguments(Expr& call);
  ExprPtr parse_call(ExprPtr callee);
  ExprPtr parse_filters(ExprPtr expr);
  void check_inner_name(const Expr& expr) const;
  ExprPtr parse_test(ExprPtr subject);
};

}  // namespace kvgauge::jinja
