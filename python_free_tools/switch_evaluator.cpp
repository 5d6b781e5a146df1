#include <algorithm>
#include <cstdio>

#include "core/cat.h"
#include "core/printable.h"
#include "kvgauge/error.h"
#include "loader/model_config.h"
#include "loader/model_files.h"
#include "option_values.h"
#include "switch_evaluator.h"

namespace kvgauge::cli {

ScoreSpec score_spec(const SwitchEvalOptions& o) {
  ScoreOptions options;
  options.scores = o.scores;
  return score_groups(options, AnswerCount::kOne).spec;
}

void SwitchAnswers::note(const std::vector<OrderedJson>& rows) {
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (const OrderedJson* const error = given(rows[i], "error")) {
      if (first_error.empty() && error->is_string()) first_error = error->get<std::string>();
      ok[i] = 0;
    }
}

std::int64_t SwitchAnswers::failed() const {
  return std::ssize(set.errors) + std::count(ok.begin(), ok.end(), std::uint8_t{0});
}

std::vector<SwitchQuestion> SwitchAnswers::questions(const std::string& head) const {
  std::vector<SwitchQuestion> out;
  for (std::size_t i = 0; i < ok.size(); ++i)
    if (ok[i])
      out.push_back({.difficulty = d.contains(head) ? d.at(head)[i] : kUndefined,
                     .fast = outcome_of(fast[i], 0),
                     .slow = outcome_of(slow[i], 0)});
  return out;
}

std::vector<RunOutcome> SwitchAnswers::outcomes(const std::vector<OrderedJson>& rows) const {
  std::vector<RunOutcome> out;
  for (std::size_t i = 0; i < ok.size(); ++i)
    if (ok[i]) {
      const OrderedJson& whole = rows[i].value("first", "") == "slow" ? slow[i] : fast[i];
      out.push_back(outcome_of(rows[i], outcome_of(whole, 0).tokens.of(TokenCounter::kSampled)));
    }
  return out;
}

SwitchEvaluator::SwitchEvaluator(const SwitchEvalOptions& options, std::vector<Head> heads, Engine& engine)
    : o_(options),
      heads_(std::move(heads)),
      engine_(engine),
      prompts_(engine, options.questions),
      runner_(engine, runner_options()) {
  for (const Head& head : heads_) prompts_.check_head(head.head, head.path);
  for (const Head& head : heads_) engine_.use_difficulty_head(head.head);  // refuses one of another model
}

void SwitchEvaluator::say(const std::string& text) const {
  if (!o_.quiet) std::fputs(cat("kvgauge: ", text, "\n").c_str(), stderr);
}

SwitchRunner::Options SwitchEvaluator::runner_options() const {
  OrderedJson shared = {{"model", engine_.files().content_hash()},
                        {"engine", engine_.describe().substr(0, engine_.describe().find(';'))},
                        {"prompts", prompts_.id()},
                        {"prompt-template", o_.questions.prompt_template},
                        {"dataset", name(o_.questions.graded_as())},
                        {"max-tokens", o_.max_tokens},
                        {"fast-budget", o_.two_step.fast_budget},
                        {"slow-budget", o_.two_step.slow_budget},
                        {"temperature", o_.sampling.temperature},
                        {"top-p", o_.sampling.top_p},
                        {"top-k", o_.sampling.top_k},
                        {"min-p", o_.sampling.min_p},
                        {"seed", o_.seed},
                        {"scores", o_.scores}};
  return {.folder = o_.runs,
          .shared = std::move(shared),
          .dataset = o_.questions.graded_as(),
          .grading = {},
          .batch = o_.model.max_batch,
          .quiet = o_.quiet,
          .scores = score_spec(o_)};
}

Request SwitchEvaluator::base_request(const AskedQuestion& question, const std::vector<std::int32_t>& prompt) const {
  Request request;
  request.prompt = prompt;
  request.sampling = o_.sampling.params(o_.seed);
  request.stop.max_tokens = o_.max_tokens;
  request.scores = score_spec(o_);
  request.stream = static_cast<std::uint64_t>(question.index);
  return request;
}

std::vector<OrderedJson> SwitchEvaluator::run(const RunPlan& plan, SwitchAnswers& answers) {
  say(cat(plan.name, " on ", answers.set.questions.size(), " questions of ", answers.set.file,
          plan.key.empty() ? "" : cat(": ", settings_text(plan.key))));
  std::vector<OrderedJson> rows = runner_.run(plan, answers.set);
  if (runner_.interrupted()) throw SwitchInterrupted{};
  answers.note(rows);
  return rows;
}

SwitchAnswers SwitchEvaluator::answer(const std::string& path, std::int64_t limit,
                                      const std::set<std::string>& leave_out) {
  SwitchAnswers answers;
  answers.set = read_questions(path, limit, o_.questions, prompts_);
  left_out_ = std::erase_if(answers.set.questions,
                            [&](const AskedQuestion& question) { return leave_out.contains(question.key); });
  if (answers.set.questions.empty())
    throw InputError(cat(answers.set.file, ": no question to evaluate, at least one was needed",
                         answers.set.errors.empty() ? "" : cat("; the first row: ", answers.set.errors.front())));
  answers.ok.assign(answers.set.questions.size(), 1);
  if (!answers.set.errors.empty()) answers.first_error = answers.set.errors.front();
  const auto always = [&](ThinkingStart start) {
    ThinkingSpec spec;
    spec.start = start;
    spec.settings.max_switches = 0;
    spec.settings.fast_budget = o_.two_step.fast_budget;
    spec.settings.slow_budget = o_.two_step.slow_budget;
    spec.tags = prompts_.tags();
    const bool slow = start == ThinkingStart::kSlow;
    return run({.name = slow ? "always-slow" : "always-fast",
                .key = OrderedJson::object(),
                .request =
                    [this, spec, slow](const AskedQuestion& question) {
                      Request request = base_request(question, slow ? question.slow_prompt : question.fast_prompt);
                      request.thinking = spec;
                      return request;
                    }},
               answers);
  };
  answers.fast = always(ThinkingStart::kFast);
  answers.slow = always(ThinkingStart::kSlow);
  return answers;
}

void SwitchEvaluator::read_difficulties(const Head& head, SwitchAnswers& answers) {
  if (answers.d.contains(head.head.id)) return;
  engine_.use_difficulty_head(head.head);
  const auto rows = run({.name = "difficulty",
                         .key = {{"head", head.head.id}},
                         .request =
                             [](const AskedQuestion& question) {
                               Request request;
                               request.prompt = question.slow_prompt;
                               request.prompt_only = true;
                               request.difficulty = true;
                               return request;
                             }},
                        answers);
  std::vector<double>& d = answers.d[head.head.id];
  for (const OrderedJson& row : rows) {
    const OrderedJson* const value = given(row, "d");
    d.push_back(value && value->is_number() ? value->get<double>() : kUndefined);
  }
}

std::vector<OrderedJson> SwitchEvaluator::run_two_step(const Head& head, const TwoStepSetting& setting,
                                                       SwitchAnswers& answers) {
  engine_.use_difficulty_head(head.head);
  const ThinkingSpec spec = thinking_spec(o_.two_step, setting, prompts_.tags(), head.head.window.positions);
  return run({.name = "two-step",
              .key = setting_json(o_.two_step, setting, head.head.id, head.head.window.positions),
              .request =
                  [this, spec](const AskedQuestion& question) {
                    Request request = base_request(question, question.slow_prompt);
                    request.thinking = spec;
                    return request;
                  }},
             answers);
}

void SwitchEvaluator::choose_tau(Head& head) {
  if (!o_.tau.empty() || !choosing()) {
    head.tau = o_.tau.empty() ? ControllerSettings{}.tau : parse_real("--tau", o_.tau, -1e9, 1e9);
    return;
  }
  const auto questions = validation_.questions(head.head.id);
  head.choice = choose_threshold(questions, difficulties(questions), needed());
  head.tau = head.choice.threshold;
}

std::vector<TwoStepRun> SwitchEvaluator::try_two_step(const Head& head) {
  std::vector<TwoStepRun> runs;
  const auto tau_for = [&](double keep) {
    const auto questions = validation_.questions(head.head.id);
    return choose_threshold(questions, difficulties(questions), keep).threshold;
  };
  std::string left_out;  // why
  for (const TwoStepSetting& setting : two_step_grid(o_.two_step, head.tau, tau_for)) {
    if (const std::string reason = reason_to_refuse(o_.two_step, setting); !reason.empty()) {
      left_out = reason;
      continue;
    }
    runs.push_back({.setting = setting, .validation = {}, .chosen = false, .rows = {}});
  }
  if (runs.empty()) {
    if (&head == &two_step_head()) throw UsageError(left_out);
    say(cat("warning: ", head.path, ": no two-step setting can be run: ", left_out));
    return runs;
  }
  if (!choosing()) {
    runs.front().chosen = true;
    return runs;
  }
  std::vector<std::vector<OrderedJson>> rows;
  for (const TwoStepRun& run : runs) rows.push_back(run_two_step(head, run.setting, validation_));
  const auto questions = validation_.questions(head.head.id);
  std::vector<Strategy> strategies;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    runs[i].validation = as_run("two-step", validation_.outcomes(rows[i]));
    strategies.push_back(runs[i].validation);
  }
  const Strategy slow = routed("always-slow", questions, constant_share(questions.size(), 1), 0);
  runs[choose_strategy(strategies, slow, needed())].chosen = true;
  return runs;
}

