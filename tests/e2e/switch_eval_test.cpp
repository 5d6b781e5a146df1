// Fast and slow thinking measured: a head made of random numbers, since what is tested is the accounting, not the head.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "control/difficulty_head.h"
#include "core/cat.h"
#include "e2e/program.h"
#include "loader/model_files.h"
#include "reference/lcg.h"

namespace kvgauge::testing {
namespace {

using Arguments = std::vector<std::string>;

class SwitchEval : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return (dir_.path() / name).string(); }

  /// A head whose d lies around 50.
  std::string make_head(const std::string& name, std::uint64_t seed, const std::string& template_set) {
    const ModelFiles files = ModelFiles::open(repo_path("models/tiny-reasoner"));
    DifficultyHead head;
    head.window = {.part = GaugePart::kV, .layers = {2, 3}, .positions = 16, .mean_over_positions = true};
    head.hidden = 4;
    pin_to_model(head, files.config(), files.content_hash());
    head.template_set = template_set;
    head.training_data = std::string(64, '0');
    head.recipe = "{}";
    Lcg lcg(seed);
    const auto draw = [&](std::vector<float>& to, std::int64_t count, float scale) {
      for (std::int64_t i = 0; i < count; ++i) to.push_back(scale * static_cast<float>(lcg.f24()));
    };
    draw(head.w1, head.hidden * head.features(), 1);
    draw(head.b1, head.hidden, 1);
    draw(head.w2, head.hidden, 20);
    head.b2 = {50};
    write_difficulty_head(path(name), head);
    return path(name);
  }

  /// The set that the command wants, out of its refusal of another.
  std::string template_set() {
    const Outcome outcome = switch_eval({"--input", input_, "--difficulty", make_head("other", 1, "paper 0")});
    EXPECT_EQ(outcome.exit, 3) << outcome.err;
    const std::string before = "template set 'paper 0' was found, '";
    const std::size_t at = outcome.err.find(before);
    if (at == std::string::npos) {
      ADD_FAILURE() << outcome.err;
      return "";
    }
    const std::size_t begin = at + before.size();
    return outcome.err.substr(begin, outcome.err.find('\'', begin) - begin);
  }

