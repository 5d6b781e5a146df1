#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja_value.h"

namespace kvgauge::jinja {

enum class TokenKind {
  kData,
  kOutputBegin,
  kOutputEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kInteger,
  kFloat,
  kString,
  kOperator,
  kEnd
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  Position position;
  std::string text;  ///< data and strings as they are meant: white space cut, escapes resolved
};

/// Splits a template as Jinja2 does with trim_blocks and lstrip_blocks: line ends become \n and a last one is dropped,
/// `-` cuts all white space on its side, `+` keeps it; one newline after a block or comment and white space
/// before one on its line go unless a sign says otherwise; {% raw %} is data.
/// @throws FormatError "where:line:column: ..."
std::vector<Token> tokenize_template(std::string_view source, std::string_view where, const Limits& limits);

/// How an error message shows a token.
std::string describe(const Token& token);

}  // namespace kvgauge::jinja