void SwitchEvaluator::run_head(const Head& head, bool every_setting) {
  if (two_step_.contains(head.head.id)) return;
  std::vector<TwoStepRun> runs = try_two_step(head);
  for (TwoStepRun& run : runs)
    if (run.chosen || every_setting) run.rows = run_two_step(head, run.setting, test_);
  two_step_[head.head.id] = std::move(runs);
}

// Before anything is measured: a question that fails anywhere is left out everywhere.
void SwitchEvaluator::answer_everything() {
  test_ = answer(o_.input, o_.limit, {});
  for (const Head& head : heads_) read_difficulties(head, test_);
  if (choosing()) {
    std::set<std::string> tested;
    for (const AskedQuestion& question : test_.set.questions) tested.insert(question.key);
    validation_ = answer(o_.validation, 0, tested);
    for (const Head& head : heads_) read_difficulties(head, validation_);
    const auto questions = validation_.questions("");
    if (questions.empty())
      throw InputError(cat(validation_.set.file, ": every question failed; the first: ", validation_.first_error));
    length_choice_ = choose_threshold(questions, lengths(questions), needed());
  }
  for (Head& head : heads_) choose_tau(head);
  if (o_.two_step.off) return;
  run_head(two_step_head(), o_.sweep);
  if (!o_.heads.empty())
    for (const Head& head : heads_) run_head(head, false);
}

}  // namespace kvgauge::cli