  static Outcome switch_eval(const Arguments& more) {
    Arguments arguments = {"switch-eval", "--quiet", "--dtype", "f32", "--max-tokens", "60", "--resamples", "50"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return kvgauge(arguments);
  }
  OrderedJson json_of(const Arguments& more) {
    Arguments arguments = {"--format", "json", "--batch-invariant"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = switch_eval(arguments);
    EXPECT_EQ(outcome.exit, 0) << outcome.err;
    return OrderedJson::parse(outcome.out);
  }

  void SetUp() override {
    input_ = path("test.jsonl");
    validation_ = path("val.jsonl");
    write_file(input_, questions(8));
    write_file(validation_, questions(8, 6));  // the first two are in the input as well
  }

  TempDir dir_;
  std::string input_, validation_;
};

const OrderedJson& strategy(const OrderedJson& report, const std::string& name) {
  for (const OrderedJson& s : report["strategies"])
    if (s["name"] == name) return s;
  ADD_FAILURE() << name;
  return report;
}

TEST_F(SwitchEval, EveryStrategyIsAccountedForAndAgreesWithRun) {
  const std::string head = make_head("head.safetensors", 3, template_set());
  const Arguments arguments = {"--input",      input_,       "--difficulty", head, "--tau-fast", "40",
                               "--tau-slow",   "60",         "--tau",        "50", "--interval", "4",
                               "--min-tokens", "0",          "--patience",   "1",  "--cooldown", "0",
                               "--runs",       path("runs"), "--sweep"};
  const OrderedJson report = json_of(arguments);
  ASSERT_EQ(report["strategies"].size(), 7u);
  const char* const names[] = {"always-fast",   "always-slow", "random",  "oracle",
                               "length-router", "one-step",    "two-step"};
  for (std::size_t i = 0; i < 7; ++i) {
    const OrderedJson& s = report["strategies"][i];
    EXPECT_EQ(s["name"], names[i]);
    EXPECT_EQ(s["n"], 8);
    EXPECT_NEAR(s["tokens"]["processed"].get<double>(),
                s["tokens"]["sampled"].get<double>() + s["tokens"]["injected"].get<double>(), 1e-9);
    EXPECT_GE(s["tokens"]["posthoc_true"].get<double>(), s["tokens"]["paper"].get<double>() - 1e-9);
    EXPECT_GE(s["tokens"]["sampled"].get<double>(), s["tokens"]["paper"].get<double>() - 1e-9);
    EXPECT_EQ(s["tokens"]["prompt"], report["strategies"][0]["tokens"]["prompt"]);
    EXPECT_LE(s["accuracy_ci95"][0], s["accuracy"]);
    EXPECT_GE(s["accuracy_ci95"][1], s["accuracy"]);
  }
  EXPECT_EQ(strategy(report, "always-fast")["slow_share"], 0);
  EXPECT_EQ(strategy(report, "always-slow")["reduction"]["processed"], 0);
  EXPECT_EQ(strategy(report, "random")["slow_share"], strategy(report, "one-step")["slow_share"]);
  EXPECT_EQ(strategy(report, "length-router")["slow_share"], strategy(report, "one-step")["slow_share"]);
  EXPECT_GT(strategy(report, "two-step")["probes"], 1);
  EXPECT_GT(strategy(report, "two-step")["switches"], 0);  // the head is random: it switches
  EXPECT_FALSE(report["sweep"]["one-step"].empty());
  EXPECT_EQ(report["sweep"]["two-step"].size(), 1u);
  EXPECT_EQ(report["input"]["questions"], 8);

  // Always-fast and always-slow are what `run` generates.
  for (const auto& [think, name] : {std::pair("off", "always-fast"), std::pair("on", "always-slow")}) {
    const Outcome run = kvgauge({"run", "--input", input_, "--quiet", "--dtype", "f32", "--batch-invariant", "--think",
                                 think, "--max-tokens", "60", "--scores", "none"});
    ASSERT_EQ(run.exit, 0) << run.err;
    double sampled = 0;
    for (const OrderedJson& row : rows_of(run.out)) sampled += row["usage"]["completion_tokens"].get<double>();
    EXPECT_NEAR(strategy(report, name)["tokens"]["sampled"].get<double>(), sampled / 8, 1e-9) << name;
  }

  // A rerun takes everything from --runs, whatever is made of it.
  OrderedJson again = json_of(arguments);
  EXPECT_EQ(again, report);  // wall time and all
  Arguments sharper = arguments;
  sharper[7] = "70";
  sharper.insert(sharper.end(), {"--two-step-tau", "50"});
  const OrderedJson other = json_of(sharper);
  EXPECT_EQ(strategy(other, "always-slow"), strategy(report, "always-slow"));
  EXPECT_EQ(strategy(other, "always-fast")["wall_ms"], strategy(report, "always-fast")["wall_ms"]);
}

/// The rows of the only file of a plan, without its key.
std::vector<OrderedJson> runs_of(const std::filesystem::path& folder, const std::string& plan) {
  std::vector<OrderedJson> rows;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().filename().string().starts_with(plan + "-")) {
      EXPECT_TRUE(rows.empty()) << "two files of " << plan;
      rows = rows_in(entry.path().string());
    }
  EXPECT_FALSE(rows.empty()) << plan;
  if (!rows.empty()) rows.erase(rows.begin());
  std::sort(rows.begin(), rows.end(),
            [](const OrderedJson& a, const OrderedJson& b) { return a["index"] < b["index"]; });
  return rows;
}

TEST_F(SwitchEval, TwoStepIsWhatRunDoesAndItsCountersFollowFromTheRows) {
  const std::string head = make_head("head.safetensors", 3, template_set());
  const OrderedJson report =
      json_of({"--input",        input_, "--difficulty", head,        "--tau-fast", "45", "--tau-slow", "55",
               "--interval",     "4",    "--min-tokens", "0",         "--patience", "1",  "--cooldown", "0",
               "--max-switches", "2",    "--runs",       path("runs")});
  const Outcome run = kvgauge({"run",
                               "--input",
                               input_,
                               "--quiet",
                               "--dtype",
                               "f32",
                               "--batch-invariant",
                               "--think",
                               "auto",
                               "--difficulty",
                               head,
                               "--max-tokens",
                               "60",
                               "--tau-fast",
                               "45",
                               "--tau-slow",
                               "55",
                               "--interval",
                               "4",
                               "--min-tokens",
                               "0",
                               "--patience",
                               "1",
                               "--cooldown",
                               "0",
                               "--max-switches",
                               "2",
                               "--scores",
                               "none"});
  ASSERT_EQ(run.exit, 0) << run.err;
  const auto asked = rows_of(run.out), rows = runs_of(path("runs"), "two-step");
  const auto fast = runs_of(path("runs"), "always-fast"), slow = runs_of(path("runs"), "always-slow");
  ASSERT_EQ(rows.size(), asked.size());
  ASSERT_EQ(rows.size(), 8u);
  double posthoc = 0, paper = 0;
  int switched = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i]["text"], asked[i]["text"]);
    EXPECT_EQ(rows[i]["sampled"], asked[i]["thinking"]["sampled"]);
    EXPECT_EQ(rows[i]["injected"], asked[i]["thinking"]["injected"]);
    EXPECT_EQ(rows[i]["switches"].size(), asked[i]["thinking"]["switches"].size());
    // Up to its first switch the answer is that of the mode it began with.
    const OrderedJson& whole = rows[i]["first"] == "slow" ? slow[i] : fast[i];
    double spent = rows[i]["sampled"].get<double>(), last = spent;
    for (const OrderedJson& s : rows[i]["switches"])
      if (s["injected"] > 0) {
        if (last == spent)
          spent = whole["sampled"].get<double>() + rows[i]["sampled"].get<double>() - s["at"].get<double>();
        last = rows[i]["sampled"].get<double>() - s["at"].get<double>();
      }
    switched += spent != last;
    posthoc += spent;
    paper += last;
  }
  EXPECT_GT(switched, 0);
  EXPECT_NEAR(strategy(report, "two-step")["tokens"]["posthoc_true"].get<double>(), posthoc / 8, 1e-9);
  EXPECT_NEAR(strategy(report, "two-step")["tokens"]["paper"].get<double>(), paper / 8, 1e-9);
}

