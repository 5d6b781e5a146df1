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
/// @throws UsageError for any other name; math, theoremqa and csqa are known, but not in this version
Dataset parse_dataset(std::string_view text);

struct Grade {
  std::optional<std::string> predicted;  ///< normalised; nullopt: the response states no answer
  std::string gold;                      ///< normalised the same way
  bool correct = false;
  bool paper_correct = false;  ///< by the grader released with the paper: see released_grader.h
  bool truncated = false;      ///< the response did not end by itself
};

/// METHOD.md H.3, items 1 to 3 and exact rational comparison. Pure; O(length), safe for any bytes.
/// @param gold a bare answer, or a worked solution with `#### x`
/// @param finished false when the response hit its token budget
Grade grade(Dataset dataset, std::string_view response, std::string_view gold, bool finished = true);

/// What a response states as its answer, normalised; nullopt if nothing. Pure; safe for any bytes.
std::optional<std::string> extract_answer(Dataset dataset, std::string_view response);

/// Whether two normalised answers (extract_answer) say the same. Symmetric; an empty answer equals none.
bool equivalent(Dataset dataset, std::string_view a, std::string_view b);

}  // namespace kvgauge
