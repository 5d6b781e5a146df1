#include "report/input_row.h"

#include <gtest/gtest.h>

#include "core/cat.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace {

InputRow row_of(const std::string& text, RowFormat format = {}) {
  format.file = "q.jsonl";
  return parse_input_row({.index = 6, .number = 7, .text = text}, format);
}

InputRow pair_of(const std::string& text) { return row_of(text, {.want_response = true}); }

void expect_error(const InputRow& row, const std::string& part) {
  EXPECT_NE(row.error.find(part), std::string::npos) << "found: " << row.error;
  EXPECT_NE(row.error.find("q.jsonl:7"), std::string::npos) << "the line is not named: " << row.error;
}

TEST(InputRow, TheIdIsTheFirstOfItsNamesAsText) {
  EXPECT_EQ(row_of(R"({"prompt":"x","id":"a","custom_id":"b","idx":3})").id, "a");
  EXPECT_EQ(row_of(R"({"prompt":"x","custom_id":"b","unique_id":"c"})").id, "b");
  EXPECT_EQ(row_of(R"({"prompt":"x","unique_id":"test/1.json","idx":3})").id, "test/1.json");
  EXPECT_EQ(row_of(R"({"prompt":"x","idx":0})").id, "0");
  EXPECT_EQ(row_of(R"({"prompt":"x"})").id, "7") << "the line number";
  expect_error(row_of(R"({"prompt":"x","id":[1]})"), "'id' is array");
}

TEST(InputRow, FormsAndTheirPrecedence) {
  EXPECT_EQ(row_of(R"({"prompt":"p","question":"q"})").prompt, "p");
  EXPECT_EQ(row_of(R"({"question":"q","problem":"r","en":"s"})").prompt, "q");
  EXPECT_EQ(row_of(R"({"problem":"r","en":"s"})").prompt, "r\nPut your final answer within \\boxed{}.");
  EXPECT_EQ(row_of(R"({"en":"s","answer_type":"float"})").prompt,
            "s\nEnd with \"The answer is\" followed by the answer.");
  EXPECT_EQ(row_of(R"({"en":"s"})").prompt, "s\nEnd with \"Answer:\" followed by the letter of your choice.");
  const InputRow messages = row_of(R"({"messages":[{"role":"user","content":"m"}],"prompt":"p"})");
  EXPECT_EQ(messages.form, RowForm::kMessages);
  EXPECT_EQ(messages.messages[0]["content"], "m");
  expect_error(row_of(R"({"id":"x"})"), "no question in it");
}

TEST(InputRow, CarriesGoldFieldsAsTheyAre) {
  const InputRow row =
      row_of(R"({"question":"q","answer":"1","gold":2.50,"solution":null,"answer_type":["a"],"other":1})");
  EXPECT_EQ(row.carried.dump(), R"({"gold":2.5,"answer":"1","solution":null,"answer_type":["a"]})");
}

TEST(InputRow, MalformedLinesBecomeRowsThatSayWhy) {
  expect_error(row_of("{\"prompt\":"), "not valid JSON");
  expect_error(row_of("[1]"), "found array");
  expect_error(row_of("\"text\""), "found string");
  expect_error(row_of("{\"prompt\":\"\xFF\"}"), "not valid JSON");
  expect_error(row_of(R"({"prompt":5})"), "'prompt' is number");
  expect_error(row_of(std::string(600, '[')), "nested deeper");
  EXPECT_EQ(row_of("{").id, "7");
}

TEST(InputRow, AnObjectWithTooManyMembersIsRefusedAtOnce) {
  std::string text = R"({"prompt":"x","o":{)";
  for (int i = 0; i < 200'000; ++i) text += cat(i ? ",\"" : "\"", i, "\":0");
  expect_error(row_of(text + "}}"), "200000 members");
}

TEST(InputRow, BatchBodyOverridesSampling) {
  const InputRow row = row_of(
      R"({"custom_id":"c","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[{"role":"user","content":"q"}],
    "max_completion_tokens":9,"temperature":0.5,"top_p":0.9,"top_k":-1,"seed":-3,"stop":["a","b"],"n":2,"frequency_penalty":0.0,"user":"u","logit_bias":{},
    "ignore_eos":true,"chat_template_kwargs":{"enable_thinking":false}}})");
  EXPECT_EQ(row.error, "");
  EXPECT_EQ(row.form, RowForm::kBatch);
  EXPECT_EQ(row.id, "c");
  EXPECT_EQ(row.model, "m");
  EXPECT_EQ(row.overrides.max_tokens, 9);
  EXPECT_EQ(row.overrides.temperature, 0.5);
  EXPECT_EQ(row.overrides.top_k, 0);
  EXPECT_EQ(row.overrides.seed, static_cast<std::uint64_t>(-3));
  EXPECT_EQ(row.overrides.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(row.overrides.samples, 2);
  EXPECT_EQ(row.overrides.ignore_eos, true);
  EXPECT_EQ(row.thinking, false);
  EXPECT_FALSE(row.plain);
}

