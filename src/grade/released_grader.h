#pragma once
#include <string>
#include <string_view>

namespace kvgauge {

/// The answer as the grader released with the paper extracts and rewrites it (METHOD.md H.1, KVClassifier), flaws
/// included, so that its verdicts can be reported beside ours; its word-number library is left out. Equal strings of
/// prediction and gold count as correct.
std::string released_answer(std::string_view text);

/// Whether the two are equal. What is extracted from either must be at most 8 KiB: longer text is no answer.
bool released_correct(std::string_view response, std::string_view gold);

}  // namespace kvgauge
