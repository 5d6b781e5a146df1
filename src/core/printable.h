#pragma once
#include <string>
#include <string_view>

namespace kvgauge {

/// A name or value out of a foreign file, made fit for a one-line message: control characters, line separators and
/// bytes that are not valid UTF-8 become "\xNN", and what is longer than about `limit` bytes is cut with "...".
std::string printable(std::string_view text, std::size_t limit = 120);

}  // namespace kvgauge
