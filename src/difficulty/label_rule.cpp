#include "difficulty/label_rule.h"

#include "core/check.h"

namespace kvgauge {

double difficulty_label(const Outcome& fast, const Outcome& slow, const LabelRule& rule) {
  if (fast.correct) return fast.tokens < rule.easy_tokens ? 0 : 25;
  return slow.correct ? 75 : 100;
}

double difficulty_label(std::span<const Outcome> fast, std::span<const Outcome> slow, const LabelRule& rule) {
  KVGAUGE_CHECK(!fast.empty() && fast.size() == slow.size());
  double sum = 0;
  for (std::size_t i = 0; i < fast.size(); ++i) sum += difficulty_label(fast[i], slow[i], rule);
  return sum / static_cast<double>(fast.size());
}

std::optional<double> checkpoint_label(bool closed_correct, bool slow_correct, const CheckpointRule& rule) {
  if (closed_correct) return rule.safe;
  if (slow_correct || rule.both_wrong == BothWrong::kUnsafe) return rule.unsafe;
  if (rule.both_wrong == BothWrong::kSafe) return rule.safe;
  return std::nullopt;
}

}  // namespace kvgauge
