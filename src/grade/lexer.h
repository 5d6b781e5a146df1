#pragma once
#include <optional>
#include <string_view>
#include <vector>

#include "grade/token.h"

namespace kvgauge::math {

/// The state of tokenize(): what has been read, and where. Numbers and words are read in files of their own.
class Lexer {
 public:
  Lexer(std::string_view text, std::size_t most_tokens);
  std::optional<std::vector<Token>> run();

 private:
  // lexer_number.cpp
  void read_number();
  std::string read_integer();
  std::size_t group_separator(std::size_t at) const;
  void read_repetition(Token& number, std::size_t decimals);
  void read_exponent(Token& number);

  // lexer_word.cpp
  void read_word();
  void read_command();
  void read_text(std::string_view command);
  void read_environment(bool is_begin);
  void read_named_set();
  void read_overline(std::string_view command);
  void push_letters(std::string_view run);
  bool is_text_word(std::string_view run, std::size_t end) const;

  // lexer.cpp
  void read_sign();
  void read_degree_or_power();
  void read_subscript();
  void read_period();
  void push(Token::Type type, std::string_view text);
  void push_sign(std::string_view text) { push(Token::Type::kSign, text); }
  void fail() { failed_ = true; }
  char at(std::size_t i) const { return i < text_.size() ? text_[i] : '\0'; }
  bool starts(std::size_t i, std::string_view word) const {
    return text_.substr(std::min(i, text_.size()), word.size()) == word;
  }
  std::size_t after_spaces(std::size_t i) const;
  std::size_t closing_brace(std::size_t open) const;  ///< npos: none
  bool last_is(Token::Type type) const { return !tokens_.empty() && tokens_.back().type == type; }
  bool last_is_sign(std::string_view text) const { return last_is(Token::Type::kSign) && tokens_.back().text == text; }
  bool last_ends_operand() const;

  std::string_view text_;
  std::size_t most_tokens_;
  std::size_t pos_ = 0;
  std::vector<Token> tokens_;
  int brackets_ = 0;  ///< open ( [ \{
  bool is_spaced_ = false;
  bool failed_ = false;
  bool is_digits_and_spaces_ = false;  ///< all of the text: 10 000 is one number then
};

}  // namespace kvgauge::math
