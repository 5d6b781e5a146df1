#pragma once
#include <string>
#include <string_view>

namespace kvgauge {

/// The byte-level alphabet of GPT-2: a printable character for each byte. Bytes 0x21..0x7E, 0xA1..0xAC and 0xAE..0xFF
/// stand for themselves; the other 68, in ascending order, for U+0100, U+0101, ... (so a space is U+0120).
std::string to_byte_alphabet(std::string_view bytes);
/// The inverse. Text with a character outside the alphabet is no spelling of bytes and comes back as it is.
std::string from_byte_alphabet(std::string_view token);

}  // namespace kvgauge
