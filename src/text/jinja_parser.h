#pragma once
#include <string_view>

#include "text/jinja_ast.h"

namespace kvgauge::jinja {

/// Parses a whole template. @throws FormatError "where:line:column: ..." naming what is malformed or not supported
Block parse_template(std::string_view source, std::string_view where, const Limits& limits);

}  // namespace kvgauge::jinja
