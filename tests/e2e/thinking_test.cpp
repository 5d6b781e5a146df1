// `run` with think tags: what rows say of it, what is refused before a model is loaded, and what a head decides.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <random>
#include <thread>

#include "e2e/heads.h"
#include "e2e/program.h"

namespace kvgauge::testing {
namespace {

using Words = std::vector<std::string>;

Words operator+(Words left, const Words& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

// Switches often: d of a random head goes up and down around 50.
const Words kNervous = {"--tau-fast", "49", "--tau-slow", "51", "--interval",     "4",   "--min-tokens",   "0",
                        "--patience", "1",  "--cooldown", "5",  "--total-budget", "160", "--max-switches", "3"};
const Words kExact = {"--batch-invariant", "--dtype", "f32", "--threads", "2", "--quiet"};

struct Thinking : ::testing::Test {
  TempDir dir;
  std::string path(const std::string& name) const { return (dir.path() / name).string(); }
  Words automatic(const std::string& head) const {
    return Words{"run", "--input", "-", "--think", "auto", "--difficulty", head} + kExact;
  }
};

TEST_F(Thinking, RowsSayWhatWasDecidedAndCountEveryToken) {
  const std::string head = write_head(path("head.safetensors"), 50, 7);
  const Outcome outcome = kvgauge(automatic(head) + kNervous + Words{"--output-ids"}, questions(10));
  ASSERT_EQ(outcome.exit, 0) << outcome.err;
  const auto rows = rows_of(outcome.out);
  ASSERT_EQ(rows.size(), 10u);
  std::size_t switches = 0;
  for (const OrderedJson& row : rows) {
    SCOPED_TRACE(row.dump());
    const OrderedJson& thinking = row["thinking"];
    const double d = row["difficulty"]["prompt"];
    EXPECT_EQ(row["difficulty"]["head"].get<std::string>().size(), 12u);
    EXPECT_EQ(thinking["mode"], d > 50 ? "slow" : "fast");
    const std::int64_t sampled = thinking["sampled"], injected = thinking["injected"], prefix = thinking["prefix"];
    EXPECT_EQ(thinking["processed"], sampled + injected);
    EXPECT_EQ(prefix, d > 50 ? 2 : 4) << "'<think>\\n' and '<think>\\n\\n</think>\\n\\n' of this model";
    std::int64_t put_in = prefix, last = 0;
    std::string mode = thinking["mode"];
    for (const OrderedJson& one : thinking["switches"]) {
      EXPECT_NE(one["to"], mode);
      mode = one["to"];
      put_in += one["injected"].get<std::int64_t>();
      if (one["injected"] > 0) last = one["at"];
      EXPECT_EQ(one["d"].is_null(), mode == "answer");
      ++switches;
    }
    EXPECT_EQ(thinking["final_mode"], mode);
    EXPECT_EQ(put_in, injected);
    EXPECT_EQ(thinking["paper"], sampled - last) << "of the last segment";
    EXPECT_LE(sampled, 160);
    EXPECT_EQ(row["output_ids"].size(), static_cast<std::size_t>(sampled + injected - prefix));
    EXPECT_EQ(row["usage"]["completion_tokens"], sampled + injected - prefix);
    EXPECT_GE(row["usage"]["prompt_tokens"], row["usage"]["cached_tokens"]);
    EXPECT_EQ(row["scores"]["prob"]["tokens"], sampled) << "probabilities are of what was sampled";
    EXPECT_GE(thinking["probes"], 1);
  }
  EXPECT_GE(switches, 5u) << "the head was to make them switch";

  // The same tokens, scored afterwards: the same bits.
  const Outcome scored = kvgauge(Words{"score", "--input", "-", "--output-ids"} + kExact, outcome.out);
  ASSERT_EQ(scored.exit, 0) << scored.err;
  const auto again = rows_of(scored.out);
  ASSERT_EQ(again.size(), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(again[i]["scores"], rows[i]["scores"]) << i;
}

TEST_F(Thinking, OneStepIsTheModeOfTheTemplate) {
  const std::string rows = questions(4);
  for (const bool slow : {false, true}) {
    const std::string head = write_head(path(slow ? "slow" : "fast"), slow ? 80 : 20);
    const auto got = rows_of(kvgauge(automatic(head) + Words{"--max-switches", "0"}, rows).out);
    const auto want = rows_of(kvgauge(Words{"run", "--input", "-", "--think", slow ? "on" : "off"} + kExact, rows).out);
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(got[i]["text"], want[i]["text"]);
      EXPECT_EQ(got[i]["scores"], want[i]["scores"]);
    }
  }
}

TEST_F(Thinking, AThinkBudgetClosesTheBlock) {
  const Outcome outcome =
      kvgauge(Words{"run", "--input", "-", "--think", "on", "--think-budget", "9"} + kExact, questions(3));
  ASSERT_EQ(outcome.exit, 0) << outcome.err;
  for (const OrderedJson& row : rows_of(outcome.out)) {
    ASSERT_EQ(row["thinking"]["switches"].size(), 1u) << row.dump();
    EXPECT_EQ(row["thinking"]["switches"][0]["at"], 9);
    EXPECT_EQ(row["thinking"]["probes"], 0);
    EXPECT_FALSE(row.contains("difficulty"));
    EXPECT_NE(row["text"].get<std::string>().find("</think>"), std::string::npos);
  }
}

TEST_F(Thinking, TagsCanBeGiven) {
  const Words words = Words{"run", "--input", "-", "--output-ids", "--max-tokens", "3"} + kExact;
  const auto ids = [&](const Words& more) {
    const auto rows = rows_of(kvgauge(words + more, questions(1)).out);
    return rows.at(0)["prompt_ids"].get<std::vector<int>>();
  };
  const auto plain = ids({"--think", "on"}), doubled = ids({"--think", "on", "--think-open", "<think>\n\n"}),
             bare = ids({});
  EXPECT_TRUE(std::equal(bare.begin(), bare.end(), plain.begin()));
  EXPECT_NE(plain, doubled);
}

TEST_F(Thinking, ADryRunRecordsAndChangesNothing) {
  const std::string head = write_head(path("head"), 50, 7), rows = questions(3);
  const Words plain = Words{"run", "--input", "-", "--think", "on"} + kExact;
  const auto want = rows_of(kvgauge(plain, rows).out);
  const Outcome outcome =
      kvgauge(plain + Words{"--difficulty", head, "--dry-run", "--interval", "8", "--min-tokens", "0"}, rows);
  ASSERT_EQ(outcome.exit, 0) << outcome.err;
  const auto got = rows_of(outcome.out);
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i]["text"], want[i]["text"]);
    EXPECT_EQ(got[i]["scores"], want[i]["scores"]);
    std::int64_t at = 0;
    for (const OrderedJson& look : got[i]["thinking"]["looks"]) {
      at += 8;
      EXPECT_EQ(look["at"], at);
      EXPECT_TRUE(look["d"].is_number());
    }
    EXPECT_GT(at, 0);
  }
}

