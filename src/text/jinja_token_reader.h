#pragma once
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/cat.h"
#include "kvgauge/error.h"
#include "text/jinja_ast.h"
#include "text/jinja_lexer.h"

namespace kvgauge::jinja {

/// The tokens of a template as a parser walks them, and the making of bounded trees; what both parsers share.
class TokenReader {
 protected:
  TokenReader(std::string_view source, std::string_view where, const Limits& limits)
      : where_(where), tokens_(tokenize_template(source, where, limits)) {}

  // Bounds the parser's own recursion; the trees it builds are bounded by make().
  struct Nesting {
    explicit Nesting(TokenReader& parser) : parser(parser) {
      if (++parser.nesting_ > kMaxSyntaxDepth)
        parser.fail(parser.current(),
                    cat("found nesting deeper than ", kMaxSyntaxDepth, " levels, at most that many were needed"));
    }
    ~Nesting() { --parser.nesting_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;
    TokenReader& parser;
  };

  const Token& current() const { return tokens_[at_]; }
  const Token& peek() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& take() {
    const Token& token = tokens_[at_];
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }

  [[noreturn]] void fail_at(Position at, std::string_view message) const {
    std::string line = cat(where_, ":", at.line, ":", at.column, ": ", message);
    for (char& c : line)
      if (c == '\n' || c == '\r') c = ' ';
    throw FormatError(line);
  }
  [[noreturn]] void fail(const Token& at, std::string_view message) const { fail_at(at.position, message); }

  static bool is_name(const Token& token, std::string_view text) {
    return token.kind == TokenKind::kName && token.text == text;
  }
  static bool is_operator(const Token& token, std::string_view text) {
    return token.kind == TokenKind::kOperator && token.text == text;
  }
  bool at_name(std::string_view text) const { return is_name(current(), text); }
  bool at_operator(std::string_view text) const { return is_operator(current(), text); }
  bool skip_name(std::string_view text) { return at_name(text) && (take(), true); }
  bool skip_operator(std::string_view text) { return at_operator(text) && (take(), true); }

  void expect_operator(std::string_view text) {
    if (!skip_operator(text)) fail(current(), cat("found ", describe(current()), ", '", text, "' was needed"));
  }
  void expect_name(std::string_view text) {
    if (!skip_name(text)) fail(current(), cat("found ", describe(current()), ", '", text, "' was needed"));
  }
  std::string expect_identifier() {
    if (current().kind != TokenKind::kName) fail(current(), cat("found ", describe(current()), ", a name was needed"));
    return take().text;
  }
  void expect_block_end() {
    if (current().kind != TokenKind::kBlockEnd)
      fail(current(), cat("found ", describe(current()), ", '%}' was needed"));
    take();
  }

  ExprPtr make(ExprKind kind, Position position) const {
    auto expr = std::make_unique<Expr>();
    expr->kind = kind;
    expr->position = position;
    return expr;
  }
  void add(Expr& parent, ExprPtr operand) const {
    if (operand) parent.depth = std::max(parent.depth, operand->depth + 1);
    if (parent.depth > kMaxSyntaxDepth)
      fail_at(parent.position, cat("found an expression nested deeper than ", kMaxSyntaxDepth,
                                   " levels, at most that many were needed"));
    parent.operands.push_back(std::move(operand));
  }
  ExprPtr make(ExprKind kind, Position position, ExprPtr a, ExprPtr b) const {
    ExprPtr expr = make(kind, position);
    add(*expr, std::move(a));
    add(*expr, std::move(b));
    return expr;
  }

 private:
  std::string where_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int nesting_ = 0;
};

}  // namespace kvgauge::jinja
