#include "grade/lexer.h"

#include <algorithm>
#include <cctype>

namespace kvgauge::math {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) || static_cast<unsigned char>(c) >= 0x80; }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'; }

}  // namespace

Lexer::Lexer(std::string_view text, std::size_t most_tokens)
    : text_(text),
      most_tokens_(most_tokens),
      is_digits_and_spaces_(std::all_of(text.begin(), text.end(), [](char c) { return is_digit(c) || c == ' '; })) {}

std::optional<std::vector<Token>> Lexer::run() {
  while (pos_ < text_.size() && !failed_) {
    const char c = text_[pos_];
    if (is_space(c) || c == '~') {
      is_spaced_ = true;
      ++pos_;
    } else if (is_digit(c) || (c == '.' && is_digit(at(pos_ + 1)))) {
      read_number();
    } else if (is_letter(c)) {
      read_word();
    } else if (c == '\\') {
      read_command();
    } else {
      read_sign();
    }
  }
  if (failed_) return std::nullopt;
  tokens_.emplace_back();
  return std::move(tokens_);
}

void Lexer::push(Token::Type type, std::string_view text) {
  if (tokens_.size() >= most_tokens_) return fail();
  if (type == Token::Type::kSign) {
    if (text == "(" || text == "[" || text == "\\{") ++brackets_;
    if (text == ")" || text == "]" || text == "\\}") brackets_ = std::max(0, brackets_ - 1);
  }
  Token token;
  token.type = type;
  token.text = text;
  token.is_spaced = is_spaced_;
  tokens_.push_back(std::move(token));
  is_spaced_ = false;
}

std::size_t Lexer::after_spaces(std::size_t i) const {
  while (i < text_.size() && is_space(text_[i])) ++i;
  return i;
}

std::size_t Lexer::closing_brace(std::size_t open) const {
  int depth = 0;
  for (std::size_t i = open; i < text_.size(); ++i) {
    if (text_[i] == '\\') {
      ++i;
    } else if (text_[i] == '{') {
      ++depth;
    } else if (text_[i] == '}' && --depth == 0) {
      return i;
    }
  }
  return std::string_view::npos;
}

bool Lexer::last_ends_operand() const {
  using Type = Token::Type;
  if (last_is(Type::kNumber) || last_is(Type::kSymbol)) return true;
  return last_is_sign(")") || last_is_sign("]") || last_is_sign("}") || last_is_sign("\\}") || last_is_sign("!");
}

void Lexer::read_sign() {
  constexpr std::string_view kPairs[] = {"<=", ">=", "!=", "==", ":="};
  for (const std::string_view pair : kPairs)
    if (starts(pos_, pair)) {
      if (pair == "!=" && last_ends_operand() && !is_spaced_) break;  // 5!=120
      push_sign(pair == "==" || pair == ":=" ? "=" : pair);
      pos_ += 2;
      return;
    }
  const char c = text_[pos_];
  if (starts(pos_, "{:}")) {
    push_sign(":");
    pos_ += 3;
    return;
  }
  switch (c) {
    case '^': return read_degree_or_power();
    case '_': return read_subscript();
    case '.': return read_period();
    case '*':
      if (at(pos_ + 1) != '*') {
        push_sign("*");
      } else {
        // 2**3 is a power, **bold** a decoration.
        const char next = at(pos_ + 2);
        if (last_ends_operand() && !is_spaced_ && (is_digit(next) || is_letter(next) || next == '(' || next == '-'))
          push_sign("^");
        ++pos_;
      }
      break;
    case '\'':
      if (last_is(Token::Type::kSymbol) && !is_spaced_) tokens_.back().text += '\'';
      break;
    case '$':
    case '`':
    case '"':
    case '#':
    case '?': break;
    case '+':
    case '-':
    case '/':
    case '!':
    case ',':
    case ';':
    case ':':
    case '=':
    case '<':
    case '>':
    case '(':
    case ')':
    case '[':
    case ']':
    case '{':
    case '}':
    case '|':
    case '%':
    case '&': push_sign(text_.substr(pos_, 1)); break;
    default: return fail();
  }
  ++pos_;
}

// ^\circ and ^{\circ} are degrees.
void Lexer::read_degree_or_power() {
  std::size_t next = after_spaces(pos_ + 1);
  const bool is_braced = at(next) == '{';
  if (is_braced) next = after_spaces(next + 1);
  const std::string_view word = starts(next, "\\circ") ? "\\circ" : starts(next, "\\degree") ? "\\degree" : "";
  if (!word.empty() && !is_letter(at(next + word.size()))) {
    const std::size_t end = after_spaces(next + word.size());
    if (!is_braced || at(end) == '}') {
      push_sign("deg");
      pos_ = next + word.size();
      if (is_braced) pos_ = end + 1;
      return;
    }
  }
  push_sign("^");
  ++pos_;
}

// x_1 and x_{n+1} are one symbol; after a number, a function or a word the parser decides.
void Lexer::read_subscript() {
  if (!last_is(Token::Type::kSymbol)) {
    push_sign("_");
    ++pos_;
    return;
  }
  const std::size_t begin = after_spaces(pos_ + 1);
  std::size_t end = begin + 1;
  std::string_view subscript = text_.substr(std::min(begin, text_.size()), 1);
  if (at(begin) == '{') {
    const std::size_t close = closing_brace(begin);
    if (close == std::string_view::npos) return fail();
    subscript = text_.substr(begin + 1, close - begin - 1);
    end = close + 1;
  } else if (at(begin) == '\\') {
    while (is_letter(at(end))) ++end;
    subscript = text_.substr(begin, end - begin);
  } else if (is_digit(at(begin))) {
    while (is_digit(at(end))) ++end;
    subscript = text_.substr(begin, end - begin);
  }
  std::string& name = tokens_.back().text;
  name += '_';
  for (const char c : subscript)
    if (!is_space(c)) name += c;
  pos_ = std::min(end, text_.size());
}

// ... is an ellipsis; one period ends the answer and says nothing.
void Lexer::read_period() {
  if (starts(pos_, "...")) {
    push(Token::Type::kSymbol, "\\ldots");
    pos_ += 3;
    return;
  }
  constexpr std::string_view kClosers = " \t\r\n$*}`\"";
  const bool is_last = text_.find_first_not_of(kClosers, pos_ + 1) == std::string_view::npos;
  if (!is_last && !(last_is(Token::Type::kText) && is_space(at(pos_ + 1)))) return fail();
  ++pos_;
}

std::optional<std::vector<Token>> tokenize(std::string_view text, std::size_t most_tokens) {
  return Lexer(text, most_tokens).run();
}

}  // namespace kvgauge::math
