#pragma once
#include <string>
#include <string_view>

namespace kvgauge::math {

std::string lower(std::string_view text);

/// Without what LaTeX and people add freely: spaces except between two letters or digits, $, \left and \right, thin
/// spaces, bold marks, a final period; \dfrac and \tfrac as \frac. Equal compact texts are equal answers. O(length)
std::string compact(std::string_view text);

/// Words without LaTeX, punctuation, capitals and leading articles: "\text{ The Ellipse. }" -> "ellipse". O(length)
std::string plain_words(std::string_view text);

/// Equal plain words; empty ones equal nothing.
bool same_words(std::string_view a, std::string_view b);

/// Whether text consists of words rather than a formula: a word of three letters or more, or \text, and no digit.
bool is_wordy(std::string_view text);

/// Whether text has a word of three letters or more outside commands and function names: "March 5".
bool is_prose(std::string_view text);

/// 3:00 pm: to be compared as written
bool is_clock_time(std::string_view compact_text);

/// "five" -> "5", else nothing.
std::string number_in_words(std::string_view text);

/// The letter of an answer that is nothing but a letter, (C) or \text{C}; 0 for none. In upper case.
char lone_choice(std::string_view text);

/// The letter that an answer starts with, as in "(C) 5" or "C. mall"; 0 for none. In upper case.
char stated_choice(std::string_view text);

}  // namespace kvgauge::math
