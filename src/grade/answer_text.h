#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kvgauge {

/// The text before the first end-of-turn marker of the supported chat formats, e.g. <|im_end|>, <|eot_id|>, </s>.
std::string_view before_end_of_turn(std::string_view text);

/// Answers stand at the end: only so many bytes of a response are read, and an answer longer than kLongestAnswer equals
/// only itself, so that no text takes more than a few milliseconds.
inline constexpr std::size_t kLongestResponse = 128 << 10, kLongestAnswer = 4 << 10;
std::string_view tail_of(std::string_view text);

/// The text after the last </think>; the whole text if there is none.
std::string_view after_thinking(std::string_view text);

/// Without spaces, tabs and line breaks at both ends.
std::string_view trimmed(std::string_view text);

/// Where a response states its answer.
struct StatedAnswer {
  enum class Marker { kNone, kBox, kHash, kPhrase };
  Marker marker = Marker::kNone;
  std::string_view text;  ///< what follows the marker, trimmed; empty for kNone
  std::string_view
      before;  ///< the text that may be searched when nothing is stated: all of it, or up to an unclosed last box
};

/// In this order: the last closed \boxed{..} or \fbox{..} (the inner one if nested; `\boxed x` too) > the last line
/// `#### x` > the last phrase "answer is x" or "answer: x", to the end of its line or displayed formula. A box that is
/// never closed states nothing, nor does any text after it. @param text the visible answer. O(length)
StatedAnswer stated_answer(std::string_view text);

/// The formulas between $..$, $$..$$, \(..\) and \[..\], in order. O(length)
std::vector<std::string_view> math_spans(std::string_view text);

/// Mathematical text with the decoration removed that does not change an answer: $ and other currency signs, \left
/// \right, thin spaces, % and degree signs, bold marks and code ticks, \text{..}-like wrappers (their content stays),
/// {,}, Unicode minus signs, spaces at both ends and a final period. O(length)
std::string clean_math(std::string_view text);

}  // namespace kvgauge