TEST_F(Thinking, WhatCannotBeIsRefusedBeforeAnythingIsLoaded) {
  const std::string head = write_head(path("head"), 50);
  const auto refused = [&](const Words& words, int exit, const std::vector<std::string>& said) {
    // A model that is not there would be told about first if it were opened first.
    const Outcome outcome = kvgauge(Words{"run", "--input", "-", "--model", repo_path("tests/golden")} + words, "{}\n");
    EXPECT_EQ(outcome.exit, exit) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    for (const std::string& word : said) EXPECT_NE(outcome.err.find(word), std::string::npos) << outcome.err;
  };
  refused({"--think", "auto"}, 2, {"--think", "--difficulty"});
  refused({"--tau", "40"}, 2, {"--tau", "--think auto"});
  refused({"--think", "on", "--max-switches", "1"}, 2, {"--max-switches", "--think auto"});
  refused({"--think", "auto", "--difficulty", head, "--dry-run"}, 2, {"--dry-run", "--think"});
  refused({"--dry-run"}, 2, {"--dry-run", "--difficulty"});
  refused({"--think", "off", "--think-budget", "5"}, 2, {"--think-budget", "--think on"});
  refused({"--think", "auto", "--difficulty", head, "--tau", "20"}, 2, {"--tau", "--tau-fast"});
  refused({"--think", "auto", "--difficulty", head, "--tau-fast", "90"}, 2, {"--tau-fast", "--tau-slow"});
  refused({"--think", "auto", "--difficulty", head, "--interval", "0"}, 2, {"--interval"});
  refused({"--think", "auto", "--difficulty", head, "--scores", "coe"}, 2, {"--scores", "coe"});
  refused({"--think", "auto", "--difficulty", head, "--signal", "kv-coe", "--scores", "prob"}, 2, {"--signal"});
  refused({"--think", "maybe"}, 2, {"--think", "maybe"});
  refused({"--think", "auto", "--difficulty", head, "--no-chat"}, 2, {"--think", "--no-chat"});
  refused({"--difficulty", path("nowhere")}, 3, {"nowhere"});
  std::string bytes = read_file(head);
  bytes.resize(bytes.size() - 3);
  write_file(path("cut"), bytes);
  refused({"--difficulty", path("cut")}, 3, {"cut"});
  write_file(path("text"), "no head");
  refused({"--difficulty", path("text")}, 3, {"text"});
}

