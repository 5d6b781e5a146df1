#pragma once
#include <cstdint>
#include <optional>
#include <span>

namespace kvgauge {

/// What became of one generation.
struct Outcome {
  bool correct = false;
  std::int64_t tokens = 0;  ///< sampled, end-of-text included
  bool finished = true;     ///< false: it was cut off at its budget
};

/// How difficult a question is for a model, from one fast and one slow answer (METHOD.md F.2):
///   fast right in fewer than easy_tokens -> 0; fast right -> 25; fast wrong, slow right -> 75; both wrong -> 100
struct LabelRule {
  std::int64_t easy_tokens = 128;
};
double difficulty_label(const Outcome& fast, const Outcome& slow, const LabelRule& rule);
/// The mean over pairs of the same index. @param fast, slow equally many, at least one
double difficulty_label(std::span<const Outcome> fast, std::span<const Outcome> slow, const LabelRule& rule);

/// What becomes of a point inside a think block where neither closing nor thinking to the end gives a right answer.
enum class BothWrong : std::uint8_t {
  kUnsafe,   ///< closing there is wrong
  kSafe,     ///< closing there costs nothing
  kDropped,  ///< it says nothing
};
/// Labels of points where the block may and may not be closed.
struct CheckpointRule {
  double safe = 0, unsafe = 100;
  BothWrong both_wrong = BothWrong::kUnsafe;
};
/// @param closed_correct the answer after closing there is right; @param slow_correct the answer after thinking to the
/// end is
/// @return nullopt: the point is no example
std::optional<double> checkpoint_label(bool closed_correct, bool slow_correct, const CheckpointRule& rule);

}  // namespace kvgauge
