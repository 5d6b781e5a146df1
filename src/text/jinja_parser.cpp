#include "text/jinja_parser.h"

#include <initializer_list>

#include "text/jinja_expressions.h"

namespace kvgauge::jinja {
namespace {

class Parser : ExpressionParser {
 public:
  Parser(std::string_view source, std::string_view where, const Limits& limits)
      : ExpressionParser(source, where, limits) {}

  Block run() {
    Block block = parse_block({});
    if (current().kind != TokenKind::kEnd)
      fail(current(), cat("found ", describe(current()), ", the end of the template was needed"));
    return block;
  }

 private:
  // Reads until a block tag that is one of `ends`, which stays unread, or to the end of the template.
  Block parse_block(std::initializer_list<std::string_view> ends) {
    const Nesting nesting(*this);
    Block block;
    while (current().kind != TokenKind::kEnd) {
      if (current().kind == TokenKind::kBlockBegin && peek().kind == TokenKind::kName &&
          std::find(ends.begin(), ends.end(), peek().text) != ends.end())
        return block;
      block.push_back(parse_piece());
    }
    return block;
  }

  std::unique_ptr<Stmt> start(StmtKind kind, Position position) const {
    auto stmt = std::make_unique<Stmt>();
    stmt->kind = kind;
    stmt->position = position;
    return stmt;
  }

  std::unique_ptr<Stmt> parse_piece() {
    const Token& token = take();
    if (token.kind == TokenKind::kData) {
      auto stmt = start(StmtKind::kText, token.position);
      stmt->text = token.text;
      return stmt;
    }
    if (token.kind == TokenKind::kOutputBegin) {
      auto stmt = start(StmtKind::kOutput, token.position);
      if (current().kind == TokenKind::kOutputEnd) fail(current(), "found '}}', an expression was needed");
      stmt->value = parse_tuple(true);
      if (current().kind != TokenKind::kOutputEnd)
        fail(current(), cat("found ", describe(current()), ", '}}' was needed"));
      take();
      return stmt;
    }
    return parse_statement();
  }

  std::unique_ptr<Stmt> parse_statement() {
    const Token& tag = current();
    if (tag.kind != TokenKind::kName) fail(tag, cat("found ", describe(tag), ", the name of a block was needed"));
    take();
    const Position position = tag.position;
    if (tag.text == "if") return parse_if(position);
    if (tag.text == "for") return parse_for(position);
    if (tag.text == "set") return parse_set(position);
    if (tag.text == "macro") return parse_macro(position);
    if (tag.text == "call") return parse_call_block(position);
    if (tag.text == "filter") return parse_filter_block(position);
    if (tag.text == "with") return parse_with(position);
    if (tag.text == "generation") return parse_generation(position);
    if (tag.text == "break" || tag.text == "continue") {
      if (loops_ == 0) fail(tag, cat("found '", tag.text, "' outside a loop, a for around it was needed"));
      expect_block_end();
      return start(tag.text == "break" ? StmtKind::kBreak : StmtKind::kContinue, position);
    }
    fail(tag, cat("found the block '", tag.text, "', which ",
                  is_closing(tag.text) ? "closes nothing here" : "is not supported; pass a template without it"));
  }

  static bool is_closing(std::string_view name) {
    return name == "else" || name == "elif" || (name.substr(0, 3) == "end" && name != "end");
  }

  // The tag that ended parse_block: its name must be one of `ends` (named for the message by `open`).
  const Token& take_end(std::string_view open, Position opened, std::string_view needed) {
    if (current().kind == TokenKind::kEnd)
      fail(current(),
           cat("found the end of the template in '", open, "' of line ", opened.line, ", '", needed, "' was needed"));
    take();
    return take();
  }

  Block parse_body(std::string_view open, Position opened, std::string_view end) {
    Block body = parse_block({end});
    take_end(open, opened, end);
    expect_block_end();
    return body;
  }

  std::unique_ptr<Stmt> parse_if(Position position) {
    auto stmt = start(StmtKind::kIf, position);
    while (true) {
      Branch branch;
      branch.condition = parse_tuple(false);
      expect_block_end();
      branch.body = parse_block({"elif", "else", "endif"});
      stmt->branches.push_back(std::move(branch));
      const Token& end = take_end("if", position, "endif");
      if (end.text == "elif") continue;
      expect_block_end();
      if (end.text == "else") stmt->otherwise = parse_body("else", end.position, "endif");
      return stmt;
    }
  }

  ExprPtr parse_target_name() {
    const Token& token = current();
    ExprPtr expr = make(ExprKind::kName, token.position);
    expr->text = expect_identifier();
    for (const std::string_view reserved : {"true", "false", "none", "True", "False", "None"})
      if (expr->text == reserved)
        fail(token, cat("found ", describe(token), " as a variable, another name was needed"));
    return expr;
  }

  ExprPtr parse_target_part() {
    const Nesting nesting(*this);
    if (!skip_operator("(")) return parse_target_name();
    ExprPtr expr = parse_target();
    expect_operator(")");
    return expr;
  }

