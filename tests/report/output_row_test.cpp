#include "report/output_row.h"

#include <gtest/gtest.h>

#include "core/cat.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace {

InputRow input(RowForm form = RowForm::kPrompt) {
  InputRow row;
  row.index = 7;
  row.id = "x";
  row.form = form;
  row.carried["gold"] = "5";
  return row;
}

Finished finished(int answers) {
  Finished done;
  done.prompt_tokens = 41;
  done.cached_tokens = 32;
  for (int i = 0; i < answers; ++i) {
    Answer answer;
    answer.text = cat("t", i);
    answer.tokens = {1, 2, 3};
    answer.finish_reason = FinishReason::kLength;
    answer.kv_coe = KvCoeScores{.tokens = 2, .valid = true, .paper_r = 0.1, .mean_dr = 1.0 / 3};
    answer.prob = ProbScores{.tokens = 3, .nll = 0.25};
    answer.dr = {1.5f};
    answer.dtheta = {0.5f};
    done.answers.push_back(answer);
  }
  return done;
}

const ScoreSpec kBoth{.kv_coe = true, .prob = true};

TEST(OutputRow, HasTheFieldsOfTheContractInOrder) {
  const OrderedJson row = output_row(input(), finished(1), {9, 8}, {.scores = kBoth});
  std::string keys;
  for (const auto& member : row.items()) keys += member.key() + " ";
  EXPECT_EQ(keys, "id index text finish_reason usage scores gold timing error ");
  EXPECT_EQ(row["usage"].dump(), R"({"prompt_tokens":41,"cached_tokens":32,"completion_tokens":3})");
  EXPECT_EQ(row["finish_reason"], "length");
  EXPECT_EQ(row["scores"]["kv_coe"]["part"], "v");
  EXPECT_EQ(row["scores"]["kv_coe"]["paper"]["r"], 0.1);
  EXPECT_EQ(row["scores"]["prob"]["logits"], "raw");
  EXPECT_TRUE(row["error"].is_null());
}

TEST(OutputRow, UndefinedNumbersAreNullAndDoublesReadBackTheSame) {
  const OrderedJson row = output_row(input(), finished(1), {}, {.scores = kBoth});
  const OrderedJson back = OrderedJson::parse(to_line(row));
  EXPECT_TRUE(back["scores"]["kv_coe"]["paper"]["c"].is_null());
  EXPECT_EQ(back["scores"]["kv_coe"]["mean_dr"].get<double>(), 1.0 / 3);
}

TEST(OutputRow, FieldsNotAskedForAreAbsent) {
  const OrderedJson none = output_row(input(), finished(1), {9}, {});
  EXPECT_FALSE(none.contains("scores"));
  EXPECT_FALSE(none.contains("output_ids"));
  const OrderedJson row =
      output_row(input(), finished(1), {9, 8},
                 {.scores = {.kv_coe = true, .keep_trajectory = true}, .text = false, .token_ids = true});
  EXPECT_FALSE(row["scores"].contains("prob"));
  EXPECT_FALSE(row.contains("text"));
  EXPECT_EQ(row["scores"]["kv_coe"]["dr"].dump(), "[1.5]");
  EXPECT_EQ(row["scores"]["kv_coe"]["dtheta"].dump(), "[0.5]");
  EXPECT_EQ(row["prompt_ids"].dump(), "[9,8]");
  EXPECT_EQ(row["output_ids"].dump(), "[1,2,3]");
}

TEST(OutputRow, SeveralAnswersAreCandidates) {
  const OrderedJson row = output_row(input(), finished(3), {}, {.scores = kBoth});
  EXPECT_EQ(row["text"], "t0");
  ASSERT_EQ(row["candidates"].size(), 3u);
  EXPECT_EQ(row["candidates"][2]["text"], "t2");
  EXPECT_EQ(row["candidates"][2]["usage"]["completion_tokens"], 3);
  EXPECT_EQ(row["selected"], 0);
  EXPECT_FALSE(row.contains("select"));
  EXPECT_FALSE(row.contains("group_scores"));
  EXPECT_TRUE(row["candidates"][2]["scores"].contains("kv_coe"));
  EXPECT_EQ(row["usage"]["completion_tokens"], 9);
}

TEST(OutputRow, BatchRowsAnswerInTheBatchFormat) {
  InputRow batch = input(RowForm::kBatch);
  batch.messages = OrderedJson::array();
  batch.model = "m";
  const OrderedJson row = output_row(batch, finished(2), {}, {.scores = kBoth});
  EXPECT_EQ(row["custom_id"], "x");
  EXPECT_EQ(row["response"]["status_code"], 200);
  const OrderedJson& body = row["response"]["body"];
  EXPECT_EQ(body["object"], "chat.completion");
  EXPECT_EQ(body["choices"][1]["message"]["content"], "t1");
  EXPECT_EQ(body["choices"][1]["finish_reason"], "length");
  EXPECT_EQ(body["usage"]["total_tokens"], 47);
  EXPECT_EQ(body["kvgauge"]["index"], 7);
  EXPECT_TRUE(row["error"].is_null());
  EXPECT_EQ(row_facts(row, "w").index, 7);
  EXPECT_EQ(row_facts(row, "w").completion_tokens, 6);
  EXPECT_EQ(&kvgauge_fields(row), &row["response"]["body"]["kvgauge"]);
}

TEST(OutputRow, ErrorsOfBothFormsAreFound) {
  const OrderedJson plain = error_row(input(), "too long");
  EXPECT_EQ(plain["error"], "too long");
  EXPECT_EQ(plain["finish_reason"], "error");
  EXPECT_EQ(plain["gold"], "5");
  EXPECT_TRUE(row_facts(plain, "w").failed);
  const OrderedJson batch = error_row(input(RowForm::kBatch), "too long");
  EXPECT_EQ(batch["error"]["message"], "too long");
  EXPECT_EQ(batch["response"]["status_code"], 400);
  EXPECT_TRUE(row_facts(batch, "w").failed);
  EXPECT_EQ(row_facts(batch, "w").index, 7);
}

TEST(OutputRow, ForeignRowsAreNoRowsOfAJob) {
  EXPECT_THROW(row_facts(OrderedJson::parse(R"({"id":"1"})"), "w"), FormatError);
  EXPECT_THROW(row_facts(OrderedJson::parse(R"({"index":-1})"), "w"), FormatError);
  EXPECT_THROW(row_facts(OrderedJson::parse(R"([1])"), "w"), FormatError);
}

TEST(OutputRow, BytesThatAreNoUtf8AreReplaced) {
  EXPECT_EQ(to_line(error_row(input(), "a\xFFz")).find('\xFF'), std::string::npos);
}

}  // namespace
}  // namespace kvgauge
