#pragma once
#include <string>
#include <string_view>

namespace kvgauge {

/// Unicode normalisation form C. `text` must be well-formed UTF-8. O(n log n) for any text.
std::string to_nfc(std::string_view text);

/// True if a look at the bytes shows that to_nfc would change nothing: no character from U+0300 on.
bool is_trivially_nfc(std::string_view text);

/// What the Rust regex classes \s and \w match: added tokens with lstrip, rstrip, single_word are defined by them.
bool is_white_space(char32_t code_point);
bool is_word_character(char32_t code_point);

}  // namespace kvgauge