TEST_F(Thinking, AHeadOfAnotherModelIsRefusedByName) {
  const std::string model = copy_without_think_tags(dir.path() / "model");
  const std::string head = write_head(path("head"), 50, 0, model);
  const Outcome outcome = kvgauge(automatic(head), questions(1));
  EXPECT_EQ(outcome.exit, 3);
  EXPECT_NE(outcome.err.find("model"), std::string::npos) << outcome.err;
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
}

TEST_F(Thinking, AModelWithoutThinkTagsIsRefusedButHasDifficulties) {
  const std::string model = copy_without_think_tags(dir.path() / "model");
  const std::string head = write_head(path("head"), 80, 0, model);
  const Outcome refused = kvgauge(automatic(head) + Words{"--model", model}, questions(2));
  EXPECT_EQ(refused.exit, 2);
  EXPECT_NE(refused.err.find("the model has no think tags"), std::string::npos) << refused.err;
  const Outcome scored = kvgauge(
      Words{"run", "--input", "-", "--model", model, "--difficulty", head, "--max-tokens", "5"} + kExact, questions(2));
  ASSERT_EQ(scored.exit, 0) << scored.err;
  for (const OrderedJson& row : rows_of(scored.out)) {
    EXPECT_EQ(row["difficulty"]["prompt"], 80.0);
    EXPECT_FALSE(row.contains("thinking"));
  }
}

TEST_F(Thinking, GoesOnAfterAKillAndRefusesAnotherHead) {
  const std::string head = write_head(path("head"), 50, 7), in = path("in.jsonl"), out = path("out.jsonl"),
                    whole = path("whole.jsonl");
  write_file(in, questions(12));
  const auto job = [&](const std::string& to, const std::string& with) {
    return Words{"run", "--input", in, "--output", to, "--think", "auto", "--difficulty", with, "--max-batch", "3"} +
           kExact + kNervous;
  };
  ASSERT_EQ(kvgauge(job(whole, head)).exit, 0);
  std::mt19937_64 random(test_seed(20260128));
  for (int kills = 0; kills < 4; ++kills) {
    Program program(job(out, head) + Words{"--resume"});
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 500));
    program.signal(SIGKILL);
    program.wait();
  }
  const Outcome last = kvgauge(job(out, head) + Words{"--resume"});
  ASSERT_EQ(last.exit, 0) << last.err;
  const auto got = rows_in(out), want = rows_in(whole);
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    OrderedJson a = without_timing(got[i]), b = without_timing(want[i]);
    a["usage"].erase("cached_tokens");  // of what ran before
    b["usage"].erase("cached_tokens");
    EXPECT_EQ(a, b);
  }
  const Outcome other = kvgauge(job(out, write_head(path("other"), 50, 8)) + Words{"--resume"});
  EXPECT_EQ(other.exit, 2);
  EXPECT_NE(other.err.find("--difficulty"), std::string::npos) << other.err;
  // The same head under another name is the same head.
  std::filesystem::copy_file(head, path("copy"));
  const Outcome moved = kvgauge(job(out, path("copy")) + Words{"--resume"});
  EXPECT_EQ(moved.exit, 0) << moved.err;
}

}  // namespace
}  // namespace kvgauge::testing
