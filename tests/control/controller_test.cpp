#include "control/controller.h"

#include <gtest/gtest.h>

#include <random>

#include "core/json.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

constexpr std::int32_t kEnd = 7, kOther = 1;

ThinkingSpec released() {
  ThinkingSpec spec;
  spec.settings = {.interval = 1, .max_switches = 1, .min_tokens = 0, .cooldown = 0, .patience = 1};
  spec.tags = {.open = {5, 6}, .close = {kEnd, 8}, .fast_prefix = {5, 6, kEnd, 8}, .end = {kEnd}};
  return spec;
}

/// A run against signals that are known beforehand.
struct Simulation {
  ThinkingRecord record;
  bool out_of_budget = false;
};
/// @param d [i]: the signal behind sampled token i + 1; the response ends with token `n_eos`, the model itself closes
/// at `close_at`
Simulation simulate(const ThinkingSpec& spec, double d0, const std::vector<double>& d, std::int64_t n_eos,
                    std::int64_t close_at = -1) {
  ThinkingController controller(spec);
  controller.begin(d0);
  Simulation run;
  for (std::int64_t n = 1;; ++n) {
    run.out_of_budget = controller.accept(n == close_at ? kEnd : kOther, n == n_eos);
    if (run.out_of_budget || n == n_eos) break;
    std::optional<double> look;
    if (controller.wants_look()) look = d.at(static_cast<std::size_t>(n - 1));
    controller.forwarded(look);
  }
  run.record = controller.record();
  return run;
}

TEST(Controller, Golden) {
  const Json cases = Json::parse(testing::read_file(testing::repo_path("tests/golden/switch.json")));
  ASSERT_EQ(cases.size(), 19u);
  for (const Json& c : cases) {
    SCOPED_TRACE(c["name"]);
    const Json& args = c["args"];
    const Json& want = c["result"];
    ThinkingSpec spec = released();
    ControllerSettings& s = spec.settings;
    s.interval = args.value("interval", s.interval);
    s.max_switches = args.value("max_switches", s.max_switches);
    s.min_tokens = args.value("min_tokens", s.min_tokens);
    s.cooldown = args.value("cooldown", s.cooldown);
    s.patience = args.value("patience", s.patience);
    s.allow_reopen = args.value("allow_reopen", s.allow_reopen);
    const Simulation run = simulate(spec, args["d0"], args["dseq"].get<std::vector<double>>(), args["n_eos"],
                                    args.value("close_at", std::int64_t{-1}));
    const ThinkingRecord& got = run.record;
    EXPECT_EQ(name(got.first), want["first_mode"]);
    EXPECT_EQ(name(got.last), want["final_mode"]);
    EXPECT_EQ(run.out_of_budget ? "length" : "eos", want["stop"]);
    EXPECT_EQ(got.sampled, want["tokens_sampled"]);
    EXPECT_EQ(got.injected, want["tokens_injected"]);
    EXPECT_EQ(got.processed(), want["tokens_processed"]);
    EXPECT_EQ(got.last_segment, want["tokens_paper"]);
    Json events = Json::array();
    for (const ThinkingSwitch& s : got.switches)
      events.push_back({s.at, name(s.from), name(s.to), s.d == s.d ? Json(s.d) : Json()});
    EXPECT_EQ(events, want["events"]);
  }
}

// What the released code does after the fact: the first window of the whole first response that crosses a threshold.
std::int64_t post_hoc_switch(double d0, const std::vector<double>& d, std::int64_t n_eos) {
  const bool slow = d0 > 50;
  for (std::int64_t n = 1; n < n_eos; ++n) {
    const double at = d[static_cast<std::size_t>(n - 1)];
    if (slow ? at < 30 : at > 70) return n;
  }
  return 0;
}

TEST(Controller, FindsTheSwitchOfTheReleasedSearch) {
  const std::uint64_t seed = testing::test_seed(20326);
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  int switched = 0;
  for (int trace = 0; trace < 2000; ++trace) {
    // Walks around the middle, so that some cross a threshold late and some never; whole numbers make ties real.
    const auto n_eos = static_cast<std::int64_t>(1 + random() % 200);
    double level = static_cast<double>(random() % 101);
    const double d0 = level;
    std::vector<double> d;
    for (std::int64_t n = 0; n < n_eos; ++n) {
      level += static_cast<double>(random() % 11) - 5;
      d.push_back(level);
    }
    const ThinkingRecord got = simulate(released(), d0, d, n_eos).record;
    const std::int64_t want = post_hoc_switch(d0, d, n_eos);
    ASSERT_EQ(got.switches.empty() ? 0 : got.switches[0].at, want) << "trace " << trace;
    switched += want > 0;
  }
  EXPECT_GT(switched, 200);
  EXPECT_LT(switched, 1900);
}

