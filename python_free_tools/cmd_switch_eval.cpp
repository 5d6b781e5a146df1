#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <set>

#include "cli.h"
#include "common_options.h"
#include "control/difficulty_head.h"
#include "core/cat.h"
#include "core/printable.h"
#include "grade/grader.h"
#include "kvgauge/error.h"
#include "loader/model_config.h"
#include "loader/model_files.h"
#include "metrics/correlation.h"
#include "metrics/ranking.h"
#include "option_values.h"
#include "question_prompts.h"
#include "report/switch_html.h"
#include "report/switch_report.h"
#include "requests.h"
#include "result_file.h"
#include "switch_runs.h"
#include "two_step_grid.h"

namespace kvgauge::cli {
namespace {

constexpr const char* kExamples = R"(
The questions need right answers (gold, answer or solution). Settings given as lists need --validation: they are chosen there.

Examples:
  kvgauge switch-eval --input test.jsonl --difficulty head.safetensors
  kvgauge switch-eval --input test.jsonl --difficulty head.safetensors --validation val.jsonl --keep 0.97 --sweep
  kvgauge switch-eval --input test.jsonl --difficulty head.safetensors --no-two-step --tau 40 --format json --output r.json
  kvgauge switch-eval --input test.jsonl --difficulty prompt.safetensors --two-step-head close.safetensors --start slow \
      --tau-fast 20,30,40 --interval 4,8 --patience 1,2 --validation val.jsonl --runs runs --format html --output r.html
  kvgauge switch-eval --input test.jsonl --difficulty 2x48.safetensors --heads 1x96.safetensors,6x16.safetensors \
      --validation val.jsonl --no-two-step
)";

constexpr std::int64_t kMany = std::int64_t{1} << 40;
constexpr int kSweepSteps = 40;

struct SwitchEvalOptions {
  ModelOptions model;
  std::string input, validation, output = "-", format = "md", runs;
  std::string dataset = "exact", prompt_set = "native", prompt_template, scores = "none";
  ThinkText tags;
  std::string difficulty, two_step_head, heads;
  std::string tau;
  double keep = 0.97, margin = 0.01;
  TwoStepOptions two_step;
  bool sweep = false, quiet = false, keep_given = false, margin_given = false;
  std::int64_t limit = 0, seed = 0, resamples = 2000, max_tokens = 8192, top_k = 0;
  double temperature = 0, top_p = 1, min_p = 0;
};

/// @throws UsageError
ScoreSpec score_spec(const SwitchEvalOptions& o) {
  ScoreOptions options;
  options.scores = o.scores;
  return score_groups(options, AnswerCount::kOne).spec;
}

/// A head and what it says of the prompts.
struct Head {
  std::string path;
  DifficultyHead head;
  double tau = kUndefined;  ///< of one-step
  ThresholdChoice choice;   ///< if tau was chosen
};

/// The answers to one file's questions.
struct Answers {
  QuestionSet set;
  std::vector<OrderedJson> fast, slow;
  std::map<std::string, std::vector<double>> d;  ///< by the head's id
  std::vector<std::uint8_t> ok;                  ///< by question: nothing of it has failed so far
  std::string first_error;

