// Several answers of a question: which one a row shows, what is said of them together, and that they are scored the
// same afterwards.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/cat.h"
#include "e2e/program.h"

namespace kvgauge::testing {
namespace {

using Arguments = std::vector<std::string>;

Arguments job(const Arguments& more) {
  Arguments arguments = {
      "run", "--input",       "-",   "--quiet",           "--think", "off", "--max-tokens", "40", "--dtype",
      "f32", "--temperature", "1.5", "--batch-invariant", "--n",     "4"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

std::vector<OrderedJson> rows_with(const Arguments& more, const std::string& input) {
  const Outcome outcome = kvgauge(job(more), input);
  EXPECT_EQ(outcome.exit, 0) << outcome.err;
  return rows_of(outcome.out);
}

TEST(BestOf, TheRowShowsTheBestAnswerByAScore) {
  const std::string input = questions(4);
  bool another_than_the_first = false;
  for (const OrderedJson& row : rows_with({"--select", "prob.nll", "--scores", "all"}, input)) {
    ASSERT_EQ(row["candidates"].size(), 4u);
    const auto nll = [&](std::size_t i) { return row["candidates"][i]["scores"]["prob"]["nll"].get<double>(); };
    const auto selected = row["selected"].get<std::size_t>();
    for (std::size_t i = 0; i < 4; ++i) EXPECT_LE(nll(selected), nll(i));
    EXPECT_EQ(row["select"], "prob.nll");
    EXPECT_EQ(row["text"], row["candidates"][selected]["text"]);
    EXPECT_EQ(row["scores"], row["candidates"][selected]["scores"]);
    for (const char* const group : {"kv_coe", "prob", "coe"}) EXPECT_TRUE(row["scores"].contains(group)) << group;
    EXPECT_TRUE(row["scores"]["coe"]["official"]["r"].is_number());
    for (const char* const score :
         {"eigenscore", "eigenscore_kv", "semantic_entropy", "semantic_entropy_counts", "majority"})
      EXPECT_TRUE(row["group_scores"][score].is_number()) << score << row["group_scores"];
    another_than_the_first = another_than_the_first || selected != 0;
  }
  EXPECT_TRUE(another_than_the_first);
  // The answers do not depend on what is made of them.
  const auto plain = rows_with({}, input);
  const auto majority = rows_with({"--select", "majority", "--dataset", "gsm8k"}, input);
  for (std::size_t i = 0; i < plain.size(); ++i) {
    EXPECT_EQ(plain[i]["selected"], 0);
    EXPECT_FALSE(plain[i].contains("select") || plain[i].contains("group_scores"));
    EXPECT_EQ(plain[i]["candidates"], majority[i]["candidates"]);
  }
}

TEST(BestOf, BatchSizesAndRepetitionsGiveTheSameBits) {
  const std::string input = questions(5);
  const Arguments all = {"--scores", "all", "--output-ids", "--select", "coe.fixed.c",
                         "--part",   "kv",  "--k-rope",     "pre"};
  const auto with = [&](const char* batch) {
    Arguments arguments = all;
    arguments.insert(arguments.end(), {"--max-batch", batch});
    std::vector<OrderedJson> rows;
    for (OrderedJson& row : rows_with(arguments, input)) {
      rows.push_back(without_timing(std::move(row)));
      rows.back()["usage"].erase("cached_tokens");  // prompts that run together cannot share what is not there yet
    }
    return rows;
  };
  const auto first = with("32");
  EXPECT_EQ(first, with("32"));
  EXPECT_EQ(first, with("3"));
  EXPECT_EQ(first, with("1"));
}

TEST(BestOf, ScoreJudgesEveryAnswerOfPlainAndOfBatchRows) {
  const TempDir dir;
  std::string input = questions(2);
  input +=
      R"({"custom_id":"b","method":"POST","url":"/v1/chat/completions","body":{"messages":[{"role":"user","content":"Tom has 3 pens. He buys 4. How many pens has he?"}]}})"
      "\n";
  const Arguments groups = {"--scores", "kv-coe,prob,coe,eigenscore", "--layers", "last2", "--coe-final-norm", "off"};
  Arguments more = groups;
  more.insert(more.end(), {"--output-ids", "--select", "kv_coe.normalized.c"});
  const Outcome run = kvgauge(job(more), input);
  ASSERT_EQ(run.exit, 0) << run.err;
  Arguments score = {"score", "--input", "-", "--quiet", "--dtype", "f32", "--batch-invariant", "--max-batch", "5"};
  score.insert(score.end(), groups.begin(), groups.end());
  const Outcome scored = kvgauge(score, run.out);
  ASSERT_EQ(scored.exit, 0) << scored.err;
  const auto answers = rows_of(run.out), rows = rows_of(scored.out);
  ASSERT_EQ(rows.size(), 3u);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const OrderedJson& answer = i < 2 ? answers[i] : answers[i]["response"]["body"]["kvgauge"];
    EXPECT_EQ(rows[i]["id"], answer["id"]);
    EXPECT_EQ(rows[i]["selected"], answer["selected"]);
    EXPECT_EQ(rows[i]["scores"], answer["scores"]);
    EXPECT_EQ(rows[i]["group_scores"], answer["group_scores"]);
    EXPECT_EQ(answer["scores"]["kv_coe"]["layers"].size(), 2u);
    EXPECT_EQ(answer["scores"]["coe"]["final_norm"], false);
    ASSERT_EQ(rows[i]["candidates"].size(), 4u);
    for (std::size_t k = 0; k < 4; ++k) {
      EXPECT_EQ(rows[i]["candidates"][k]["scores"], answer["candidates"][k]["scores"]) << i << " " << k;
      EXPECT_EQ(rows[i]["candidates"][k]["finish_reason"], answer["candidates"][k]["finish_reason"]);
    }
  }
}

TEST(BestOf, ResumeKeepsWhatIsThere) {
  const TempDir dir;
  const std::string in = (dir.path() / "q.jsonl").string(), out = (dir.path() / "a.jsonl").string();
  write_file(in, questions(5));
  Arguments arguments = job({"--select", "majority", "--dataset", "gsm8k", "--scores", "all"});
  arguments[2] = in;
  arguments.insert(arguments.end(), {"--output", out});
  const auto with = [&](const Arguments& more) {
    Arguments all = arguments;
    all.insert(all.end(), more.begin(), more.end());
    return kvgauge(all);
  };
  ASSERT_EQ(with({"--limit", "2"}).exit, 0);
  ASSERT_EQ(with({"--resume"}).exit, 0);
  const auto rows = rows_in(out);
  ASSERT_EQ(rows.size(), 5u);
  arguments.back() = (dir.path() / "b.jsonl").string();
  ASSERT_EQ(with({}).exit, 0);
  const auto whole = rows_in(arguments.back());
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(rows[i]["candidates"], whole[i]["candidates"]);
    EXPECT_EQ(rows[i]["group_scores"], whole[i]["group_scores"]);
  }
  arguments.back() = out;
  for (std::string& argument : arguments)
    if (argument == "majority") argument = "prob.nll";
  const Outcome other = with({"--resume"});
  EXPECT_EQ(other.exit, 2);
  EXPECT_NE(other.err.find("--select (\"majority\" then, \"prob.nll\" now)"), std::string::npos) << other.err;
}

TEST(BestOf, WhatCannotBeIsRefusedByName) {
  const auto refuse = [](const Arguments& arguments, const std::string& part) {
    Arguments all = {"run", "--input", "-"};
    if (arguments.front() == "score") all.clear();
    all.insert(all.end(), arguments.begin(), arguments.end());
    const Outcome outcome = kvgauge(all, questions(1));
    EXPECT_EQ(outcome.exit, 2) << part;
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
    EXPECT_EQ(outcome.out, "");
  };
  refuse({"--scores", "eigenscore"}, "'eigenscore' compares a question's answers, --n is 1");
  refuse({"--scores", "semantic-entropy"}, "'semantic-entropy' compares a question's answers, --n is 1");
  refuse({"--select", "majority"}, "--select: --n is 1");
  refuse({"--n", "2", "--select", "kv_coe.normalised.c"}, "did you mean kv_coe.normalized.c?");
  refuse({"--n", "2", "--select", "coe.official.r"}, "--select: found 'coe.official.r'");
  refuse({"--n", "2", "--select", "prob.nll", "--scores", "none"}, "--scores is none");
  refuse({"--n", "2", "--dataset", "gsm8k"}, "--dataset: ");
  refuse({"--n", "2", "--select", "majority", "--dataset", "tests"}, "--dataset: 'tests'");
  refuse({"--k-rope", "pre"}, "--k-rope: 'pre' is about keys");
  refuse({"--scores", "prob", "--k-rope", "pre", "--part", "k"}, "the group kv-coe is off");
  refuse({"--scores", "prob", "--alpha", "2"}, "--alpha: the group kv-coe is off");
  refuse({"--coe-final-norm", "off"}, "--coe-final-norm: the group coe is off");
  refuse({"--scores", "prob", "--layers", "last2"}, "--layers: the group kv-coe (or eigenscore) is off");
  for (const char* const layers : {"last0", "last99", "99", "0,99", "3-1", "x", "", "-1", "1,,2", "last"})
    refuse({"--layers", layers}, "--layers: found '");
  refuse({"score", "--input", "-", "--scores", "semantic-entropy"}, "semantic-entropy' is of the texts");
}

}  // namespace
}  // namespace kvgauge::testing