TEST(InputRow, BatchBodyRefusesByName) {
  const auto with = [](const std::string& member) {
    return row_of(R"({"custom_id":"c","body":{"prompt":"q",)" + member + "}}");
  };
  expect_error(with(R"("frequency_penalty":0.1)"), "body.frequency_penalty");
  expect_error(with(R"("wild":1)"), "body.wild: is not known");
  expect_error(with(R"("stream":true)"), "body.stream");
  expect_error(with(R"("temperature":-1)"), "body.temperature");
  expect_error(with(R"("max_tokens":0)"), "body.max_tokens");
  expect_error(with(R"("max_tokens":18446744073709551615)"), "body.max_tokens");
  expect_error(with(R"("stop":[1])"), "body.stop");
  expect_error(with(R"("messages":[])"), "both of messages and prompt");
  expect_error(with(R"("chat_template_kwargs":{"x":1})"), "chat_template_kwargs.x");
  expect_error(row_of(R"({"body":{"temperature":1}})"), "neither of messages and prompt");
  expect_error(row_of(R"({"url":"/v1/embeddings","body":{"prompt":"q"}})"), "url");
  expect_error(row_of(R"({"method":"GET","body":{"prompt":"q"}})"), "method");
  expect_error(row_of(R"({"body":[]})"), "'body' is array");
}

TEST(InputRow, CompletionsAreGivenToTheModelAsTheyAre) {
  EXPECT_TRUE(row_of(R"({"url":"/v1/completions","body":{"prompt":"q"}})").plain);
  EXPECT_FALSE(row_of(R"({"body":{"prompt":"q"}})").plain);
}

TEST(InputRow, PairsNeedAResponse) {
  EXPECT_EQ(pair_of(R"({"prompt":"p","response":"r"})").response, "r");
  EXPECT_FALSE(pair_of(R"({"prompt":"p","response":"r","finish_reason":"length"})").finished);
  const InputRow tokens = pair_of(
      R"({"id":"1","index":0,"text":"t","prompt_ids":[1,2],"output_ids":[3],"finish_reason":"stop","error":null,"correct":true})");
  EXPECT_EQ(tokens.form, RowForm::kTokens);
  EXPECT_EQ(*tokens.prompt_ids, (std::vector<std::int32_t>{1, 2}));
  EXPECT_EQ(*tokens.output_ids, (std::vector<std::int32_t>{3}));
  EXPECT_EQ(tokens.carried.dump(), R"({"correct":true})");
  expect_error(pair_of(R"({"prompt":"p"})"), "no response");
  expect_error(pair_of(R"({"prompt":"p","output_ids":[-1]})"), "'output_ids'");
  expect_error(pair_of(R"({"prompt":"p","output_ids":[]})"), "'output_ids'");
  expect_error(pair_of(R"({"prompt":"p","text":"x","error":"too long"})"), "failed before: too long");
}

TEST(InputRow, EveryCandidateIsScored) {
  const InputRow row = pair_of(
      R"({"prompt_ids":[1,2],"output_ids":[5],"finish_reason":"stop","selected":1,"candidates":[
          {"output_ids":[3,4],"finish_reason":"length"},{"output_ids":[5],"finish_reason":"stop"}]})");
  EXPECT_EQ(row.error, "");
  EXPECT_EQ(*row.output_ids, (std::vector<std::int32_t>{3, 4}));
  EXPECT_FALSE(row.finished);
  ASSERT_EQ(row.further.size(), 1u);
  EXPECT_EQ(row.further[0].tokens, std::vector<std::int32_t>{5});
  EXPECT_TRUE(row.further[0].finished);
  EXPECT_EQ(row.selected, 1);
  expect_error(pair_of(R"({"prompt":"x","text":"y","candidates":[{"text":"y"}]})"), "run with --output-ids");
  expect_error(pair_of(R"({"prompt":"x","text":"y","candidates":{}})"), "'candidates' is no array");
  expect_error(pair_of(R"({"prompt":"x","text":"y","candidates":[3]})"), "candidate 0 has no 'output_ids'");
}

TEST(InputRow, AnsweredBatchRowsAreScoredByTheirTokens) {
  const InputRow row = pair_of(
      R"({"id":"kvgauge-3","custom_id":"c","response":{"status_code":200,"body":{"kvgauge":
          {"id":"c","index":3,"gold":"7","finish_reason":"length","prompt_ids":[1],"output_ids":[2,3],"error":null}}},"error":null})");
  EXPECT_EQ(row.error, "");
  EXPECT_EQ(row.id, "c");
  EXPECT_EQ(row.form, RowForm::kTokens);
  EXPECT_EQ(row.carried["gold"], "7");
  EXPECT_EQ(*row.output_ids, (std::vector<std::int32_t>{2, 3}));
  EXPECT_FALSE(row.finished);
  expect_error(pair_of(R"({"custom_id":"c","response":{"body":{"kvgauge":{"id":"c","text":"t"}}}})"),
               "run with --output-ids");
  expect_error(pair_of(R"({"custom_id":"c","response":{"body":{"choices":[]}}})"), "without body.kvgauge");
  expect_error(pair_of(R"({"custom_id":"c","response":{"body":{"kvgauge":{"id":"c","error":"too long"}}}})"),
               "failed before: too long");
}

TEST(FillTemplate, ReplacesNamesAndKeepsOtherBraces) {
  const OrderedJson row = {{"question", "2+2?"}, {"n", 5}, {"list", {1, 2}}};
  EXPECT_EQ(fill_template("Q: {question} ({n}) {list}", row), "Q: 2+2? (5) [1,2]");
  EXPECT_EQ(fill_template("\\boxed{} {{question}} {a b} {", row), "\\boxed{} {question} {a b} {");
  EXPECT_THROW(fill_template("{answer}", row), RequestError);
  EXPECT_EQ(row_of(R"({"question":"q","prompt":"p"})", {.prompt_template = "<{question}>"}).prompt, "<q>");
  expect_error(row_of(R"({"body":{"prompt":"p"}})", {.prompt_template = "{x}"}), "--prompt-template");
}

}  // namespace
}  // namespace kvgauge