  void note(const std::vector<OrderedJson>& rows) {
    for (std::size_t i = 0; i < rows.size(); ++i)
      if (const OrderedJson* const error = given(rows[i], "error")) {
        if (first_error.empty() && error->is_string()) first_error = error->get<std::string>();
        ok[i] = 0;
      }
  }
  std::int64_t failed() const { return std::ssize(set.errors) + std::count(ok.begin(), ok.end(), std::uint8_t{0}); }
  std::vector<SwitchQuestion> questions(const std::string& head) const {
    std::vector<SwitchQuestion> out;
    for (std::size_t i = 0; i < ok.size(); ++i)
      if (ok[i]) {
        const double d_of_prompt = d.contains(head) ? d.at(head)[i] : kUndefined;
        out.push_back({.difficulty = d_of_prompt, .fast = outcome_of(fast[i], 0), .slow = outcome_of(slow[i], 0)});
      }
    return out;
  }
  std::vector<RunOutcome> outcomes(const std::vector<OrderedJson>& rows) const {
    std::vector<RunOutcome> out;
    for (std::size_t i = 0; i < ok.size(); ++i)
      if (ok[i]) {
        const bool began_slow = rows[i].value("first", "") == "slow";
        out.push_back(
            outcome_of(rows[i], outcome_of(began_slow ? slow[i] : fast[i], 0).tokens.of(TokenCounter::kSampled)));
      }
    return out;
  }
};

/// A two-step setting with its outcomes on the validation questions.
struct TwoStepRun {
  TwoStepSetting setting;
  Strategy validation;
  bool chosen = false;
};

struct Interrupted {};  // ends the job; what has finished is in --runs

class SwitchEvaluator {
 public:
  SwitchEvaluator(const SwitchEvalOptions& o, std::vector<Head> heads, Engine& engine)
      : o_(o),
        heads_(std::move(heads)),
        engine_(engine),
        prompts_(engine, {.set = o.prompt_set == "paper" ? PromptSet::kPaper : PromptSet::kNative,
                          .prompts = {.think = "template", .prompt_template = o.prompt_template, .no_chat = false},
                          .tags = o.tags}),
        runner_(engine, runner_options()) {
    for (const Head& head : heads_)
      if (head.head.template_set != prompts_.id())
        throw InputError(cat(head.path, ": template set '", printable(head.head.template_set), "' was found, '",
                             prompts_.id(),
                             "' was needed, as --prompt-set, --prompt-template and the think tags make it"));
    for (const Head& head : heads_) engine_.use_difficulty_head(head.head);  // refuses one of another model
  }

  SwitchReport report();

 private:
  SwitchRunner::Options runner_options() const;
  Request base_request(const AskedQuestion& question, const std::vector<std::int32_t>& prompt) const;
  std::vector<OrderedJson> run(const RunPlan& plan, Answers& answers);
  Answers answer(const std::string& path, std::int64_t limit, const std::set<std::string>& leave_out,
                 std::int64_t& left_out);
  void read_difficulties(const Head& head, Answers& answers);
  std::vector<OrderedJson> run_two_step(const Head& head, const TwoStepSetting& setting, Answers& answers);
  void choose_tau(Head& head);
  std::vector<TwoStepRun> try_two_step(const Head& head, double one_step_tau);
  Strategy one_step(const Head& head, const std::vector<SwitchQuestion>& questions) const;
  Strategy length_router(const std::vector<SwitchQuestion>& questions, double slow_answers) const;
  void add_comparisons(SwitchReport& report, const std::vector<SwitchQuestion>& questions, const Strategy& routed_,
                       const Strategy& length, bool is_router) const;
  void add_sweep(SwitchReport& report, const std::vector<SwitchQuestion>& questions, const Strategy& slow) const;
  OrderedJson provenance() const;
  const Head& two_step_head() const { return o_.two_step_head.empty() ? heads_.front() : heads_[1]; }
  BootstrapOptions bootstrap() const {
    return {.resamples = static_cast<int>(o_.resamples), .seed = static_cast<std::uint64_t>(o_.seed)};
  }
  bool choosing() const { return !o_.validation.empty(); }
  double needed() const { return o_.keep + o_.margin; }
  void say(const std::string& text) const {
    if (!o_.quiet) std::fputs(cat("kvgauge: ", text, "\n").c_str(), stderr);
  }

