#include <algorithm>
#include <cctype>

#include "core/cat.h"
#include "grade/lexer.h"
#include "grade/math_words.h"

namespace kvgauge::math {
namespace {

using Type = Token::Type;

bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_letter(char c) { return is_ascii_letter(c) || static_cast<unsigned char>(c) >= 0x80; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n~");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n~") - first + 1);
}

// abcd, pqrs: names of quantities rather than a word
bool is_sequence(std::string_view run) {
  for (std::size_t i = 1; i < run.size(); ++i)
    if (run[i] != run[i - 1] + 1) return false;
  return true;
}

bool is_upper(std::string_view run) {
  return std::all_of(run.begin(), run.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

const char* sign_of_text(std::string_view content) {
  constexpr std::string_view kPunctuation = ", \t.;";
  const std::size_t first = content.find_first_not_of(kPunctuation);
  if (first == std::string_view::npos) return content.find_first_of(",;") == std::string_view::npos ? nullptr : ",";
  const std::string_view word = content.substr(first, content.find_last_not_of(kPunctuation) - first + 1);
  if (word == "and" || word == "And" || word == "AND" || word == "&") return "and";
  if (word == "to") return ":";
  if (word == "or" || word == "Or" || word == "OR") return "or";
  if (word == "mod") return "mod";
  if (word == "degrees" || word == "degree") return "deg";
  if (word == "percent") return "%";
  return nullptr;
}

}  // namespace

void Lexer::push_letters(std::string_view run) {
  for (std::size_t i = 0; i < run.size(); ++i) push(Type::kSymbol, run.substr(i, 1));
}

// Whether a run of two letters or more is a word, or else a product of one-letter symbols.
bool Lexer::is_text_word(std::string_view run, std::size_t end) const {
  if (is_short_word(run) || !std::all_of(run.begin(), run.end(), is_ascii_letter)) return true;
  if (is_unit(run) && (last_is(Type::kNumber) || last_is_sign("}") || last_is_sign(")") || last_is(Type::kText)))
    return true;
  if (run.size() >= 4 && !is_sequence(run) && !(run.size() == 4 && is_upper(run))) return true;
  if (last_is(Type::kText)) return true;
  // "big red one": a neighbour of several letters
  std::size_t next = end;
  while (at(next) == ' ') ++next;
  std::size_t length = 0;
  while (is_letter(at(next + length))) ++length;
  const std::string_view neighbour = text_.substr(std::min(next, text_.size()), length);
  return next > end && length >= 2 && !is_upper(run) && !function_name(neighbour) && !plain_command(neighbour);
}

void Lexer::read_word() {
  const std::size_t begin = pos_;
  std::size_t end = pos_;
  while (is_letter(at(end)) ||
         ((at(end) == '\'' || at(end) == '-') && end - begin >= 2 && is_letter(at(end + 1)) && is_letter(at(end + 2))))
    ++end;
  std::string_view run = text_.substr(begin, end - begin);
  if (const std::size_t mark = run.find_first_of("'-"); mark != std::string_view::npos && mark < 4) {
    run = run.substr(0, mark);
    end = begin + mark;
  }
  pos_ = end;
  if (run == "x" || run == "X") {  // 1.8 x 10^1
    const std::size_t next = after_spaces(end);
    if (is_spaced_ && last_is(Type::kNumber) && next > end && is_digit(at(next))) return push_sign("*");
  }
  if (run == "U" && (last_is_sign(")") || last_is_sign("]") || last_is_sign("\\}"))) {
    const char next = at(after_spaces(end));
    if (next == '(' || next == '[' || next == '{' || next == '\\') return push_sign("cup");
  }
  if (run.size() == 1 && is_ascii_letter(run[0])) return push(Type::kSymbol, run);
  if (last_is(Type::kNumber) && !is_spaced_ && (run == "st" || run == "nd" || run == "rd" || run == "th"))
    return push(Type::kText, run);
  if (run == "to" && last_is(Type::kNumber) && is_digit(at(after_spaces(end)))) return push_sign(":");
  if (last_is(Type::kNumber) && (run == "min" || run == "sec")) return push(Type::kText, run);
  if (const char* const function = function_name(run)) return push(Type::kFunction, function);
  if (const char* const command = plain_command(run)) {
    const std::string_view name = std::string_view(command).substr(1);
    if (const char* const sign = command_sign(name)) return push_sign(sign);
    return push(Type::kSymbol, command);
  }
  // sinx, lnx
  for (const std::string_view function : {"sin", "cos", "tan", "log", "ln"})
    if (run.size() == function.size() + 1 && run.substr(0, function.size()) == function && !is_short_word(run)) {
      push(Type::kFunction, function);
      return push(Type::kSymbol, run.substr(function.size()));
    }
  if (is_text_word(run, end)) return push(Type::kText, run);
  push_letters(run);
}

void Lexer::read_command() {
  const char next = at(pos_ + 1);
  if (!is_ascii_letter(next)) {
    pos_ += 2;
    switch (next) {
      case ',':
      case ';':
      case ':':
      case '!':
      case '>':
      case ' ':
      case '\n':
      case '\t': is_spaced_ = true; return;
      case '$':
      case '(':
      case ')':
      case '[':
      case ']':
      case '&':
      case '#':
      case '_':
      case '/': return;
      case '%': return push_sign("%");
      case '{': return push_sign("\\{");
      case '}': return push_sign("\\}");
      case '|': return push_sign("|");
      case '\\':
        push_sign("\\\\");
        if (at(pos_) == '[' && (is_digit(at(pos_ + 1)) || at(pos_ + 1) == '.'))  // \\[4pt]
          if (const std::size_t close = text_.find(']', pos_); close != std::string_view::npos && close - pos_ < 10)
            pos_ = close + 1;
        return;
      default: return fail();
    }
  }
  std::size_t end = pos_ + 1;
  while (is_ascii_letter(at(end))) ++end;
  const std::string_view name = text_.substr(pos_ + 1, end - pos_ - 1);
  pos_ = end;
  if (name == "begin" || name == "end") return read_environment(name == "begin");
  if (is_text_command(name)) return read_text(name);
  if (name == "mathbb" || name == "Bbb") return read_named_set();
  if (name == "overline" || name == "bar" || name == "widebar") return read_overline(name);
  if (is_decoration(name)) {
    // \left. and \right. stand for no bracket, \left< for an angle.
    const std::size_t bracket = after_spaces(pos_);
    if (name == "left" || name == "right") {
      if (at(bracket) == '.') pos_ = bracket + 1;
      if (at(bracket) == '<' || at(bracket) == '>') {
        push_sign(at(bracket) == '<' ? "(" : ")");
        pos_ = bracket + 1;
      }
    }
    return;
  }
  if (const char* const function = function_name(name)) return push(Type::kFunction, function);
  if (const char* const sign = command_sign(name)) return push_sign(sign);
  if (name == "dots" || name == "cdots" || name == "dotsc" || name == "ldots") return push(Type::kSymbol, "\\ldots");
  if (name == "varnothing") return push(Type::kSymbol, "\\emptyset");
  if (name.size() > 4 && name.substr(0, 3) == "var") return push(Type::kSymbol, cat('\\', name.substr(3)));
  push(Type::kSymbol, text_.substr(end - name.size() - 1, name.size() + 1));
}

void Lexer::read_text(std::string_view command) {
  pos_ = after_spaces(pos_);
  if (at(pos_) == '*') ++pos_;
  if (at(pos_) != '{') return;
  const std::size_t close = closing_brace(pos_);
  if (close == std::string_view::npos) return fail();
  const std::string_view content = text_.substr(pos_ + 1, close - pos_ - 1), word = trimmed(content);
  pos_ = close + 1;
  if (word.empty()) {
    is_spaced_ = true;
    return;
  }
  if (const char* const sign = sign_of_text(content)) return push_sign(sign);
  // 5 \text{ min} and 3 \text{ sec} are units.
  const bool is_time = last_is(Type::kNumber) && (word == "min" || word == "sec");
  if (const char* const function = function_name(word); function && !is_time) return push(Type::kFunction, function);
  const bool is_formula = std::none_of(word.begin(), word.end(), [](char c) { return is_letter(c); });
  const bool has_number = is_digit(word[0]) && word.find(' ') != std::string_view::npos && !last_is(Type::kNumber);
  if (is_formula || has_number || (word.size() == 1 && command.substr(0, 4) == "math")) {
    // Numbers and upright symbols are no words.
    const auto inner = tokenize(word, most_tokens_);
    if (!inner) return push(Type::kText, word);
    for (const Token& token : *inner)
      if (token.type != Type::kEnd && tokens_.size() < most_tokens_) {
        tokens_.push_back(token);
        if (&token == &inner->front()) tokens_.back().is_spaced = is_spaced_;
      }
    is_spaced_ = false;
    return;
  }
  push(Type::kText, word);
}

void Lexer::read_environment(bool is_begin) {
  const std::size_t close = at(pos_) == '{' ? closing_brace(pos_) : std::string_view::npos;
  if (close == std::string_view::npos) return fail();
  const std::string_view name = text_.substr(pos_ + 1, close - pos_ - 1);
  pos_ = close + 1;
  if (name == "array" && is_begin && at(pos_) == '{') {
    const std::size_t end = closing_brace(pos_);
    if (end == std::string_view::npos) return fail();
    pos_ = end + 1;
  }
  const bool is_matrix = name == "array" || (name.size() >= 6 && name.substr(name.size() - 6) == "matrix");
  if (is_matrix) return push_sign(is_begin ? (name == "vmatrix" ? "begin determinant" : "begin matrix") : "end matrix");
  if (name == "align*" || name == "aligned" || name == "equation*" || name == "equation" || name == "align") return;
  fail();
}

void Lexer::read_named_set() {
  std::size_t i = after_spaces(pos_);
  const bool is_braced = at(i) == '{';
  if (is_braced) i = after_spaces(i + 1);
  if (!is_ascii_letter(at(i))) return fail();
  const std::string_view letter = text_.substr(i, 1);
  pos_ = i + 1;
  if (is_braced) {
    pos_ = after_spaces(pos_);
    if (at(pos_) != '}') return fail();
    ++pos_;
  }
  push(Type::kSymbol, cat("\\mathbb ", letter));
}

// A conjugate or a segment: a symbol of its own, distinct from what is below the line.
void Lexer::read_overline(std::string_view command) {
  pos_ = after_spaces(pos_);
  std::size_t begin = pos_, end = pos_ + 1;
  if (at(pos_) == '{') {
    const std::size_t close = closing_brace(pos_);
    if (close == std::string_view::npos) return fail();
    begin = pos_ + 1;
    end = close;
    pos_ = close + 1;
  } else if (pos_ < text_.size()) {
    ++pos_;
  } else {
    return fail();
  }
  const std::string_view below = text_.substr(begin, end - begin);
  if (below.size() >= 2 && is_upper(below)) return push_letters(below);  // the segment AB
  std::string name = cat('\\', command == "widebar" ? "bar" : command, ' ');
  for (const char c : below)
    if (c != ' ') name += c;
  push(Type::kSymbol, name);
}

}  // namespace kvgauge::math
