#pragma once
#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "grade/expression.h"
#include "grade/token.h"

namespace kvgauge::math {

/// Recursive descent over the tokens of one answer. A failure moves to the end of the tokens, so that every loop ends;
/// is_whole() tells afterwards.
///   list := relation ((, | ; | and | or) relation)*      relation := union (sign union)*
///   union := ratio ((cup | cap | minus) ratio)*          ratio := sum (: sum)*
///   sum := [sign] term ((+ | - | pm | mp) term)*          term := power ((* | / | nothing) power)*
class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}
  Expr list();
  bool is_whole() const { return !failed_ && peek().type == Token::Type::kEnd; }

 private:
  static constexpr int kMostDepth = 256;  // four or five for one pair of brackets

  // parser.cpp: what stands between commas and relation signs
  Expr relation();
  Expr set_operation();
  Expr ratio();
  Expr bracket();
  Expr set();
  Expr matrix(bool is_determinant);

  // parser_term.cpp: one number
  Expr sum();
  Expr term();
  bool joins_factor() const;
  void append_factor(std::vector<Expr>& factors, Expr factor);
  Expr power();
  Expr exponent();
  Expr with_postfixes(Expr e);
  Expr primary();
  Expr number();
  Expr symbol();
  Expr words();
  Expr function();
  Expr function_argument();
  Expr fraction();
  Expr root();
  Expr binomial();
  Expr group();
  Expr absolute();
  Expr rounded(std::string_view name);
  Expr argument(bool takes_whole_number);
  Expr based(std::string digits);

  const Token& peek(std::size_t ahead = 0) const { return tokens_[std::min(pos_ + ahead, tokens_.size() - 1)]; }
  bool is_sign(std::string_view sign, std::size_t ahead = 0) const {
    return peek(ahead).type == Token::Type::kSign && peek(ahead).text == sign;
  }
  bool take(std::string_view sign) {
    if (!is_sign(sign)) return false;
    ++pos_;
    return true;
  }
  Expr fail() {
    failed_ = true;
    pos_ = tokens_.size() - 1;
    return {};
  }
  void expect(std::string_view sign) {
    if (!take(sign)) fail();
  }

  /// Counts the levels of nesting for the life of the object.
  struct Level {
    explicit Level(Parser& parser) : depth(parser.depth_) {
      if (++depth > kMostDepth) parser.fail();
    }
    ~Level() { --depth; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;
    int& depth;
  };

  std::vector<Token> tokens_;
  std::size_t pos_ = 0;
  int depth_ = 0;
  int bars_ = 0;         ///< open | of absolute values
  bool in_set_ = false;  ///< | and : state a condition there
  bool failed_ = false;
};

}  // namespace kvgauge::math