  const SwitchEvalOptions& o_;
  std::vector<Head> heads_;  ///< --difficulty, then --two-step-head if there is one, then --heads
  Engine& engine_;
  QuestionPrompts prompts_;
  SwitchRunner runner_;
  Answers test_, validation_;
  ThresholdChoice length_choice_;
};

SwitchRunner::Options SwitchEvaluator::runner_options() const {
  OrderedJson shared = {{"model", engine_.files().content_hash()},
                        {"engine", engine_.describe().substr(0, engine_.describe().find(';'))},
                        {"prompts", prompts_.id()},
                        {"prompt-template", o_.prompt_template},
                        {"dataset", o_.dataset},
                        {"max-tokens", o_.max_tokens},
                        {"fast-budget", o_.two_step.fast_budget},
                        {"slow-budget", o_.two_step.slow_budget},
                        {"temperature", o_.temperature},
                        {"top-p", o_.top_p},
                        {"top-k", o_.top_k},
                        {"min-p", o_.min_p},
                        {"seed", o_.seed},
                        {"scores", o_.scores}};
  return {.folder = o_.runs,
          .shared = std::move(shared),
          .dataset = parse_dataset(o_.dataset),
          .grading = {},
          .batch = o_.model.max_batch,
          .quiet = o_.quiet,
          .scores = score_spec(o_)};
}

Request SwitchEvaluator::base_request(const AskedQuestion& question, const std::vector<std::int32_t>& prompt) const {
  Request request;
  request.prompt = prompt;
  request.sampling = {.temperature = o_.temperature,
                      .top_p = o_.top_p,
                      .min_p = o_.min_p,
                      .top_k = o_.top_k,
                      .seed = static_cast<std::uint64_t>(o_.seed)};
  request.stop.max_tokens = o_.max_tokens;
  request.scores = score_spec(o_);
  request.stream = static_cast<std::uint64_t>(question.index);
  return request;
}

std::vector<OrderedJson> SwitchEvaluator::run(const RunPlan& plan, Answers& answers) {
  say(cat(plan.name, " on ", answers.set.questions.size(), " questions of ", answers.set.file,
          plan.key.empty() ? "" : cat(": ", settings_text(plan.key))));
  std::vector<OrderedJson> rows = runner_.run(plan, answers.set);
  if (runner_.interrupted()) throw Interrupted{};
  answers.note(rows);
  return rows;
}

Answers SwitchEvaluator::answer(const std::string& path, std::int64_t limit, const std::set<std::string>& leave_out,
                                std::int64_t& left_out) {
  Answers answers;
  answers.set = read_questions(path, limit, o_.prompt_template, o_.prompt_set == "paper", prompts_);
  left_out = std::erase_if(answers.set.questions,
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

void SwitchEvaluator::read_difficulties(const Head& head, Answers& answers) {
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
                                                       Answers& answers) {
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

std::vector<TwoStepRun> SwitchEvaluator::try_two_step(const Head& head, double one_step_tau) {
  std::vector<TwoStepRun> runs;
  const auto tau_for = [&](double keep) {
    const auto questions = validation_.questions(head.head.id);
    return choose_threshold(questions, difficulties(questions), keep).threshold;
  };
  std::string left_out;
  for (const TwoStepSetting& setting : two_step_grid(o_.two_step, one_step_tau, tau_for)) {
    if (const std::string reason = reason_to_refuse(o_.two_step, setting); !reason.empty()) {
      left_out = reason;
      continue;
    }
    runs.push_back({.setting = setting, .validation = {}, .chosen = false});
  }
  if (runs.empty()) throw UsageError(left_out);
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

Strategy SwitchEvaluator::one_step(const Head& head, const std::vector<SwitchQuestion>& questions) const {
  Strategy strategy = routed("one-step", questions, above(difficulties(questions), head.tau), 1);
  strategy.settings = {{"tau", head.tau}, {"head", head.head.id}};
  return strategy;
}

double total(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}

double mean(const std::vector<double>& values) { return total(values) / static_cast<double>(values.size()); }

Strategy SwitchEvaluator::length_router(const std::vector<SwitchQuestion>& questions, double slow_answers) const {
  const auto tokens = lengths(questions);
  if (choosing()) {
    Strategy strategy = routed("length-router", questions, above(tokens, length_choice_.threshold), 0);
    strategy.settings = {{"prompt_tokens", length_choice_.threshold}};
    return strategy;
  }
  Strategy strategy =
      routed("length-router", questions, highest_first(tokens, constant_share(questions.size(), 1), slow_answers), 0);
  strategy.settings = {{"slow_share_of", "one-step"}};
  return strategy;
}

/// The slow share at which random routing costs as much.
double share_of_equal_cost(const std::vector<SwitchQuestion>& questions, const Strategy& strategy) {
  double fast = 0;
  for (const SwitchQuestion& q : questions) fast += q.fast.tokens.of(TokenCounter::kProcessed);
  const double extra = total(extra_tokens(questions));
  const double cost = total(strategy.tokens.of(TokenCounter::kProcessed)) - fast;
  return extra > 0 ? std::clamp(cost / extra, 0.0, 1.0) : 0;
}

void SwitchEvaluator::add_comparisons(SwitchReport& report, const std::vector<SwitchQuestion>& questions,
                                      const Strategy& strategy, const Strategy& length, bool is_router) const {
  const std::size_t n = questions.size();
  const auto add = [&](const Strategy& other, const char* matched) -> PairedDifference& {
    report.comparisons.push_back(compare(strategy, other, matched, bootstrap()));
    return report.comparisons.back();
  };
  if (is_router) {
    PairedDifference& random =
        add(routed("random", questions, constant_share(n, mean(strategy.slow)), 0), "slow share");
    random.accuracy_p = routing_permutation_p(questions, strategy.slow);
    random.accuracy_test = "permutation";
  }
  const double share = share_of_equal_cost(questions, strategy);
  add(routed("random", questions, constant_share(n, share), 0), "processed");
  add(length, choosing() ? "" : "slow share");
  const auto tokens = lengths(questions);
  if (is_router && choosing())
    add(routed("length-router", questions, highest_first(tokens, constant_share(n, 1), total(strategy.slow)), 0),
        "slow share");
  const auto extra = extra_tokens(questions);
  add(routed("length-router", questions, highest_first(tokens, extra, share * total(extra)), 0), "processed");
}

void SwitchEvaluator::add_sweep(SwitchReport& report, const std::vector<SwitchQuestion>& questions,
                                const Strategy& slow) const {
  const auto d = difficulties(questions), tokens = lengths(questions);
  std::vector<double> sorted = d;
  std::erase_if(sorted, [](double value) { return std::isnan(value); });
  std::sort(sorted.begin(), sorted.end());
  std::vector<Strategy> by_tau, by_length;
  double last = kUndefined;
  for (int step = 0; step <= kSweepSteps && !sorted.empty(); ++step) {
    const auto at =
        static_cast<std::size_t>(static_cast<double>(step) / kSweepSteps * static_cast<double>(sorted.size()));
    const double tau = at == 0 ? sorted.front() - 1 : sorted[at - 1];
    if (tau == last) continue;
    last = tau;
    by_tau.push_back(routed("one-step", questions, above(d, tau), 1));
    by_tau.back().settings = {{"tau", tau}};
    by_length.push_back(routed("length-router", questions,
                               highest_first(tokens, constant_share(questions.size(), 1), total(by_tau.back().slow)),
                               0));
    by_length.back().settings = {{"slow_share", mean(by_tau.back().slow)}};
  }
  report.sweep_one_step = measure(by_tau, slow, bootstrap());
  report.sweep_length = measure(by_length, slow, bootstrap());
}

OrderedJson head_facts(const DifficultyHead& head) {
  std::vector<std::string> layers;
  for (const std::int32_t layer : head.window.layers) layers.push_back(std::to_string(layer));
  return {{"window", head.window.positions},
          {"layers", join(layers, ",")},
          {"part", head.window.part == GaugePart::kKV  ? "kv"
                   : head.window.part == GaugePart::kK ? "k"
                                                       : "v"},
          {"positions", head.window.mean_over_positions ? "mean" : "sum"},
          {"heads", head.window.mean_over_heads ? "mean" : "flatten"},
          {"hidden", head.hidden},
          {"training_data", head.training_data.substr(0, 12)}};
}

OrderedJson SwitchEvaluator::provenance() const {
  OrderedJson heads = OrderedJson::object();
  for (const Head& head : heads_) heads[head.head.id] = cat(head.path, ": ", settings_text(head_facts(head.head)));
  return {{"model", {{"name", engine_.config().name}, {"hash", engine_.files().content_hash()}}},
          {"engine", engine_.describe()},
          {"dataset", o_.dataset},
          {"prompts", prompts_.id()},
          {"head_files", heads},
          {"sampling", {{"temperature", o_.temperature}, {"seed", o_.seed}, {"max-tokens", o_.max_tokens}}}};
}

SwitchReport SwitchEvaluator::report() {
  SwitchReport report;
  report.bootstrap = bootstrap();
  std::int64_t left_out = 0;
  test_ = answer(o_.input, o_.limit, {}, left_out);
  for (const Head& head : heads_) read_difficulties(head, test_);
  if (choosing()) {
    std::set<std::string> tested;
    for (const AskedQuestion& question : test_.set.questions) tested.insert(question.key);
    validation_ = answer(o_.validation, 0, tested, left_out);
    for (const Head& head : heads_) read_difficulties(head, validation_);
    report.keep = o_.keep;
    report.margin = o_.margin;
    const auto questions = validation_.questions("");
    length_choice_ = choose_threshold(questions, lengths(questions), needed());
  }
  for (Head& head : heads_) choose_tau(head);

  // Everything that generates comes first: a question that fails anywhere is left out everywhere.
  struct TwoStep {
    std::vector<TwoStepRun> runs;
    std::vector<std::vector<OrderedJson>> rows;  ///< on the test questions; empty: was not run there
  };
  std::map<std::string, TwoStep> two_step;  // by head
  const auto run_head = [&](const Head& head, bool all) {
    TwoStep& of = two_step[head.head.id];
    if (!of.runs.empty()) return;
    of.runs = try_two_step(head, head.tau);
    for (const TwoStepRun& run : of.runs)
      of.rows.push_back(run.chosen || all ? run_two_step(head, run.setting, test_) : std::vector<OrderedJson>());
  };
  if (!o_.two_step.off) {
    run_head(two_step_head(), o_.sweep);
    if (!o_.heads.empty())
      for (const Head& head : heads_) run_head(head, false);
  }

  const auto questions = test_.questions(heads_.front().head.id);
  if (questions.empty())
    throw InputError(cat(test_.set.file, ": every question failed; the first: ", test_.first_error));
  const std::size_t n = questions.size();
  const auto strategy_of = [&](const Head& head, std::size_t i) {
    const TwoStep& of = two_step.at(head.head.id);
    Strategy strategy = as_run("two-step", test_.outcomes(of.rows[i]));
    strategy.settings = setting_json(o_.two_step, of.runs[i].setting, head.head.id, head.head.window.positions);
    return strategy;
  };
  const auto chosen_of = [&](const Head& head) {
    const auto& runs = two_step.at(head.head.id).runs;
    const auto at = std::find_if(runs.begin(), runs.end(), [](const TwoStepRun& run) { return run.chosen; });
    return strategy_of(head, static_cast<std::size_t>(at - runs.begin()));
  };

  std::vector<Strategy> strategies;
  strategies.push_back(routed("always-fast", questions, constant_share(n, 0), 0));
  strategies.push_back(routed("always-slow", questions, constant_share(n, 1), 0));
  const Strategy one = one_step(heads_.front(), questions), slow = strategies[1];
  strategies.push_back(routed("random", questions, constant_share(n, mean(one.slow)), 0));
  strategies.back().settings = {{"slow_share", mean(one.slow)}};
  strategies.push_back(routed("oracle", questions, oracle_share(questions), 0));
  const Strategy length = length_router(questions, total(one.slow));
  strategies.push_back(length);
  strategies.push_back(one);
  if (!o_.two_step.off) strategies.push_back(chosen_of(two_step_head()));

  add_comparisons(report, questions, one, length, true);
  if (!o_.two_step.off) {
    add_comparisons(report, questions, strategies.back(), length, false);
    report.comparisons.push_back(compare(strategies.back(), one, "", bootstrap()));
  }
  report.comparisons.push_back(compare(one, slow, "", bootstrap()));
  if (!o_.two_step.off) report.comparisons.push_back(compare(strategies.back(), slow, "", bootstrap()));
  for (StrategyResult& result : measure(strategies, slow, bootstrap())) {
    ReportedStrategy reported;
    if (result.name == "oracle" || result.name == "one-step" || (result.name == "length-router" && choosing())) {
      const Strategy& router = result.name == "oracle" ? strategies[3] : result.name == "one-step" ? one : length;
      reported.vs_random_p = routing_permutation_p(questions, router.slow);
      reported.vs_random_test = "permutation";
    } else if (result.name == "two-step") {
      for (const PairedDifference& c : report.comparisons)
        if (c.a == "two-step" && c.b == "random") reported.vs_random_p = c.accuracy_p;
      reported.vs_random_test = "bootstrap";
    }
    reported.result = std::move(result);
    report.strategies.push_back(std::move(reported));
  }

  if (choosing()) {
    const auto add_choice = [&](const char* of, OrderedJson settings, const ThresholdChoice& choice) {
      report.choices.push_back({.of = of,
                                .settings = std::move(settings),
                                .accuracy = choice.accuracy,
                                .processed = choice.processed,
                                .slow_share = choice.slow_share,
                                .met = choice.met});
    };
    add_choice("length-router", {{"prompt_tokens", length_choice_.threshold}}, length_choice_);
    for (const Head& head : heads_)
      if (o_.tau.empty()) add_choice("one-step", {{"tau", head.tau}, {"head", head.head.id}}, head.choice);
    const auto asked = validation_.questions("");
    const double least = needed() * mean(routed("", asked, constant_share(asked.size(), 1), 0).correct);
    for (const Head& head : heads_)
      if (two_step.contains(head.head.id))
        for (const TwoStepRun& run : two_step.at(head.head.id).runs)
          report.choices.push_back(
              {.of = "two-step",
               .settings = setting_json(o_.two_step, run.setting, head.head.id, head.head.window.positions),
               .accuracy = mean(run.validation.correct),
               .processed = mean(run.validation.tokens.of(TokenCounter::kProcessed)),
               .slow_share = mean(run.validation.slow),
               .met = mean(run.validation.correct) >= least - 1e-9,
               .chosen = run.chosen});
    report.validation = SwitchQuestions{.path = validation_.set.file,
                                        .sha256 = validation_.set.sha256,
                                        .n = static_cast<std::int64_t>(asked.size()),
                                        .failed = validation_.failed(),
                                        .also_in_input = left_out,
                                        .first_error = validation_.first_error};
  }
  if (o_.sweep) {
    add_sweep(report, questions, slow);
    if (!o_.two_step.off) {
      std::vector<Strategy> all;
      for (std::size_t i = 0; i < two_step.at(two_step_head().head.id).runs.size(); ++i)
        all.push_back(strategy_of(two_step_head(), i));
      report.sweep_two_step = measure(all, slow, bootstrap());
    }
  }
  if (!o_.heads.empty())
    for (const Head& head : heads_) {
      const auto asked = test_.questions(head.head.id);
      std::vector<std::uint8_t> fails;
      for (const SwitchQuestion& q : asked) fails.push_back(q.fast.correct ? 0 : 1);
      std::vector<Strategy> both = {one_step(head, asked)};
      if (!o_.two_step.off) both.push_back(chosen_of(head));
      const auto results = measure(both, slow, bootstrap());
      const auto d = difficulties(asked);
      ReportedHead reported{.path = head.path,
                            .id = head.head.id,
                            .facts = head_facts(head.head),
                            .auroc = ranking_metrics(d, fails).auroc,
                            .length_spearman = spearman(d, lengths(asked)),
                            .one_step = results.front(),
                            .two_step = std::nullopt};
      if (!o_.two_step.off) reported.two_step = results.back();
      report.heads.push_back(std::move(reported));
    }
  report.input = {.path = test_.set.file,
                  .sha256 = test_.set.sha256,
                  .n = static_cast<std::int64_t>(n),
                  .failed = test_.failed(),
                  .also_in_input = 0,
                  .first_error = test_.first_error};
  report.questions = questions;
  report.provenance = provenance();
  return report;
}

void check(const SwitchEvalOptions& o) {
  if (o.input.empty()) throw UsageError("--input: not given, a JSONL file of questions or - for stdin was needed");
  if (o.difficulty.empty()) throw UsageError("--difficulty: not given, a head made by `kvgauge train` was needed");
  for (const auto& [flag, path] : {std::pair("--input", o.input), std::pair("--validation", o.validation)})
    if (!path.empty() && path != "-" && !std::filesystem::exists(path))
      throw InputError(cat(flag, ": ", path, ": no such file"));
  if (o.validation == "-") throw UsageError("--validation: found '-', a file was needed");
  if (o.prompt_set == "paper" && !o.prompt_template.empty())
    throw UsageError("--prompt-template: --prompt-set paper has a wording of its own; drop one of them");
  parse_dataset(o.dataset);
  if (!o.tau.empty()) parse_real("--tau", o.tau, -1e9, 1e9);
  if (o.validation.empty()) {
    if (o.keep_given) throw UsageError("--keep: settings are chosen on --validation, which is not given; add it");
    if (o.margin_given) throw UsageError("--margin: settings are chosen on --validation, which is not given; add it");
  }
  if (o.two_step.off && !o.two_step_head.empty())
    throw UsageError("--two-step-head: --no-two-step runs none; drop one of them");
  if (!o.two_step_head.empty() && !o.heads.empty())
    throw UsageError(
        "--heads: every head is evaluated with both strategies, --two-step-head has one of its own; drop one of them");
  if (o.temperature == 0) {
    const auto refuse = [](bool given, const char* flag) {
      if (given) throw UsageError(cat(flag, ": has no effect at temperature 0 (greedy); give --temperature"));
    };
    refuse(o.top_p != 1, "--top-p");
    refuse(o.top_k != 0, "--top-k");
    refuse(o.min_p != 0, "--min-p");
  }
  if (score_spec(o).coe && !o.two_step.off && o.two_step.start == "difficulty")
    throw UsageError(
        "--scores: hidden-state CoE needs to know where the prompt ends before it is computed, --start difficulty "
        "decides it then; drop coe, or give --start slow or fast");
  check_two_step(o.two_step, !o.validation.empty(), o.tau);
}

std::vector<Head> read_heads(const SwitchEvalOptions& o) {
  std::vector<std::string> paths = {o.difficulty};
  if (!o.two_step_head.empty()) paths.push_back(o.two_step_head);
  if (!o.heads.empty())
    for (const std::string& path : split_list(o.heads)) paths.push_back(path);
  std::vector<Head> heads;
  for (const std::string& path : paths)
    heads.push_back({.path = path, .head = read_difficulty_head(path), .tau = kUndefined, .choice = {}});
  return heads;
}

std::string written(const SwitchReport& report, const std::string& format) {
  if (format == "html") return switch_html(report);
  if (format == "json") return switch_json(report).dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
  return switch_markdown(report);
}

int switch_eval(const SwitchEvalOptions& o) {
  check(o);
  std::vector<Head> heads = read_heads(o);
  const EngineOptions options = engine_options(o.model);
  ResultFile output(o.output);
  Engine engine(options);
  if (!o.quiet) std::fputs(cat("kvgauge: ", engine.config().name, " on ", engine.describe(), "\n").c_str(), stderr);
  SwitchEvaluator evaluator(o, std::move(heads), engine);
  SwitchReport report;
  try {
    report = evaluator.report();
  } catch (const Interrupted&) {
    std::fputs(
        cat("kvgauge: interrupted",
            o.runs.empty() ? "; with --runs a rerun would go on from here" : "; the same command goes on from here",
            "\n")
            .c_str(),
        stderr);
    return kInterrupted;
  }
  output.write(written(report, o.format));
  output.finish();
  const std::int64_t failed = report.input.failed + (report.validation ? report.validation->failed : 0);
  if (failed > 0 && !o.quiet)
    std::fputs(cat("kvgauge: warning: ", failed, " rows failed and are left out; the first: ",
                   report.input.failed > 0 ? report.input.first_error : report.validation->first_error, "\n")
                   .c_str(),
               stderr);
  return failed > 0 ? kRowsFailed : kDone;
}

}  // namespace

Command add_switch_eval(CLI::App& root) {
  CLI::App* const app = root.add_subcommand(
      "switch-eval", "What thinking only where it pays brings: accuracy and tokens beside always-fast and always-slow");
  const auto o = std::make_shared<SwitchEvalOptions>();
  add_text(*app, "--input", o->input, "FILE", "questions with right answers, JSONL, or - for stdin");
  add_text(*app, "--difficulty", o->difficulty, "FILE", "the head, made by `kvgauge train`");
  add_text(*app, "--two-step-head", o->two_step_head, "FILE", "another head for two-step (that of --difficulty)");
  add_text(*app, "--heads", o->heads, "FILE,...", "further heads to compare, each with both strategies");
  add_text(*app, "--validation,--choose-on", o->validation, "FILE", "questions on which settings are chosen");
  o->keep_given = o->margin_given = false;
  CLI::Option* const keep = add_real(*app, "--keep", o->keep, 0, 10,
                                     "share of always-slow's accuracy that a setting must keep on --validation (0.97)");
  CLI::Option* const margin =
      add_real(*app, "--margin", o->margin, 0, 10, "added to --keep, against chance in the choice (0.01)");
  add_text(*app, "--tau", o->tau, "D", "one-step: slow if d is above (chosen on --validation, else 50)");
  add_two_step_options(*app, o->two_step);
  app->add_flag("--sweep", o->sweep, "add the curve over tau, and run every two-step setting on --input");
  add_text(*app, "--dataset", o->dataset, "gsm8k|math|theoremqa|csqa|exact",
           "how answers are read and compared, as in `kvgauge grade` (exact)");
  add_choice(*app, "--prompt-set", o->prompt_set, {"native", "paper"},
             "native: the model's chat template; paper: the paper's wording (native)");
  add_text(*app, "--prompt-template", o->prompt_template, "TEXT",
           "the user's turn, with {field} for fields of the row");
  add_text(*app, "--think-open", o->tags.open, "TEXT", "begins a think block (from the chat template)");
  add_text(*app, "--think-close", o->tags.close, "TEXT", "ends it (from the chat template)");
  add_text(*app, "--fast-prefix", o->tags.fast_prefix, "TEXT", "an empty think block (from the chat template)");
  add_count(*app, "--max-tokens", o->max_tokens, 1, kMany, "longest answer in tokens, all segments together (8192)");
  add_real(*app, "--temperature", o->temperature, 0, 100, "0 is greedy (0)");
  add_real(*app, "--top-p", o->top_p, 0, 1, "keep the likeliest tokens of this total probability (1: all)");
  add_count(*app, "--top-k", o->top_k, 0, INT32_MAX, "keep the K likeliest tokens (0: all)");
  add_real(*app, "--min-p", o->min_p, 0, 1,
           "keep tokens of at least this share of the likeliest one's probability (0)");
  add_text(*app, "--scores", o->scores, "all|none|LIST", "score groups kept in the rows of --runs (none)");
  add_text(*app, "--runs", o->runs, "DIR",
           "keep every answer there; a rerun takes what it finds and generates the rest");
  add_text(*app, "--output", o->output, "FILE", "the report, or - for stdout (the default)");
  add_choice(*app, "--format", o->format, {"md", "json", "html"}, "of the report (md)");
  add_count(*app, "--limit", o->limit, 1, kMany, "only the first N questions of --input");
  add_count(*app, "--resamples", o->resamples, 1, 1000000, "bootstrap resamples behind each interval (2000)");
  add_count(*app, "--seed", o->seed, 0, INT64_MAX, "of sampling and of the bootstrap (0)");
  app->add_flag("--quiet", o->quiet, "no progress, no warnings");
  add_model_options(*app, o->model);
  app->footer(kExamples);
  return {app, [o, keep, margin] {
            o->keep_given = keep->count() > 0;
            o->margin_given = margin->count() > 0;
            return switch_eval(*o);
          }};
}

}  // namespace kvgauge::cli
