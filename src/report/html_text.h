#pragma once
#include <string>
#include <string_view>

namespace kvgauge {

/// Text from anywhere as HTML text or attribute value: markup characters become entities, control characters and bytes
/// that are not UTF-8 become "\xNN", what is longer than `limit` bytes is cut with "...".
std::string html_text(std::string_view text, std::size_t limit = 400);

}  // namespace kvgauge
