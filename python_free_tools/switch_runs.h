#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "difficulty/switch_evaluation.h"
#include "gold_answer.h"
#include "grade/grader.h"
#include "interruption.h"
#include "kvgauge/engine.h"
#include "question_prompts.h"
#include "report/jsonl_writer.h"

namespace kvgauge::cli {

/// A question that can be asked.
struct AskedQuestion {
  std::int64_t index = 0;  ///< among the rows of its file
  std::string where, id;
  std::string key;  ///< hash of its prompt: equal questions have equal ones
  std::vector<std::int32_t> fast_prompt, slow_prompt;
  GoldAnswer gold;
};

/// The questions of a file, and what of it could not be one.
struct QuestionSet {
  std::string file, sha256;  ///< the hash is empty for a pipe
  std::vector<AskedQuestion> questions;
  std::vector<std::string> errors;  ///< one per row that is no question, naming its line
};
/// @throws InputError. @param limit rows at most; 0: all
QuestionSet read_questions(const std::string& path, std::int64_t limit, const QuestionOptions& options,
                           const QuestionPrompts& prompts);

/// One way to answer every question: what asks for it, and what identifies its outcomes.
struct RunPlan {
  std::string name;  ///< for people: "always-fast", "two-step"
  OrderedJson key;   ///< everything that decides the outcomes, but for what all plans of a job share
  std::function<Request(const AskedQuestion&)> request;
};

/// Runs plans and keeps their outcomes: in a folder, if there is one, as one JSONL file per plan and set of questions
/// whose first line is the key. A row that is there is not run again.
class SwitchRunner {
 public:
  struct Options {
    std::string folder;  ///< empty: nothing is kept
    OrderedJson shared;  ///< of every plan's key: model, prompts, sampling
    Dataset dataset = Dataset::kExact;
    GradeOptions grading = {};
    std::int64_t batch = 32;
    bool quiet = false;
    ScoreSpec scores = {};  ///< kept in the rows, if any
  };
  SwitchRunner(Engine& engine, Options options);

  /// Rows in the order of the questions, one each: {"index","id","error"} or the outcome's fields. Stops early when
  /// interrupted() becomes true; what has finished is kept.
  std::vector<OrderedJson> run(const RunPlan& plan, const QuestionSet& set);
  bool interrupted() const;
  std::int64_t generated() const { return generated_; }  ///< responses that were not in the folder

 private:
  struct Store;
  OrderedJson outcome_row(const AskedQuestion& question, const Finished& finished) const;

  Engine* engine_;
  Options options_;
  GracefulInterruption interruption_;
  std::int64_t generated_ = 0;
};

/// What a row says of its run. `posthoc_true` is sampled + what a search after the fact would have thrown away:
/// @param full_first tokens of the whole response in the mode that the run began with; not read without a switch
RunOutcome outcome_of(const OrderedJson& row, double full_first);

}  // namespace kvgauge::cli
