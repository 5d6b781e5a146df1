// `run`: rows of every form in, scored rows out, in the order of the input.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/cat.h"
#include "e2e/program.h"

namespace kvgauge::testing {
namespace {

const std::vector<std::string> kPipe = {"run",     "--input",      "-",  "--think", "off",
                                        "--quiet", "--max-tokens", "40", "--dtype", "f32"};

Outcome pipe(const std::string& rows, const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = kPipe;
  arguments.insert(arguments.end(), more.begin(), more.end());
  return kvgauge(arguments, rows);
}

TEST(Run, RowsHaveTextUsageAndScoresInInputOrder) {
  const Outcome outcome = pipe(questions(12));
  ASSERT_EQ(outcome.exit, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  const auto rows = rows_of(outcome.out);
  ASSERT_EQ(rows.size(), 12u);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const OrderedJson& row = rows[i];
    EXPECT_EQ(row["index"], i);
    EXPECT_EQ(row["id"], cat("q", i));
    EXPECT_EQ(row["finish_reason"], "stop") << row.dump();
    EXPECT_NE(row["text"].get<std::string>().find("####"), std::string::npos);
    EXPECT_TRUE(row["answer"].is_string()) << "carried through";
    EXPECT_GT(row["usage"]["prompt_tokens"], 10);
    EXPECT_EQ(row["scores"]["kv_coe"]["tokens"].get<int>(), row["usage"]["completion_tokens"].get<int>() - 1)
        << "the last token is never fed back";
    EXPECT_TRUE(row["scores"]["kv_coe"]["valid"]);
    EXPECT_TRUE(row["scores"]["kv_coe"]["normalized"]["c"].is_number());
    EXPECT_GT(row["scores"]["prob"]["maxprob_official"], 0.1);
    EXPECT_TRUE(row["error"].is_null());
  }
}

TEST(Run, AnswersAreTheGoldenOnes) {
  const OrderedJson golden =
      parse_ordered_json(read_file(repo_path("tests/golden/tiny-reasoner/golden_00_fast.json")), "golden");
  OrderedJson row = OrderedJson::object();
  row["messages"] = golden["messages"];
  const Outcome outcome = pipe(row.dump() + "\n", {"--output-ids"});
  ASSERT_EQ(outcome.exit, 0) << outcome.err;
  const auto rows = rows_of(outcome.out);
  EXPECT_EQ(rows[0]["prompt_ids"], golden["prompt_ids"]);
  EXPECT_EQ(rows[0]["output_ids"], golden["greedy_ids"]);
}

TEST(Run, MalformedLinesBecomeErrorRowsAndTheJobGoesOn) {
  const std::string rows =
      questions(1) + "{\"prompt\": oops\n\n[1,2]\n{\"id\":\"e\",\"prompt\":\"\xFF\"}\n" + questions(1, 1);
  const Outcome outcome = pipe(rows);
  EXPECT_EQ(outcome.exit, 1) << "finished, but rows failed";
  const auto out = rows_of(outcome.out);
  ASSERT_EQ(out.size(), 5u);
  EXPECT_TRUE(out[0]["error"].is_null());
  EXPECT_NE(out[1]["error"].get<std::string>().find("stdin:2: "), std::string::npos) << out[1].dump();
  EXPECT_EQ(out[1]["id"], "2");
  EXPECT_NE(out[2]["error"].get<std::string>().find("stdin:4: "), std::string::npos) << "blank lines count as lines";
  EXPECT_NE(out[3]["error"].get<std::string>().find("stdin:5: "), std::string::npos);
  EXPECT_TRUE(out[4]["error"].is_null());
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_EQ(out[i]["index"], i);
}

TEST(Run, APromptLongerThanTheContextIsAnErrorRow) {
  std::string words;
  for (int i = 0; i < 4000; ++i) words += "apple ";
  const Outcome outcome = pipe("{\"prompt\":\"" + words + "\"}\n" + questions(1));
  EXPECT_EQ(outcome.exit, 1);
  const auto rows = rows_of(outcome.out);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0]["finish_reason"], "error");
  EXPECT_NE(rows[0]["error"].get<std::string>().find("1024"), std::string::npos)
      << "the context is named: " << rows[0].dump();
  EXPECT_TRUE(rows[1]["error"].is_null());
}

