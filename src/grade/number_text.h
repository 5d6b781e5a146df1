#pragma once
#include <string>
#include <string_view>

namespace kvgauge {

/// How many characters at the start of `text` (after clean_math, answer_text.h) are a number, 0 for none: 18, -5, .5,
/// 70,000 (grouped by threes only), 1.8e1, 1.8 \times 10^{1}, 1/2, \frac{1}{2}, \frac12, 18\frac{1}{2}, 18 1/2.
/// O(of the number)
std::size_t number_length(std::string_view text);

/// The first number in a text, else an empty view.
std::string_view first_number(std::string_view text);

/// The last number in a text, else an empty view.
std::string_view last_number(std::string_view text);

}  // namespace kvgauge
