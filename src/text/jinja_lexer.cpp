#include "text/jinja_lexer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/cat.h"
#include "kvgauge/error.h"
#include "text/jinja_strings.h"

namespace kvgauge::jinja {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}
bool is_name_part(char c) { return is_name_start(c) || is_digit(c); }

std::string normalize_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
      continue;
    }
    out += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  Lexer(std::string_view source, std::string_view where) : where_(where), source_(normalize_newlines(source)) {
    for (std::size_t i = 0; i < source_.size(); ++i)
      if (source_[i] == '\n') line_starts_.push_back(i + 1);
  }

  std::vector<Token> run() {
    bool at_line_start = true;
    while (true) {
      const std::size_t open = find_tag();
      if (open == std::string::npos) break;
      const char type = source_[open + 1];
      std::size_t inside = open + 2;
      const char sign =
          inside < source_.size() && (source_[inside] == '-' || source_[inside] == '+') ? source_[inside++] : '\0';
      emit_data(open, sign, type != '{', at_line_start);
      at_ = inside;
      if (type == '#')
        skip_comment(open);
      else if (type == '%' && skip_raw_begin())
        read_raw(open);
      else
        read_tag(open, type == '{');
      at_line_start = source_[at_ - 1] == '\n';
    }
    emit(TokenKind::kData, at_, source_.substr(at_));
    emit(TokenKind::kEnd, source_.size(), "");
    return std::move(tokens_);
  }

 private:
  Position position(std::size_t offset) const {
    const auto line = std::upper_bound(line_starts_.begin(), line_starts_.end(), offset) - line_starts_.begin();
    std::size_t start = line_starts_[static_cast<std::size_t>(line - 1)];
    Position at{static_cast<int>(line), 1};
    if (at.line == last_.line && offset >= last_offset_) {  // tokens come in order: count on, a long line stays linear
      start = last_offset_;
      at.column = last_.column;
    }
    at.column += static_cast<int>(code_points(std::string_view(source_).substr(start, offset - start)));
    last_offset_ = offset;
    return last_ = at;
  }

  [[noreturn]] void fail(std::size_t offset, std::string_view message) const {
    const Position at = position(offset);
    throw FormatError(cat(where_, ":", at.line, ":", at.column, ": ", message));
  }

  void emit(TokenKind kind, std::size_t offset, std::string text) {
    if (kind == TokenKind::kData && text.empty()) return;
    tokens_.push_back({kind, position(offset), std::move(text)});
  }

  bool starts_with(std::string_view what) const { return std::string_view(source_).substr(at_, what.size()) == what; }

  std::size_t find_tag() const {
    for (std::size_t i = source_.find('{', at_); i != std::string::npos; i = source_.find('{', i + 1))
      if (i + 1 < source_.size() && (source_[i + 1] == '{' || source_[i + 1] == '%' || source_[i + 1] == '#')) return i;
    return std::string::npos;
  }

  // The data before a tag: `-` takes all white space from its end; else the blanks between line start and a block tag
  // go.
  void emit_data(std::size_t end, char sign, bool is_block, bool at_line_start) {
    std::string_view data = std::string_view(source_).substr(at_, end - at_);
    if (sign == '-') {
      data = strip_right(data);
    } else if (sign != '+' && is_block) {
      const std::size_t newline = data.rfind('\n');
      const std::size_t line = newline == std::string_view::npos ? 0 : newline + 1;
      if ((line > 0 || at_line_start) && strip_left(data.substr(line)).empty()) data = data.substr(0, line);
    }
    emit(TokenKind::kData, at_, std::string(data));
  }

  void skip_space() { at_ = source_.size() - strip_left(std::string_view(source_).substr(at_)).size(); }

  void skip_newline() {
    if (at_ < source_.size() && source_[at_] == '\n') ++at_;
  }

  // Consumes `close` with its sign, if it is here, and the white space it takes with it.
  bool skip_close(std::string_view close, bool trims_newline) {
    const std::size_t before = at_;
    const char sign = source_[at_];
    if (sign == '-' || (sign == '+' && trims_newline)) ++at_;
    if (!starts_with(close)) {
      at_ = before;
      return false;
    }
    at_ += close.size();
    if (at_ - before > close.size()) {
      if (sign == '-') skip_space();
    } else if (trims_newline) {
      skip_newline();
    }
    return true;
  }

  void skip_comment(std::size_t open) {
    for (; at_ < source_.size(); ++at_)
      if (skip_close("#}", true)) return;
    fail(open, "found a comment without an end, '#}' was needed");
  }

  bool skip_word(std::string_view word) {
    skip_space();
    if (!starts_with(word)) return false;
    at_ += word.size();
    skip_space();
    return true;
  }

  bool skip_raw_begin() {
    const std::size_t before = at_;
    if (skip_word("raw") && at_ < source_.size()) {
      if (starts_with("%}")) {
        at_ += 2;
        return true;
      }
      if (starts_with("-%}") && skip_close("%}", false)) return true;
    }
    at_ = before;
    return false;
  }

  void read_raw(std::size_t open) {
    const std::size_t data = at_;
    const bool at_line_start = source_[at_ - 1] == '\n';
    for (std::size_t end = source_.find("{%", at_); end != std::string::npos; end = source_.find("{%", end + 1)) {
      at_ = end + 2;
      const char sign = at_ < source_.size() && (source_[at_] == '-' || source_[at_] == '+') ? source_[at_++] : '\0';
      if (!skip_word("endraw") || at_ >= source_.size() || !skip_close("%}", true)) continue;
      const std::size_t after = std::exchange(at_, data);
      emit_data(end, sign, true, at_line_start);
      at_ = after;
      return;
    }
    fail(open, "found a raw block without an end, '{% endraw %}' was needed");
  }

  void read_tag(std::size_t open, bool is_output) {
    emit(is_output ? TokenKind::kOutputBegin : TokenKind::kBlockBegin, open, is_output ? "{{" : "{%");
    const std::string_view close = is_output ? "}}" : "%}";
    while (true) {
      skip_space();
      if (at_ >= source_.size()) fail(open, cat("found no end of this tag, '", close, "' was needed"));
      const std::size_t begin = at_;
      if (brackets_.empty() && skip_close(close, !is_output)) {
        emit(is_output ? TokenKind::kOutputEnd : TokenKind::kBlockEnd, begin, std::string(close));
        return;
      }
      const char c = source_[at_];
      if (is_name_start(c))
        read_name();
      else if (is_digit(c))
        read_number();
      else if (c == '\'' || c == '"')
        read_string();
      else
        read_operator();
    }
  }

  void read_name() {
    const std::size_t begin = at_;
    while (at_ < source_.size() && is_name_part(source_[at_])) ++at_;
    emit(TokenKind::kName, begin, source_.substr(begin, at_ - begin));
  }

  // Digits with single underscores between them, as Python writes them.
  void read_digits(std::string& out) {
    while (at_ < source_.size()) {
      if (source_[at_] == '_' && at_ + 1 < source_.size() && is_digit(source_[at_ + 1])) ++at_;
      if (!is_digit(source_[at_])) return;
      out += source_[at_++];
    }
  }

  bool digit_at(std::size_t offset) const { return offset < source_.size() && is_digit(source_[offset]); }

  void read_number() {
    const std::size_t begin = at_;
    const bool after_dot = begin > 0 && source_[begin - 1] == '.';  // messages.0 is an index, never the float 0.5
    std::string digits;
    read_digits(digits);
    bool is_float = false;
    if (!after_dot && at_ < source_.size() && source_[at_] == '.' && digit_at(at_ + 1)) {
      is_float = true;
      digits += source_[at_++];
      read_digits(digits);
    }
    if (!after_dot && at_ < source_.size() && (source_[at_] == 'e' || source_[at_] == 'E')) {
      const std::size_t sign = at_ + 1 < source_.size() && (source_[at_ + 1] == '+' || source_[at_ + 1] == '-') ? 1 : 0;
      if (digit_at(at_ + 1 + sign)) {
        is_float = true;
        digits += source_.substr(at_, 1 + sign);
        at_ += 1 + sign;
        read_digits(digits);
      }
    }
    if (at_ < source_.size() && is_name_part(source_[at_]))
      fail(begin, "found letters after a number, a decimal number was needed");
    if (!is_float && digits.size() > 1 && digits[0] == '0' && digits.find_first_not_of('0') != std::string::npos)
      fail(begin, "found a number with a leading 0, a decimal number was needed");
    emit(is_float ? TokenKind::kFloat : TokenKind::kInteger, begin, digits);
  }

  void read_string() {
    const std::size_t begin = at_;
    const char quote = source_[at_++];
    std::string out;
    while (true) {
      if (at_ >= source_.size()) fail(begin, cat("found a string without an end, ", quote, " was needed"));
      const char c = source_[at_++];
      if (c == quote) break;
      if (c != '\\')
        out += c;
      else
        read_escape(out);
    }
    emit(TokenKind::kString, begin, std::move(out));
  }

  std::uint32_t read_hex(std::size_t begin, int digits) {
    std::uint32_t value = 0;
    for (int i = 0; i < digits; ++i, ++at_) {
      const char c = at_ < source_.size() ? source_[at_] : '\0';
      const int digit = is_digit(c)            ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) fail(begin, cat("found a cut off escape, ", digits, " hexadecimal digits were needed"));
      value = value * 16 + static_cast<std::uint32_t>(digit);
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
      fail(begin, "found an escape that is no character, a Unicode scalar value was needed");
    return value;
  }

  // Python's escapes; an unknown one stays as it is written.
  void read_escape(std::string& out) {
    const std::size_t begin = at_ - 1;
    if (at_ >= source_.size()) return;
    const char c = source_[at_++];
    switch (c) {
      case '\n': return;
      case 'n': out += '\n'; return;
      case 't': out += '\t'; return;
      case 'r': out += '\r'; return;
      case 'a': out += '\a'; return;
      case 'b': out += '\b'; return;
      case 'f': out += '\f'; return;
      case 'v': out += '\v'; return;
      case '\\':
      case '\'':
      case '"': out += c; return;
      case 'x': append_code_point(out, read_hex(begin, 2)); return;
      case 'u': append_code_point(out, read_hex(begin, 4)); return;
      case 'U': append_code_point(out, read_hex(begin, 8)); return;
      case 'N': fail(begin, "found \\N{...}, a character by its code (\\u) was needed; names are not supported");
      default: break;
    }
    if (c >= '0' && c <= '7') {
      std::uint32_t value = static_cast<std::uint32_t>(c - '0');
      for (int i = 0; i < 2 && at_ < source_.size() && source_[at_] >= '0' && source_[at_] <= '7'; ++i)
        value = value * 8 + static_cast<std::uint32_t>(source_[at_++] - '0');
      append_code_point(out, value);
      return;
    }
    out += '\\';
    out += c;
  }

  void read_operator() {
    static constexpr std::array<std::string_view, 26> kOperators = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "*",
                                                                    "/",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                                    ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    for (const std::string_view op : kOperators) {
      if (!starts_with(op)) continue;
      if (op == "(" || op == "[" || op == "{") {
        brackets_.push_back(op == "(" ? ')' : op == "[" ? ']' : '}');
      } else if (op == ")" || op == "]" || op == "}") {
        if (brackets_.empty()) fail(at_, cat("found '", op, "', which closes nothing"));
        if (brackets_.back() != op[0]) fail(at_, cat("found '", op, "', '", brackets_.back(), "' was needed"));
        brackets_.pop_back();
      }
      emit(TokenKind::kOperator, at_, std::string(op));
      at_ += op.size();
      return;
    }
    fail(at_, cat("found the character '", std::string_view(source_).substr(at_, code_point_at(source_, at_).bytes),
                  "', an expression was needed"));
  }

  std::string where_;
  std::string source_;
  std::vector<std::size_t> line_starts_{0};
  std::size_t at_ = 0;
  mutable Position last_;
  mutable std::size_t last_offset_ = 0;
  std::string brackets_;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize_template(std::string_view source, std::string_view where, const Limits& limits) {
  if (source.size() > limits.source_bytes)
    throw FormatError(
        cat(where, ":1:1: the template has ", source.size(), " bytes, at most ", limits.source_bytes, " were needed"));
  if (const auto bad = find_invalid_utf8(source))
    throw FormatError(cat(where, ":",
                          1 + std::count(source.begin(), source.begin() + static_cast<std::ptrdiff_t>(*bad), '\n'),
                          ":1: the template is not valid UTF-8 at byte ", *bad, ", UTF-8 was needed"));
  return Lexer(source, where).run();
}

std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kEnd: return "the end of the template";
    case TokenKind::kData: return "text";
    case TokenKind::kString: return "a string";
    default: return cat("'", token.text, "'");
  }
}

}  // namespace kvgauge::jinja
