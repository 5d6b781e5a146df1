#pragma once
#include <string>
#include <string_view>

#include "core/json.h"
#include "text/jinja_ast.h"

namespace kvgauge::jinja {

/// Renders a parsed template. `variables` is an object; its members are the template's variables.
/// @throws RequestError "where:line:column: ..." for raise_exception, type errors and exceeded limits
std::string render_template(const Block& block, const OrderedJson& variables, std::string_view where,
                            const Limits& limits);

}  // namespace kvgauge::jinja
