#include "report/switch_report.h"

#include <gtest/gtest.h>

#include "reference/lcg.h"
#include "report/switch_html.h"
#include "report/well_formed_html.h"

namespace kvgauge {
namespace {

using testing::Lcg;

SwitchReport example(const std::string& name) {
  Lcg lcg(7);
  std::vector<SwitchQuestion> questions;
  for (int i = 0; i < 40; ++i) {
    SwitchQuestion q;
    q.difficulty = i == 0 ? kUndefined : 50 + 40 * lcg.f24();
    const auto run = [&](bool slow, double sampled) {
      RunOutcome run;
      run.correct = lcg.f24() > (slow ? -0.9 : q.difficulty / 50 - 1);
      run.slow = slow;
      run.tokens = {{sampled, slow ? 2.0 : 4.0, sampled + (slow ? 2 : 4), 30 + q.difficulty, sampled, sampled}};
      return run;
    };
    q.fast = run(false, 12);
    q.slow = run(true, 100 + 50 * lcg.f24());
    questions.push_back(q);
  }
  const std::size_t n = questions.size();
  std::vector<Strategy> strategies = {routed("always-fast", questions, constant_share(n, 0), 0),
                                      routed("always-slow", questions, constant_share(n, 1), 0),
                                      routed("one-step", questions, above(difficulties(questions), 50), 1)};
  strategies.back().settings = {{"tau", 50.0}, {"head", name}};
  SwitchReport report;
  report.bootstrap.resamples = 20;
  for (StrategyResult& result : measure(strategies, strategies[1], report.bootstrap)) {
    ReportedStrategy reported;
    reported.result = std::move(result);
    report.strategies.push_back(std::move(reported));
  }
  report.strategies.back().vs_random_p = 0.00001;
  report.strategies.back().vs_random_test = "permutation";
  report.comparisons.push_back(compare(strategies[2], strategies[1], "processed", report.bootstrap));
  report.sweep_one_step = report.sweep_length = report.sweep_two_step =
      measure(strategies, strategies[1], report.bootstrap);
  report.heads.push_back({.path = name,
                          .id = "0123",
                          .facts = {{"window", 16}},
                          .auroc = 0.9,
                          .length_spearman = kUndefined,
                          .one_step = report.strategies[2].result,
                          .two_step = std::nullopt});
  report.choices.push_back({.of = "one-step", .settings = {{"tau", 50.0}}, .accuracy = 0.5, .processed = 40});
  report.keep = 0.97;
  report.margin = 0.01;
  report.input = {.path = name, .sha256 = "", .n = 40, .failed = 1, .also_in_input = 0, .first_error = name};
  report.validation = report.input;
  report.questions = questions;
  report.provenance = {{"dataset", name}};
  return report;
}

TEST(SwitchReport, HasTheFieldsOfTheContract) {
  const OrderedJson json = switch_json(example("test.jsonl"));
  ASSERT_EQ(json["strategies"].size(), 3u);
  for (const OrderedJson& s : json["strategies"]) {
    for (const char* const key : {"name", "settings", "n", "accuracy", "accuracy_ci95", "slow_share", "tokens",
                                  "paired_vs_random_p", "reduction", "reduction_ci95", "kept", "probes", "wall_ms"})
      EXPECT_TRUE(s.contains(key)) << key;
    for (const char* const counter : {"sampled", "injected", "processed", "prompt", "paper", "posthoc_true"}) {
      EXPECT_TRUE(s["tokens"].contains(counter)) << counter;
      EXPECT_TRUE(s["reduction_ci95"][counter].is_array()) << counter;
    }
  }
  EXPECT_EQ(json["strategies"][2]["settings"]["tau"], 50.0);
  EXPECT_EQ(json["strategies"][2]["paired_vs_random_p"], 0.00001);
  EXPECT_TRUE(json["strategies"][0]["paired_vs_random_p"].is_null());
  EXPECT_TRUE(json["strategies"][0]["tokens"]["prompt"].is_null());  // one question's is undefined here
  EXPECT_TRUE(json["heads"][0]["length_spearman"].is_null());
  EXPECT_EQ(json["sweep"]["one-step"].size(), 3u);
  EXPECT_EQ(json["input"]["questions"], 40);
}

TEST(SwitchReport, PagesAreWellFormedWhateverNamesSay) {
  for (const std::string name : {"test.jsonl", "<script>&\"'|\xff\n", ""}) {
    const SwitchReport report = example(name);
    const std::string html = switch_html(report);
    EXPECT_EQ(testing::WellFormed(html).fault(), "") << name;
    EXPECT_EQ(html.find("<script"), std::string::npos);
    const std::string markdown = switch_markdown(report);
    EXPECT_EQ(markdown.find("<script"),
              markdown.find("\\<script") == std::string::npos ? std::string::npos : markdown.find("\\<script") + 1);
  }
  SwitchReport bare;  // nothing but one question
  bare.questions.resize(1);
  EXPECT_EQ(testing::WellFormed(switch_html(bare)).fault(), "");
  EXPECT_FALSE(switch_markdown(bare).empty());
}

}  // namespace
}  // namespace kvgauge
