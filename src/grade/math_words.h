#pragma once
#include <string>
#include <string_view>

namespace kvgauge::math {

/// sin, arctan, log, ...; nullptr for none. Inverse functions have one spelling: asin -> arcsin.
const char* function_name(std::string_view word);

/// The sign that a command without its backslash stands for (cdot -> *, leq -> <=), nullptr for none.
const char* command_sign(std::string_view command);

/// What a plain word stands for as a command: pi, infinity, theta, ...; nullptr for none.
const char* plain_command(std::string_view word);

/// A unit written without \text: cm, kg, mph.
bool is_unit(std::string_view word);

/// A short word that is no product of letters: no, odd, red.
bool is_short_word(std::string_view word);

/// Commands that only change how things look: left, displaystyle, mathbf.
bool is_decoration(std::string_view command);

/// Commands whose argument is text: text, mbox, mathrm.
bool is_text_command(std::string_view command);

/// 0 to 19 and the tens in words -> digits, else nullptr.
const char* digits_of_word(std::string_view word);

}  // namespace kvgauge::math
