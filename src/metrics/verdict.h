#pragma once
#include <cstdint>
#include <string>

namespace kvgauge {

struct ScoreEvaluation;

/// What a score has shown, in the order in which the rules are tried.
enum class Verdict : std::uint8_t {
  kTooFew,          ///< fewer than kFewestOfAClass right or wrong rows: nothing can be said
  kNoSignal,        ///< the AUROC's interval holds 0.5
  kMasked,          ///< it does, but at equal length there is signal: see LengthControl
  kTruncation,      ///< it does, or lies on the other side, once truncated rows are left out
  kTruncationOpen,  ///< too few complete rows of one class to tell signal from truncation
  kLength,          ///< at equal length nothing is left: see LengthControl
  kLengthUnknown,   ///< signal, but too few rows carry their length
  kBeyondLength,    ///< signal that neither truncation nor length explains
};

inline constexpr std::int64_t kFewestOfAClass = 10;

struct Judgement {
  Verdict verdict = Verdict::kTooFew;
  bool reversed = false;  ///< the signal points against the orientation that was fixed beforehand (AUROC below 0.5)
};

/// Judges from the score's own numbers:
///  1. fewer than 10 rows of a class                                                          -> too few
///  2. the bootstrap interval of AUROC holds 0.5                                              -> no signal,
///     or, if both intervals of rule 4 lie on one side of "nothing"                           -> masked by length
///  3. some rows are truncated, and among the complete ones the interval holds 0.5 or lies on
///     the other side (or fewer than 10 are left of a class)                                  -> truncation (open)
///  4. among those rows, length held fixed, the interval of the partial Spearman correlation
///     with correctness or that of the length-matched AUROC holds "nothing", or lies on the
///     other side, or is undefined                                                            -> length
///  5. else                                                                                   -> beyond length
/// "Explained" means: what is left is not told from chance on these rows.
Judgement judge(const ScoreEvaluation& score);

const char* key(Verdict verdict);               ///< "too_few", "no_signal", "truncation", ... for machines
std::string words(const Judgement& judgement);  ///< for people

}  // namespace kvgauge
