// Recursive descent with Jinja2's own precedence: if-else < or < and < not < comparison < + - < ~ < * / // % < ** <
// unary < postfix < filters and tests.
#include "text/jinja_parser.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>

#include "core/cat.h"
#include "kvgauge/error.h"
#include "text/jinja_builtins.h"
#include "text/jinja_lexer.h"

namespace kvgauge::jinja {
namespace {

class Parser {
 public:
  Parser(std::string_view source, std::string_view where, const Limits& limits)
      : where_(where), tokens_(tokenize_template(source, where, limits)) {}

  Block run() {
    Block block = parse_block({});
    if (current().kind != TokenKind::kEnd)
      fail(current(), cat("found ", describe(current()), ", the end of the template was needed"));
    return block;
  }

 private:
  // Bounds the parser's own recursion; the trees it builds are bounded by make().
  struct Nesting {
    explicit Nesting(Parser& parser) : parser(parser) {
      if (++parser.nesting_ > kMaxSyntaxDepth)
        parser.fail(parser.current(),
                    cat("found nesting deeper than ", kMaxSyntaxDepth, " levels, at most that many were needed"));
    }
    ~Nesting() { --parser.nesting_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;
    Parser& parser;
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

  // ---- expressions ----

  ExprPtr parse_expression() { return parse_conditional(); }

  ExprPtr parse_conditional() {
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

  ExprPtr parse_or() {
    ExprPtr left = parse_and();
    while (at_name("or")) {
      const Position position = take().position;
      ExprPtr right = parse_and();
      left = make(ExprKind::kOr, position, std::move(left), std::move(right));
    }
    return left;
  }

  ExprPtr parse_and() {
    ExprPtr left = parse_not();
    while (at_name("and")) {
      const Position position = take().position;
      ExprPtr right = parse_not();
      left = make(ExprKind::kAnd, position, std::move(left), std::move(right));
    }
    return left;
  }

  ExprPtr parse_not() {
    if (!at_name("not")) return parse_compare();
    const Nesting nesting(*this);
    ExprPtr expr = make(ExprKind::kNot, take().position);
    add(*expr, parse_not());
    return expr;
  }

  std::optional<Comparison> take_comparison() {
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

  ExprPtr parse_compare() {
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

  ExprPtr parse_sum() {
    ExprPtr left = parse_concat();
    while (at_operator("+") || at_operator("-")) {
      const ExprKind kind = at_operator("+") ? ExprKind::kAdd : ExprKind::kSubtract;
      const Position position = take().position;
      ExprPtr right = parse_concat();
      left = make(kind, position, std::move(left), std::move(right));
    }
    return left;
  }

  ExprPtr parse_concat() {
    ExprPtr first = parse_product();
    if (!at_operator("~")) return first;
    ExprPtr expr = make(ExprKind::kConcat, current().position);
    add(*expr, std::move(first));
    while (skip_operator("~")) add(*expr, parse_product());
    return expr;
  }

  ExprPtr parse_product() {
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

  ExprPtr parse_power() {
    ExprPtr left = parse_unary(true);
    while (at_operator("**")) {
      const Position position = take().position;
      ExprPtr right = parse_unary(true);
      left = make(ExprKind::kPower, position, std::move(left), std::move(right));
    }
    return left;
  }

  ExprPtr parse_unary(bool with_filters) {
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

  ExprPtr parse_primary() {
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

  ExprPtr parse_name() {
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

  ExprPtr parse_number() {
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

  ExprPtr parse_parentheses() {
    const Position position = take().position;
    if (skip_operator(")")) return make(ExprKind::kTuple, position);
    ExprPtr expr = parse_tuple(true);
    expect_operator(")");
    return expr;
  }

  bool at_tuple_end() const {
    const TokenKind kind = current().kind;
    return kind == TokenKind::kOutputEnd || kind == TokenKind::kBlockEnd || kind == TokenKind::kEnd || at_operator(")");
  }

  // One expression, or several with commas, which make a tuple.
  ExprPtr parse_tuple(bool with_conditional) {
    const Position position = current().position;
    const auto parse_one = [&] { return with_conditional ? parse_expression() : parse_or(); };
    ExprPtr first = parse_one();
    if (!at_operator(",")) return first;
    ExprPtr expr = make(ExprKind::kTuple, position);
    add(*expr, std::move(first));
    while (skip_operator(",") && !at_tuple_end()) add(*expr, parse_one());
    return expr;
  }

  ExprPtr parse_list() {
    ExprPtr expr = make(ExprKind::kList, take().position);
    while (!at_operator("]")) {
      if (!expr->operands.empty()) expect_operator(",");
      if (at_operator("]")) break;
      add(*expr, parse_expression());
    }
    expect_operator("]");
    return expr;
  }

  ExprPtr parse_dict() {
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

  ExprPtr parse_postfix(ExprPtr expr) {
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

  ExprPtr parse_dot(ExprPtr object) {
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

  ExprPtr parse_subscript(ExprPtr object) {
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

  void parse_arguments(Expr& call) {
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

  ExprPtr parse_call(ExprPtr callee) {
    if (callee->kind == ExprKind::kAttribute && !is_method_name(callee->text))
      fail_at(callee->position,
              cat("found the method '", callee->text, "', which is not supported; pass a template without it"));
    ExprPtr expr = make(ExprKind::kCall, current().position);
    add(*expr, std::move(callee));
    parse_arguments(*expr);
    return expr;
  }

  ExprPtr parse_filters(ExprPtr expr) {
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
  ExprPtr parse_filter(ExprPtr subject) {
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
  void check_inner_name(const Expr& expr) const {
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

  ExprPtr parse_test(ExprPtr subject) {
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

  // ---- statements ----

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

  std::string where_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int nesting_ = 0;
  int loops_ = 0;
};

}  // namespace

Block parse_template(std::string_view source, std::string_view where, const Limits& limits) {
  return Parser(source, where, limits).run();
}

}  // namespace kvgauge::jinja
