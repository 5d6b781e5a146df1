#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kvgauge {

enum class Dataset : std::uint8_t {
  kExact,      ///< the stated answer, or the whole text where nothing is stated; equal as strings or as exact numbers
  kGsm8k,      ///< a number; units, currency and % are ignored
  kMath,       ///< mathematical equivalence of LaTeX answers
  kTheoremqa,  ///< numbers within a tolerance, yes or no, lists, option letters
  kCsqa,       ///< one of the letters A to E
};
const char* name(Dataset dataset);
/// @throws UsageError for any other name
Dataset parse_dataset(std::string_view text);

struct GradeOptions {
  bool finished = true;               ///< false when the response hit its token budget
  std::string_view answer_type = {};  ///< theoremqa: bool, integer, float, list of .., option; empty: as the gold looks
  double tolerance = 0.04;            ///< theoremqa: relative to |gold|, its own evaluator's
};

struct Grade {
  std::optional<std::string> predicted;  ///< normalised; nullopt: the response states no answer
  std::string gold;                      ///< normalised the same way
  bool correct = false;
  /// By a grader released with the papers: the KVClassifier one (released_grader.h) for exact, gsm8k and math, the CoE
  /// one (released_match.h) for theoremqa and csqa.
  bool paper_correct = false;
  /// By the CoE one, which counts an unfinished response as wrong; nullopt for exact, which it does not know.
  std::optional<bool> coe_paper_correct;
  bool truncated = false;  ///< the response did not end by itself
};

/// METHOD.md H.3. Pure; safe for any bytes; time O(length) plus a bounded amount for the comparison (math::Budget).
/// @param gold a bare answer, a worked solution with `#### x` (exact, gsm8k) or with a box (math)
Grade grade(Dataset dataset, std::string_view response, std::string_view gold, const GradeOptions& options = {});

/// What a response states as its answer, normalised; nullopt if nothing. Pure; safe for any bytes.
std::optional<std::string> extract_answer(Dataset dataset, std::string_view response);

/// Whether two normalised answers (extract_answer) say the same. Symmetric; an empty answer equals none.
bool equivalent(Dataset dataset, std::string_view a, std::string_view b);

}  // namespace kvgauge
