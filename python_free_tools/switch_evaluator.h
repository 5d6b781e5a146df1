#pragma once
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common_options.h"
#include "control/difficulty_head.h"
#include "difficulty/switch_evaluation.h"
#include "engine/think_tags.h"
#include "question_prompts.h"
#include "report/switch_report.h"
#include "switch_runs.h"
#include "two_step_grid.h"

namespace kvgauge::cli {

/// Of `kvgauge switch-eval`.
struct SwitchEvalOptions {
  ModelOptions model;
  std::string input, validation, output = "-", format = "md", runs;
  std::string scores = "none";
  QuestionOptions questions;
  SamplingOptions sampling;
  std::string difficulty, two_step_head, heads;
  std::string tau;
  double keep = 0.97, margin = 0.01;
  TwoStepOptions two_step;
  bool sweep = false, quiet = false, keep_given = false, margin_given = false;
  std::int64_t limit = 0, seed = 0, resamples = 2000, max_tokens = 8192;
};

/// What of each answer is measured for --runs. @throws UsageError
ScoreSpec score_spec(const SwitchEvalOptions& options);

/// A head and its threshold.
struct Head {
  std::string path;
  DifficultyHead head;
  double tau = kUndefined;  ///< of one-step
  ThresholdChoice choice;   ///< if tau was chosen
};

/// The answers to one file's questions.
struct SwitchAnswers {
  QuestionSet set;
  std::vector<OrderedJson> fast, slow;           ///< [question], as all rows below
  std::map<std::string, std::vector<double>> d;  ///< by the head's id
  std::vector<std::uint8_t> ok;                  ///< nothing of the question has failed so far
  std::string first_error;

  void note(const std::vector<OrderedJson>& rows);  ///< what has failed in them
  std::int64_t failed() const;                      ///< rows that are no question included
  // Of the questions that are ok.
  std::vector<SwitchQuestion> questions(const std::string& head) const;
  std::vector<RunOutcome> outcomes(const std::vector<OrderedJson>& rows) const;
};

/// A two-step setting and what it gave.
struct TwoStepRun {
  TwoStepSetting setting;
  Strategy validation;  ///< empty without validation questions
  bool chosen = false;
  std::vector<OrderedJson> rows;  ///< on the input's questions; empty: was not run there
};

/// Thrown after a signal; what has finished is in --runs.
struct SwitchInterrupted {};

/// Answers the questions in every way, chooses settings on the validation questions, measures on the input's.
class SwitchEvaluator {
 public:
  /// @param heads --difficulty, then --two-step-head if there is one, then --heads
  /// @throws InputError for a head of another model or template set, UsageError (as QuestionPrompts)
  SwitchEvaluator(const SwitchEvalOptions& options, std::vector<Head> heads, Engine& engine);

  /// @throws SwitchInterrupted, InputError where there is no question
  SwitchReport report();

 private:
  using Questions = std::vector<SwitchQuestion>;

  // What generates.
  SwitchRunner::Options runner_options() const;
  Request base_request(const AskedQuestion& question, const std::vector<std::int32_t>& prompt) const;
  std::vector<OrderedJson> run(const RunPlan& plan, SwitchAnswers& answers);
  SwitchAnswers answer(const std::string& path, std::int64_t limit, const std::set<std::string>& leave_out);
  void read_difficulties(const Head& head, SwitchAnswers& answers);
  std::vector<OrderedJson> run_two_step(const Head& head, const TwoStepSetting& setting, SwitchAnswers& answers);
  void choose_tau(Head& head);
  std::vector<TwoStepRun> try_two_step(const Head& head);
  void run_head(const Head& head, bool every_setting);
  void answer_everything();

  // What only computes.
  Strategy one_step(const Head& head, const Questions& questions) const;
  Strategy length_router(const Questions& questions, double slow_answers) const;
  Strategy two_step(const Head& head, const TwoStepRun& run) const;
  const TwoStepRun* chosen_run(const Head& head) const;  ///< nullptr: no two-step for it
  void add_strategies(SwitchReport& report, const Questions& questions) const;
  void add_comparisons(SwitchReport& report, const Questions& questions, const Strategy& strategy,
                       const Strategy& length, bool is_router) const;
  void add_choices(SwitchReport& report) const;
  void add_sweep(SwitchReport& report, const Questions& questions) const;
  void add_heads(SwitchReport& report) const;
  OrderedJson provenance() const;

  const Head& two_step_head() const { return o_.two_step_head.empty() ? heads_.front() : heads_[1]; }
  BootstrapOptions bootstrap() const {
    return {.resamples = static_cast<int>(o_.resamples), .seed = static_cast<std::uint64_t>(o_.seed)};
  }
  bool choosing() const { return !o_.validation.empty(); }
  double needed() const { return o_.keep + o_.margin; }
  void say(const std::string& text) const;

  const SwitchEvalOptions& o_;
  std::vector<Head> heads_;
  Engine& engine_;
  QuestionPrompts prompts_;
  SwitchRunner runner_;
  SwitchAnswers test_, validation_;
  std::int64_t left_out_ = 0;  ///< validation questions that the input has too
  ThresholdChoice length_choice_;
  std::map<std::string, std::vector<TwoStepRun>> two_step_;  ///< by the head's id
};

}  // namespace kvgauge::cli