TEST(Controller, RecognisesAnEndTagOfSeveralTokens) {
  ThinkingSpec spec = released();
  spec.start = ThinkingStart::kSlow;
  spec.tags.end = {3, 4, 4};
  ThinkingController controller(spec);
  EXPECT_EQ(controller.begin(kUndefined), spec.tags.open);
  for (const std::int32_t token : {3, 4, 3, 4}) {
    controller.accept(token, false);
    EXPECT_EQ(controller.mode(), ThinkingMode::kSlow);
  }
  controller.accept(4, false);
  EXPECT_EQ(controller.mode(), ThinkingMode::kAnswer);
  EXPECT_FALSE(controller.wants_look());
  ASSERT_EQ(controller.record().switches.size(), 1u);
  EXPECT_EQ(controller.record().switches[0].at, 5);
  EXPECT_EQ(controller.record().switches[0].injected, 0);
  EXPECT_EQ(controller.record().last_segment, 5) << "the model's own close begins no segment";
}

TEST(Controller, ATagDoesNotBeginInTheSegmentBefore) {
  ThinkingSpec spec = released();
  spec.start = ThinkingStart::kSlow;
  spec.tags.end = {3, 4};
  spec.settings.max_switches = 4;
  ThinkingController controller(spec);
  controller.begin(kUndefined);
  controller.accept(3, false);
  ASSERT_EQ(controller.forwarded(0.0), &spec.tags.close);
  controller.accept(9, false);
  ASSERT_EQ(controller.forwarded(100.0), &spec.tags.open);
  controller.accept(4, false);
  EXPECT_EQ(controller.mode(), ThinkingMode::kSlow);
}

TEST(Controller, BudgetsEndExactly) {
  ThinkingSpec spec = released();
  const std::vector<double> hard(100, 60.0), easy(100, 10.0);
  spec.settings.slow_budget = 40;
  spec.settings.fast_budget = 9;
  EXPECT_EQ(simulate(spec, 90, hard, 100).record.sampled, 40);
  EXPECT_TRUE(simulate(spec, 90, hard, 100).out_of_budget);
  EXPECT_FALSE(simulate(spec, 90, hard, 40).out_of_budget) << "ends by itself with the last token of the budget";
  EXPECT_EQ(simulate(spec, 10, easy, 100).record.sampled, 9);
  spec.settings.min_tokens = 5;  // closed behind token 5: the fast segment has a budget of its own
  EXPECT_EQ(simulate(spec, 90, easy, 100).record.sampled, 5 + 9);
  spec.settings.total_budget = 12;
  EXPECT_EQ(simulate(spec, 90, easy, 100).record.sampled, 12);
}

TEST(Controller, AThinkingBudgetClosesTheBlockAndKeepsItClosed) {
  ThinkingSpec spec = released();
  spec.settings.max_switches = 0;
  spec.settings.thinking_budget = 10;
  const ThinkingRecord got = simulate(spec, 90, std::vector<double>(50, 100.0), 50).record;
  ASSERT_EQ(got.switches.size(), 1u);
  EXPECT_EQ(got.switches[0].at, 10);
  EXPECT_EQ(got.switches[0].to, ThinkingMode::kFast);
  EXPECT_NE(got.switches[0].d, got.switches[0].d) << "no signal decided this";
  EXPECT_EQ(got.probes, 1) << "the prompt's";
  spec.settings.max_switches = 4;
  EXPECT_EQ(simulate(spec, 90, std::vector<double>(50, 100.0), 50).record.switches.size(), 1u)
      << "nothing is left to think with";
}

TEST(Controller, ADryRunLooksEverywhereAndSwitchesNothing) {
  ThinkingSpec spec = released();
  spec.dry_run = true;
  spec.settings.interval = 4;
  spec.settings.min_tokens = 6;
  const ThinkingRecord got = simulate(spec, 90, std::vector<double>(30, 0.0), 30, 13).record;
  std::vector<std::int64_t> at;
  for (const ThinkingLook& look : got.looks) at.push_back(look.at);
  EXPECT_EQ(at, (std::vector<std::int64_t>{0, 8, 12, 16, 20, 24, 28}));
  EXPECT_EQ(got.switches.size(), 1u) << "the model's own close";
  EXPECT_EQ(got.last, ThinkingMode::kAnswer);
}

TEST(Controller, SmoothsWithinASegment) {
  ThinkingSpec spec = released();
  spec.settings.ema = 0.5;
  spec.settings.max_switches = 2;
  // 60, then 0.5 * 60 + 0.5 * 10 = 35, then 22.5 < 30: closes behind token 3; the fast segment begins anew with 80
  // > 70.
  const ThinkingRecord got = simulate(spec, 90, {60, 10, 10, 80, 80}, 6).record;
  ASSERT_EQ(got.switches.size(), 2u);
  EXPECT_EQ(got.switches[0].at, 3);
  EXPECT_DOUBLE_EQ(got.switches[0].d, 22.5);
  EXPECT_EQ(got.switches[1].at, 4);
}

TEST(Controller, ASignalThatIsNotThereDecidesNothing) {
  ThinkingSpec spec = released();
  spec.settings.ema = 0.5;
  const ThinkingRecord got = simulate(spec, 90, {kUndefined, kUndefined, 20, 20}, 5).record;
  ASSERT_EQ(got.switches.size(), 1u);
  EXPECT_EQ(got.switches[0].at, 3);
}

}  // namespace
}  // namespace kvgauge
