#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "difficulty/checkpoints.h"
#include "difficulty/label_rule.h"
#include "grade/grader.h"
#include "job.h"
#include "question_prompts.h"

namespace kvgauge::cli {

/// What `label` generates for a question, and how it is judged.
struct LabelPlan {
  QuestionPrompts prompts;
  const Tokenizer* tokenizer = nullptr;
  SamplingParams sampling = {};
  std::int64_t seeds = 1;  ///< pairs of a fast and a slow generation
  std::int64_t fast_tokens = 2048, slow_tokens = 8192;
  std::int64_t context = 0;  ///< positions of a sequence; a checkpoint without room for an answer is left out
  std::string model;         ///< the first digits of its hash
  std::optional<CheckpointPlan> checkpoints = {};
  std::int64_t checkpoint_questions = 0;  ///< only rows below this index have them; 0: all
  Dataset dataset = Dataset::kExact;
  LabelRule rule = {};
};

/// A fast and a slow request, then one for each checkpoint of the first slow generation: its tokens so far and a closed
/// think block behind the prompt. Their random numbers come from streams of their own. @param plan, input outlive it
std::unique_ptr<RowTask> make_label_task(const LabelPlan& plan, const InputRow& input);

}  // namespace kvgauge::cli
