#include <algorithm>
#include <cmath>

#include "core/cat.h"
#include "kvgauge/error.h"
#include "loader/model_config.h"
#include "loader/model_files.h"
#include "metrics/correlation.h"
#include "metrics/ranking.h"
#include "switch_evaluator.h"

namespace kvgauge::cli {
namespace {

constexpr int kSweepSteps = 40;
constexpr double kRounding = 1e-9;

double total(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}

double mean(const std::vector<double>& values) { return total(values) / static_cast<double>(values.size()); }

Strategy always_slow(const std::vector<SwitchQuestion>& questions) {
  return routed("always-slow", questions, constant_share(questions.size(), 1), 0);
}

/// The slow share at which random routing costs as much.
double share_of_equal_cost(const std::vector<SwitchQuestion>& questions, const Strategy& strategy) {
  double fast = 0;
  for (const SwitchQuestion& q : questions) fast += q.fast.tokens.of(TokenCounter::kProcessed);
  const double extra = total(extra_tokens(questions));
  const double cost = total(strategy.tokens.of(TokenCounter::kProcessed)) - fast;
  return extra > 0 ? std::clamp(cost / extra, 0.0, 1.0) : 0;
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

}  // namespace

Strategy SwitchEvaluator::one_step(const Head& head, const Questions& questions) const {
  Strategy strategy = routed("one-step", questions, above(difficulties(questions), head.tau), 1);
  strategy.settings = {{"tau", head.tau}, {"head", head.head.id}};
  return strategy;
}

Strategy SwitchEvaluator::length_router(const Questions& questions, double slow_answers) const {
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

void SwitchEvaluator::add_comparisons(SwitchReport& report, const Questions& questions, const Strategy& strategy,
                                      const Strategy& length, bool is_router) const {
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

void SwitchEvaluator::add_sweep(SwitchReport& report, const Questions& questions) const {
  const Strategy slow = always_slow(questions);
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
  if (o_.two_step.off) return;
  std::vector<Strategy> settings;
  for (const TwoStepRun& run : two_step_.at(two_step_head().head.id))
    settings.push_back(two_step(two_step_head(), run));
  report.sweep_two_step = measure(settings, slow, bootstrap());
}

OrderedJson SwitchEvaluator::provenance() const {
  OrderedJson heads = OrderedJson::object();
  for (const Head& head : heads_) heads[head.head.id] = cat(head.path, ": ", settings_text(head_facts(head.head)));
  return {{"model", {{"name", engine_.config().name}, {"hash", engine_.files().content_hash()}}},
          {"engine", engine_.describe()},
          {"dataset", name(o_.questions.graded_as())},
          {"prompts", prompts_.id()},
          {"head_files", heads},
          {"sampling", {{"temperature", o_.sampling.temperature}, {"seed", o_.seed}, {"max-tokens", o_.max_tokens}}}};
}

Strategy SwitchEvaluator::two_step(const Head& head, const TwoStepRun& run) const {
  Strategy strategy = as_run("two-step", test_.outcomes(run.rows));
  strategy.settings = setting_json(o_.two_step, run.setting, head.head.id, head.head.window.positions);
  return strategy;
}

const TwoStepRun* SwitchEvaluator::chosen_run(const Head& head) const {
  const auto runs = two_step_.find(head.head.id);
  if (runs == two_step_.end()) return nullptr;
  const auto run = std::find_if(runs->second.begin(), runs->second.end(), [](const TwoStepRun& r) { return r.chosen; });
  return run == runs->second.end() ? nullptr : &*run;
}

void SwitchEvaluator::add_strategies(SwitchReport& report, const Questions& questions) const {
  const std::size_t n = questions.size();
  const Strategy slow = always_slow(questions), one = one_step(heads_.front(), questions);
  const Strategy length = length_router(questions, total(one.slow));
  Strategy random = routed("random", questions, constant_share(n, mean(one.slow)), 0);
  random.settings = {{"slow_share", mean(one.slow)}};
  std::vector<Strategy> strategies = {routed("always-fast", questions, constant_share(n, 0), 0), slow,   random,
                                      routed("oracle", questions, oracle_share(questions), 0),   length, one};
  add_comparisons(report, questions, one, length, true);
  report.comparisons.push_back(compare(one, slow, "", bootstrap()));
  if (const TwoStepRun* const run = chosen_run(two_step_head())) {
    strategies.push_back(two_step(two_step_head(), *run));
    add_comparisons(report, questions, strategies.back(), length, false);
    report.comparisons.push_back(compare(strategies.back(), one, "", bootstrap()));
    report.comparisons.push_back(compare(strategies.back(), slow, "", bootstrap()));
  }
  const auto results = measure(strategies, slow, bootstrap());
  for (std::size_t i = 0; i < results.size(); ++i) {
    ReportedStrategy reported;
    reported.result = results[i];
    const std::vector<double>& share = strategies[i].slow;
    const bool routes = std::all_of(share.begin(), share.end(), [](double s) { return s == 0 || s == 1; });
    const bool is_router =
        results[i].name == "oracle" || results[i].name == "length-router" || results[i].name == "one-step";
    if (is_router && routes) {
      reported.vs_random_p = routing_permutation_p(questions, share);
      reported.vs_random_test = "permutation";
    } else if (results[i].name == "two-step") {
      for (const PairedDifference& c : report.comparisons)
        if (c.a == "two-step" && c.b == "random") reported.vs_random_p = c.accuracy_p;
      reported.vs_random_test = "bootstrap";
    }
    report.strategies.push_back(std::move(reported));
  }
}

void SwitchEvaluator::add_choices(SwitchReport& report) const {
  const auto add = [&](const char* of, OrderedJson settings, const ThresholdChoice& choice) {
    report.choices.push_back({.of = of,
                              .settings = std::move(settings),
                              .accuracy = choice.accuracy,
                              .processed = choice.processed,
                              .slow_share = choice.slow_share,
                              .met = choice.met});
  };
  add("length-router", {{"prompt_tokens", length_choice_.threshold}}, length_choice_);
  for (const Head& head : heads_)
    if (o_.tau.empty()) add("one-step", {{"tau", head.tau}, {"head", head.head.id}}, head.choice);
  for (const Head& head : heads_)
    if (two_step_.contains(head.head.id))
      for (const TwoStepRun& run : two_step_.at(head.head.id)) {
        const double accuracy = mean(run.validation.correct);
        report.choices.push_back(
            {.of = "two-step",
             .settings = setting_json(o_.two_step, run.setting, head.head.id, head.head.window.positions),
             .accuracy = accuracy,
             .processed = mean(run.validation.tokens.of(TokenCounter::kProcessed)),
             .slow_share = mean(run.validation.slow),
             .met = accuracy >= length_choice_.needed - kRounding,
             .chosen = run.chosen});
      }
  report.keep = o_.keep;
  report.margin = o_.margin;
  report.validation = SwitchQuestions{.path = validation_.set.file,
                                      .sha256 = validation_.set.sha256,
                                      .n = std::ssize(validation_.questions("")),
                                      .failed = validation_.failed(),
                                      .also_in_input = left_out_,
                                      .first_error = validation_.first_error};
}

void SwitchEvaluator::add_heads(SwitchReport& report) const {
  for (const Head& head : heads_) {
    const auto questions = test_.questions(head.head.id);
    const auto d = difficulties(questions);
    std::vector<std::uint8_t> fails;
    for (const SwitchQuestion& q : questions) fails.push_back(q.fast.correct ? 0 : 1);
    std::vector<Strategy> both = {one_step(head, questions)};
    const TwoStepRun* const run = chosen_run(head);
    if (run) both.push_back(two_step(head, *run));
    const auto results = measure(both, always_slow(questions), bootstrap());
    report.heads.push_back({.path = head.path,
                            .id = head.head.id,
                            .facts = head_facts(head.head),
                            .auroc = ranking_metrics(d, fails).auroc,
                            .length_spearman = spearman(d, lengths(questions)),
                            .one_step = results.front(),
                            .two_step = run ? std::optional(results.back()) : std::nullopt});
  }
}

SwitchReport SwitchEvaluator::report() {
  answer_everything();
  const auto questions = test_.questions(heads_.front().head.id);
  if (questions.empty())
    throw InputError(cat(test_.set.file, ": every question failed; the first: ", test_.first_error));
  SwitchReport report;
  report.bootstrap = bootstrap();
  add_strategies(report, questions);
  if (choosing()) add_choices(report);
  if (o_.sweep) add_sweep(report, questions);
  if (!o_.heads.empty()) add_heads(report);
  report.input = {.path = test_.set.file,
                  .sha256 = test_.set.sha256,
                  .n = std::ssize(questions),
                  .failed = test_.failed(),
                  .also_in_input = 0,
                  .first_error = test_.first_error};
  report.questions = questions;
  report.provenance = provenance();
  return report;
}

}  // namespace kvgauge::cli