  ExprPtr parse_target() {
    const Position position = current().position;
    ExprPtr first = parse_target_part();
    if (!at_operator(",")) return first;
    ExprPtr expr = make(ExprKind::kTuple, position);
    add(*expr, std::move(first));
    while (skip_operator(",") && (current().kind == TokenKind::kName || at_operator("(")) && !at_name("in"))
      add(*expr, parse_target_part());
    return expr;
  }

  std::unique_ptr<Stmt> parse_for(Position position) {
    auto stmt = start(StmtKind::kFor, position);
    stmt->target = parse_target();
    expect_name("in");
    stmt->value = parse_tuple(false);
    if (skip_name("if")) stmt->condition = parse_expression();
    if (at_name("recursive"))
      fail(current(), "found a recursive loop, which is not supported; pass a template without it");
    expect_block_end();
    ++loops_;
    stmt->body = parse_block({"else", "endfor"});
    --loops_;
    const Token& end = take_end("for", position, "endfor");
    expect_block_end();
    if (end.text == "else") stmt->otherwise = parse_body("else", end.position, "endfor");
    return stmt;
  }

  std::unique_ptr<Stmt> parse_set(Position position) {
    auto stmt = start(StmtKind::kSet, position);
    if (current().kind == TokenKind::kName && is_operator(peek(), ".")) {
      ExprPtr object = parse_target_name();
      stmt->target = parse_dot(std::move(object));
      if (stmt->target->kind != ExprKind::kAttribute)
        fail_at(position, "found a number as an attribute, a name was needed");
    } else {
      stmt->target = parse_target();
    }
    if (skip_operator("=")) {
      stmt->value = parse_tuple(true);
      expect_block_end();
      return stmt;
    }
    stmt->kind = StmtKind::kSetBlock;
    if (skip_operator("|")) stmt->value = parse_filter_chain();
    expect_block_end();
    stmt->body = parse_inner_body("set", position, "endset");
    return stmt;
  }

  ExprPtr parse_filter_chain() {
    ExprPtr expr = parse_filter(nullptr);
    while (at_operator("|")) expr = parse_filter(std::move(expr));
    return expr;
  }

  // A body that is rendered apart: break and continue cannot leave it.
  Block parse_inner_body(std::string_view open, Position opened, std::string_view end) {
    const int loops = std::exchange(loops_, 0);
    Block body = parse_body(open, opened, end);
    loops_ = loops;
    return body;
  }

  std::unique_ptr<Stmt> parse_filter_block(Position position) {
    auto stmt = start(StmtKind::kFilterBlock, position);
    stmt->value = parse_filter_chain();
    expect_block_end();
    stmt->body = parse_inner_body("filter", position, "endfilter");
    return stmt;
  }

  std::unique_ptr<Stmt> parse_generation(Position position) {
    auto stmt = start(StmtKind::kScope, position);
    expect_block_end();
    stmt->body = parse_inner_body("generation", position, "endgeneration");
    return stmt;
  }

  std::unique_ptr<Stmt> parse_with(Position position) {
    auto stmt = start(StmtKind::kWith, position);
    while (current().kind != TokenKind::kBlockEnd) {
      if (!stmt->parameters.empty()) expect_operator(",");
      stmt->parameters.push_back(parse_target_name()->text);
      expect_operator("=");
      stmt->defaults.push_back(parse_expression());
    }
    expect_block_end();
    stmt->body = parse_body("with", position, "endwith");
    return stmt;
  }

  void parse_parameters(Stmt& stmt) {
    expect_operator("(");
    while (!at_operator(")")) {
      if (!stmt.parameters.empty()) expect_operator(",");
      const Token& name = current();
      stmt.parameters.push_back(parse_target_name()->text);
      if (skip_operator("="))
        stmt.defaults.push_back(parse_expression());
      else if (!stmt.defaults.empty())
        fail(name, "found a parameter without a default after one with it, a default was needed");
    }
    expect_operator(")");
  }

  std::unique_ptr<Stmt> parse_macro(Position position) {
    auto stmt = start(StmtKind::kMacro, position);
    stmt->text = parse_target_name()->text;
    parse_parameters(*stmt);
    expect_block_end();
    stmt->body = parse_inner_body("macro", position, "endmacro");
    return stmt;
  }

  std::unique_ptr<Stmt> parse_call_block(Position position) {
    auto stmt = start(StmtKind::kCallBlock, position);
    if (at_operator("(")) parse_parameters(*stmt);
    const Token& token = current();
    stmt->value = parse_expression();
    if (stmt->value->kind != ExprKind::kCall) fail(token, "found no call, the call of a macro was needed");
    expect_block_end();
    stmt->text = "caller";
    stmt->body = parse_inner_body("call", position, "endcall");
    return stmt;
  }

  int loops_ = 0;
};

}  // namespace

Block parse_template(std::string_view source, std::string_view where, const Limits& limits) {
  return Parser(source, where, limits).run();
}

}  // namespace kvgauge::jinja
