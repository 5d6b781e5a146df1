#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace kvgauge {

/// One step of a UTF-8 reader over well-formed and ill-formed bytes (Unicode 15, table 3-7).
struct Utf8Step {
  enum Kind : std::uint8_t {
    kCharacter,   ///< `code_point` stands in the first `bytes` bytes
    kIllFormed,   ///< the first `bytes` bytes are a maximal subpart: one U+FFFD stands for them
    kIncomplete,  ///< all `bytes` bytes are the beginning of a character that goes on after the end
  };
  Kind kind = kIllFormed;
  std::uint8_t bytes = 1;
  char32_t code_point = 0;
};

/// Reads one step from the front of `text`, which must not be empty.
Utf8Step read_utf8(std::string_view text);

/// Offset of the first byte that is not part of a well-formed character; npos if all of `text` is UTF-8.
std::size_t find_ill_formed_utf8(std::string_view text);

/// Appends `text`, each maximal subpart of an ill-formed sequence replaced by one U+FFFD. Stops before an incomplete
/// character at the end. @return the number of bytes consumed: at least text.size() - 3
std::size_t append_replacing_ill_formed(std::string& out, std::string_view text);

void append_utf8(std::string& out, char32_t code_point);

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

}  // namespace kvgauge