TEST_F(SwitchEval, BatchSizesAndInterruptionsChangeNothing) {
  const std::string head = make_head("head.safetensors", 3, template_set());
  const auto with = [&](const std::string& runs, const char* batch) {
    OrderedJson report = json_of({"--input", input_, "--difficulty", head, "--tau-fast", "45", "--tau-slow", "55",
                                  "--interval", "4", "--min-tokens", "0", "--max-batch", batch, "--runs", path(runs)});
    for (OrderedJson& s : report["strategies"]) s.erase("wall_ms");
    report.erase("engine");
    return report;
  };
  const OrderedJson whole = with("a", "8");
  EXPECT_EQ(with("b", "1"), whole);
  // As a killed process leaves it: some rows, the last one torn.
  for (const auto& entry : std::filesystem::directory_iterator(path("a"))) {
    const std::string text = read_file(entry.path());
    write_file(entry.path(), text.substr(0, text.size() - text.size() / 3));
  }
  EXPECT_EQ(with("a", "3"), whole);
  EXPECT_EQ(with("a", "3"), whole);
  for (const char* const plan : {"always-fast", "always-slow", "two-step", "difficulty"})
    EXPECT_EQ(runs_of(path("a"), plan).size(), 8u) << plan;
}

TEST_F(SwitchEval, SettingsAreChosenOnTheValidationQuestions) {
  const std::string set = template_set();
  const std::string head = make_head("a.safetensors", 3, set), second = make_head("b.safetensors", 4, set);
  const OrderedJson report =
      json_of({"--input",      input_, "--difficulty",   head,   "--validation", validation_, "--keep",     "0.9",
               "--margin",     "0",    "--two-step-tau", "50",   "--tau-fast",   "20,45",     "--interval", "4,8",
               "--min-tokens", "0",    "--heads",        second, "--tau-slow",   "80"});
  EXPECT_EQ(report["validation"]["questions"], 6);
  EXPECT_EQ(report["validation"]["also_in_input"], 2);
  int chosen = 0, tried = 0;
  double least = 1e9, of_chosen = 0;
  for (const OrderedJson& c : report["choices"]) {
    if (c["of"] != "two-step" || c["settings"]["head"] != strategy(report, "one-step")["settings"]["head"]) continue;
    ++tried;
    chosen += c["chosen"].get<bool>();
    if (c["chosen"]) of_chosen = c["processed"];
    if (c["kept_enough"]) least = std::min(least, c["processed"].get<double>());
  }
  EXPECT_EQ(tried, 4);
  EXPECT_EQ(chosen, 1);
  if (least < 1e9) {
    EXPECT_EQ(of_chosen, least);
  }
  ASSERT_EQ(report["heads"].size(), 2u);
  EXPECT_NE(report["heads"][0]["id"], report["heads"][1]["id"]);
  EXPECT_EQ(report["heads"][0]["one-step"]["accuracy"], strategy(report, "one-step")["accuracy"]);
  EXPECT_TRUE(report["heads"][1]["two-step"].is_object());
}

