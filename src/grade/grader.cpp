#include "grade/grader.h"

#include "core/cat.h"
#include "grade/answer_text.h"
#include "grade/compare.h"
#include "grade/datasets.h"
#include "grade/released_grader.h"
#include "grade/released_match.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace {

constexpr Dataset kDatasets[] = {Dataset::kGsm8k, Dataset::kMath, Dataset::kTheoremqa, Dataset::kCsqa, Dataset::kExact};

std::optional<std::string> answer_in(Dataset dataset, std::string_view visible, TheoremType type) {
  switch (dataset) {
    case Dataset::kExact: return exact_answer(visible);
    case Dataset::kGsm8k: return gsm8k_answer(visible);
    case Dataset::kMath: return math_answer(visible);
    case Dataset::kTheoremqa: return theoremqa_answer(visible, type);
    case Dataset::kCsqa: return csqa_answer(visible);
  }
  return std::nullopt;
}

std::string normalised_gold(Dataset dataset, std::string_view gold, TheoremType type) {
  switch (dataset) {
    case Dataset::kExact: return exact_gold(gold);
    case Dataset::kGsm8k: return gsm8k_gold(gold);
    case Dataset::kMath: return math_gold(gold);
    case Dataset::kTheoremqa: return theoremqa_gold(gold, type);
    case Dataset::kCsqa: return csqa_gold(gold);
  }
  return {};
}

bool same(Dataset dataset, std::string_view a, std::string_view b, TheoremType type, double tolerance) {
  if (a.size() > kLongestAnswer || b.size() > kLongestAnswer) return a == b;
  switch (dataset) {
    case Dataset::kExact: return same_exact(a, b);
    case Dataset::kGsm8k: return same_gsm8k(a, b);
    case Dataset::kMath: return math::same_answer(a, b);
    case Dataset::kTheoremqa: return same_theoremqa(a, b, type, tolerance);
    case Dataset::kCsqa: return !a.empty() && a == b;
  }
  return false;
}

bool is_for_match(Dataset dataset) { return dataset == Dataset::kTheoremqa || dataset == Dataset::kCsqa; }

}  // namespace

const char* name(Dataset dataset) {
  switch (dataset) {
    case Dataset::kExact: return "exact";
    case Dataset::kGsm8k: return "gsm8k";
    case Dataset::kMath: return "math";
    case Dataset::kTheoremqa: return "theoremqa";
    case Dataset::kCsqa: return "csqa";
  }
  return "?";
}

Dataset parse_dataset(std::string_view text) {
  for (const Dataset dataset : kDatasets)
    if (text == name(dataset)) return dataset;
  throw UsageError(cat("--dataset: '", text, "', one of gsm8k, math, theoremqa, csqa, exact was needed"));
}

Grade grade(Dataset dataset, std::string_view response, std::string_view gold, const GradeOptions& options) {
  const std::string_view turn = tail_of(before_end_of_turn(response));
  gold = tail_of(gold);
  const TheoremType type = theorem_type(options.answer_type, gold);
  Grade result;
  result.predicted = answer_in(dataset, after_thinking(turn), type);
  result.gold = normalised_gold(dataset, gold, type);
  result.correct = result.predicted && same(dataset, *result.predicted, result.gold, type, options.tolerance);
  if (dataset != Dataset::kExact)
    result.coe_paper_correct = options.finished && released_match(dataset, turn, gold, options.answer_type);
  result.paper_correct = is_for_match(dataset) ? *result.coe_paper_correct : released_correct(turn, gold);
  result.truncated = !options.finished;
  return result;
}

std::optional<std::string> extract_answer(Dataset dataset, std::string_view response) {
  const std::string_view visible = after_thinking(tail_of(before_end_of_turn(response)));
  if (dataset != Dataset::kTheoremqa) return answer_in(dataset, visible, TheoremType::kNumber);
  // Without a gold answer its kind is that of the stated text.
  const StatedAnswer stated = stated_answer(visible);
  const bool is_stated = stated.marker != StatedAnswer::Marker::kNone;
  return theoremqa_answer(visible, is_stated ? theorem_type({}, stated.text) : TheoremType::kNumber);
}

bool equivalent(Dataset dataset, std::string_view a, std::string_view b) {
  const TheoremType type = theorem_type({}, a);
  if (dataset != Dataset::kTheoremqa) return same(dataset, a, b, type, 0);
  const GradeOptions options;
  return type == theorem_type({}, b) &&
         (same(dataset, a, b, type, options.tolerance) || same(dataset, b, a, type, options.tolerance));
}

}  // namespace kvgauge