TEST(Run, BatchRowsAnswerInTheBatchFormat) {
  const std::string row =
      R"({"custom_id":"c1","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[{"role":"user","content":"Tom has 3 pens. He buys 4. How many pens has he?"}],"max_tokens":5}})";
  const std::string bad =
      R"({"custom_id":"c2","url":"/v1/chat/completions","body":{"messages":[{"role":"user","content":"x"}],"presence_penalty":1}})";
  const Outcome outcome = pipe(row + "\n" + bad + "\n");
  EXPECT_EQ(outcome.exit, 1);
  const auto rows = rows_of(outcome.out);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0]["custom_id"], "c1");
  EXPECT_EQ(rows[0]["response"]["body"]["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(rows[0]["response"]["body"]["usage"]["completion_tokens"], 5);
  EXPECT_TRUE(rows[0]["response"]["body"]["kvgauge"]["scores"].contains("kv_coe"));
  EXPECT_EQ(rows[1]["custom_id"], "c2");
  EXPECT_NE(rows[1]["error"]["message"].get<std::string>().find("presence_penalty"), std::string::npos);
}

TEST(Run, SeveralAnswersOverOnePrompt) {
  const Outcome outcome = pipe(questions(2), {"--n", "3", "--temperature", "1", "--seed", "5"});
  ASSERT_EQ(outcome.exit, 0) << outcome.err;
  for (const OrderedJson& row : rows_of(outcome.out)) {
    ASSERT_EQ(row["candidates"].size(), 3u);
    EXPECT_EQ(row["text"], row["candidates"][0]["text"]);
    std::int64_t tokens = 0;
    for (const OrderedJson& candidate : row["candidates"])
      tokens += candidate["usage"]["completion_tokens"].get<std::int64_t>();
    EXPECT_EQ(row["usage"]["completion_tokens"], tokens);
  }
}

TEST(Run, SamplingDependsOnTheSeedAndTheRowOnly) {
  const std::vector<std::string> sampled = {"--temperature",     "1.5",      "--seed", "5",
                                            "--batch-invariant", "--scores", "none"};
  std::vector<std::string> alone = sampled, reseeded = sampled;
  alone.insert(alone.end(), {"--max-batch", "1"});
  reseeded[3] = "6";
  const std::string rows = questions(6);
  const auto texts = [](const Outcome& outcome) {
    std::string all;
    for (const OrderedJson& row : rows_of(outcome.out)) all += row["text"].dump();
    return all;
  };
  const std::string first = texts(pipe(rows, sampled));
  EXPECT_EQ(first, texts(pipe(rows, alone)));
  EXPECT_NE(first, texts(pipe(rows, reseeded)));
}

TEST(Run, ScoresNoneMeasuresNothingAndTrajectoryAddsArrays) {
  const auto none = rows_of(pipe(questions(1), {"--scores", "none"}).out);
  EXPECT_FALSE(none.at(0).contains("scores"));
  const auto rows = rows_of(pipe(questions(1), {"--scores", "kv-coe", "--trajectory"}).out);
  const OrderedJson& gauge = rows.at(0)["scores"]["kv_coe"];
  EXPECT_FALSE(rows.at(0)["scores"].contains("prob"));
  EXPECT_EQ(gauge["dr"].size(), gauge["tokens"].get<std::size_t>() - 1);
  EXPECT_EQ(gauge["dtheta"].size(), gauge["dr"].size());
}

TEST(Run, StopStringsEndTheText) {
  const auto rows = rows_of(pipe(questions(3), {"--stop", "[END]", "--stop", "answer"}).out);
  ASSERT_EQ(rows.size(), 3u);
  for (const OrderedJson& row : rows) {
    EXPECT_EQ(row["text"], "The ");
    EXPECT_EQ(row["finish_reason"], "stop");
  }
}

TEST(Run, PromptTemplateAndLimit) {
  const auto rows = rows_of(pipe("{\"a\":\"Tom has 3 pens.\",\"b\":4}\n{}\n{}\n",
                                 {"--prompt-template", "{a} He buys {b}. How many pens has he?", "--limit", "2"})
                                .out);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_TRUE(rows[0]["error"].is_null());
  EXPECT_NE(rows[1]["error"].get<std::string>().find("'a'"), std::string::npos);
}

TEST(Run, NoChatGivesThePromptAsItIs) {
  const Outcome outcome = kvgauge({"run", "--input", "-", "--no-chat", "--quiet", "--max-tokens", "3", "--output-ids"},
                                  "{\"prompt\":\"Hello\"}\n{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}\n");
  EXPECT_EQ(outcome.exit, 1);
  const auto rows = rows_of(outcome.out);
  const auto tokens = rows_of(kvgauge({"tokenize", "--text", "Hello"}).out);
  EXPECT_EQ(rows.at(0)["prompt_ids"], tokens.at(0)["ids"]);
  EXPECT_NE(rows.at(1)["error"].get<std::string>().find("--no-chat"), std::string::npos);
}

TEST(Run, UnorderedRowsAreTheSameRows) {
  auto sorted = rows_of(pipe(questions(8), {"--unordered", "--batch-invariant"}).out);
  std::sort(sorted.begin(), sorted.end(),
            [](const OrderedJson& a, const OrderedJson& b) { return a["index"] < b["index"]; });
  const auto rows = rows_of(pipe(questions(8), {"--batch-invariant"}).out);
  ASSERT_EQ(sorted.size(), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(without_timing(sorted[i]), without_timing(rows[i]));
}

TEST(Run, AFullDeviceIsExit4) {
  const Outcome outcome =
      kvgauge({"run", "--input", "-", "--output", "/dev/full", "--quiet", "--max-tokens", "3"}, questions(2));
  EXPECT_EQ(outcome.exit, 4);
  EXPECT_NE(outcome.err.find("/dev/full"), std::string::npos) << outcome.err;
}

TEST(Run, NothingInIsNothingOut) {
  const Outcome outcome = pipe("\n\n");
  EXPECT_EQ(outcome.exit, 0);
  EXPECT_EQ(outcome.out, "");
}

}  // namespace
}  // namespace kvgauge::testing
