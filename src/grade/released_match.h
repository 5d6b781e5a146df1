#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "grade/grader.h"

namespace kvgauge {

/// What the grader released with the Chain-of-Embedding code (METHOD.md H.1, CoE) takes from a response, flaws
/// included: the first \boxed{..} of math without spaces, the number after the last "answer is" of theoremqa without
/// its sign, the first "Answer: X" of csqa without a word boundary, the number after the last "Answer" of gsm8k.
/// nullopt: none.
std::optional<std::string> released_match_answer(Dataset dataset, std::string_view response, std::string_view gold,
                                                 std::string_view answer_type);

/// Its verdict; that an unfinished response is wrong is left to the caller, as is dataset exact (never right).
bool released_match(Dataset dataset, std::string_view response, std::string_view gold, std::string_view answer_type);

}  // namespace kvgauge