TEST_F(SwitchEval, AHundredPercentShareIsAlwaysSlowAndTheFormatsSaySo) {
  const std::string head = make_head("head.safetensors", 3, template_set());
  const Arguments arguments = {"--input",  input_,          "--difficulty", head,        "--tau",
                               "-1000000", "--no-two-step", "--runs",       path("runs")};
  const OrderedJson report = json_of(arguments);
  ASSERT_EQ(report["strategies"].size(), 6u);
  OrderedJson one = strategy(report, "one-step"), slow = strategy(report, "always-slow");
  for (OrderedJson* const s : {&one, &slow})
    for (const char* const key : {"name", "settings", "probes", "paired_vs_random_p", "paired_vs_random_test"})
      s->erase(key);
  EXPECT_EQ(one, slow);
  for (const char* const format : {"md", "html"}) {
    Arguments with = arguments;
    with.insert(with.end(), {"--format", format, "--batch-invariant"});
    const Outcome outcome = switch_eval(with);
    EXPECT_EQ(outcome.exit, 0) << outcome.err;
    for (const char* const name : {"always-fast", "oracle", "length-router", "one-step"})
      EXPECT_NE(outcome.out.find(name), std::string::npos) << format << name;
  }
}

TEST_F(SwitchEval, RowsThatCannotBeEvaluatedAreLeftOut) {
  const std::string head = make_head("head.safetensors", 3, template_set());
  write_file(input_, questions(3) + "{\"id\":\"x\",\"question\":\"How many?\"}\nnonsense\n");
  const Outcome outcome = switch_eval({"--input", input_, "--difficulty", head, "--no-two-step", "--format", "json"});
  EXPECT_EQ(outcome.exit, 1) << outcome.err;
  const OrderedJson report = OrderedJson::parse(outcome.out);
  EXPECT_EQ(report["input"]["questions"], 3);
  EXPECT_EQ(report["input"]["failed"], 2);
  write_file(input_, "{\"id\":\"x\",\"question\":\"How many?\"}\n");
  const Outcome none = switch_eval({"--input", input_, "--difficulty", head, "--no-two-step"});
  EXPECT_EQ(none.exit, 3);
  EXPECT_NE(none.err.find("no right answer to grade by"), std::string::npos) << none.err;
}

TEST_F(SwitchEval, WhatCannotBeIsRefusedByName) {
  const std::string head = make_head("head.safetensors", 3, "native 0");
  const auto refuse = [&](const Arguments& more, const std::string& part, int code = 2) {
    Arguments all = {"--input", input_, "--difficulty", head};
    all.insert(all.end(), more.begin(), more.end());
    const Outcome outcome = switch_eval(all);
    EXPECT_EQ(outcome.exit, code) << outcome.err;
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
    EXPECT_EQ(outcome.out, "");
  };
  refuse({"--keep", "0.9"}, "--keep: settings are chosen on --validation");
  refuse({"--margin", "0"}, "--margin: ");
  refuse({"--tau-fast", "10,20"}, "--validation: not given, and the two-step flags make 2 settings");
  refuse({"--tau-fast", "10,x"}, "--tau-fast: ");
  refuse({"--tau-fast", ""}, "--tau-fast: ");
  refuse({"--interval", "0"}, "--interval: ");
  refuse({"--two-step-tau", "keep:0.9"}, "--two-step-tau: 'keep:0.9' is chosen on --validation");
  refuse({"--start", "slow", "--two-step-tau", "40"}, "--two-step-tau: --start slow");
  refuse({"--two-step-tau", "20"}, "--two-step-tau: 20, between --tau-fast 30");
  refuse({"--tau", "80"}, "--two-step-tau: one-step is 80, between");
  refuse({"--tau-fast", "80"}, "--tau-fast: 80, less than --tau-slow 70");
  refuse({"--no-two-step", "--interval", "4"}, "--interval: it belongs to two-step");
  refuse({"--no-two-step", "--two-step-head", head}, "--two-step-head: ");
  refuse({"--two-step-head", head, "--heads", head}, "--heads: ");
  refuse({"--top-p", "0.5"}, "--top-p: has no effect at temperature 0");
  refuse({"--dataset", "none"}, "--dataset: ");
  refuse({"--scores", "x"}, "--scores: ");
  refuse({"--prompt-set", "paper", "--prompt-template", "{question}"}, "--prompt-template: ");
  refuse({"--validation", path("absent")}, "absent: no such file", 3);
  refuse({"--heads", path("absent")}, "absent", 3);
  refuse({"--taufast", "1"}, "did you mean --tau-fast?");
  EXPECT_EQ(kvgauge({"switch-eval", "--input", input_}).exit, 2);
  EXPECT_EQ(kvgauge({"switch-eval", "--difficulty", head}).exit, 2);
  const Outcome help = kvgauge({"switch-eval", "--help"});
  EXPECT_EQ(help.exit, 0);
  EXPECT_NE(help.out.find("Examples:"), std::string::npos);
}

}  // namespace
}  // namespace kvgauge::testing
