#pragma once
#include <optional>
#include <string>
#include <string_view>

// What each dataset takes as an answer and when two are the same: METHOD.md H.3. Answers are normalised text; a
// response is its visible part (after_thinking, before_end_of_turn). Pure; safe for any bytes.
namespace kvgauge {

/// Text that is equal as it stands (spaces apart), or as an exact number.
std::optional<std::string> exact_answer(std::string_view visible);
std::string exact_gold(std::string_view gold);
bool same_exact(std::string_view a, std::string_view b);

/// A number; units, currency and % are ignored.
std::optional<std::string> gsm8k_answer(std::string_view visible);
std::string gsm8k_gold(std::string_view gold);
bool same_gsm8k(std::string_view a, std::string_view b);

/// LaTeX, compared by math::same_answer.
std::optional<std::string> math_answer(std::string_view visible);
/// @param gold a bare answer, or a solution with a box
std::string math_gold(std::string_view gold);

/// The kind of answer that TheoremQA's rows name in answer_type.
enum class TheoremType : unsigned char { kNumber, kBool, kList, kOption };
/// From the row's answer_type, or from the gold answer where that is empty.
TheoremType theorem_type(std::string_view answer_type, std::string_view gold);
std::optional<std::string> theoremqa_answer(std::string_view visible, TheoremType type);
std::string theoremqa_gold(std::string_view gold, TheoremType type);
/// @param tolerance relative to |b|, for numbers and the elements of lists
bool same_theoremqa(std::string_view a, std::string_view b, TheoremType type, double tolerance);

/// A letter A to E.
std::optional<std::string> csqa_answer(std::string_view visible);
std::string csqa_gold(std::string_view gold);

/// The stated formula of a response: its box, else its answer phrase without the prose around it, else its last
/// formula, else its last number.
std::optional<std::string> stated_formula(std::string_view visible);

}  // namespace kvgauge
