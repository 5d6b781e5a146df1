#include "report/label_row.h"

#include <gtest/gtest.h>

#include "kvgauge/error.h"
#include "report/output_row.h"

namespace kvgauge {
namespace {

LabelRow row_with_everything() {
  LabelRow row;
  row.id = "q7";
  row.index = 7;
  row.label = 37.5;
  row.model = "0123456789ab";
  row.template_set = "native 89ab01234567";
  row.question = "How many?";
  row.prompt_ids = {1, 2, 3};
  row.open_ids = {9, 8};
  row.fast = {{.text = "15", .output_ids = {4, 5}, .predicted = "15", .outcome = {.correct = true, .tokens = 2}},
              {.text = "", .output_ids = {6}, .predicted = std::nullopt, .outcome = {.tokens = 1, .finished = false}}};
  row.slow = {
      {.text = "<>15", .output_ids = {4, 5, 6, 7}, .predicted = "15", .outcome = {.correct = true, .tokens = 4}},
      {.text = "x", .output_ids = {7}, .predicted = "x", .outcome = {.tokens = 1}}};
  row.checkpoints = {
      {.at = 1, .closing = {.text = "3", .output_ids = {}, .predicted = "3", .outcome = {.tokens = 5}}},
      {.at = 3,
       .closing = {.text = "15", .output_ids = {}, .predicted = "15", .outcome = {.correct = true, .tokens = 6}}}};
  return row;
}

std::string refusal(const OrderedJson& json) {
  try {
    read_label_row(json);
  } catch (const RequestError& error) {
    return error.what();
  }
  return "none";
}

TEST(LabelRow, IsReadBackAsItWasWritten) {
  const LabelRow row = row_with_everything();
  const OrderedJson json = label_row_json(row, {{"answer", "#### 15"}, {"label", "not this"}});
  EXPECT_EQ(json["answer"], "#### 15");
  EXPECT_EQ(json["label"], 37.5) << "carried fields do not take the place of ours";
  EXPECT_EQ(json["cut_generations"], 1);
  EXPECT_EQ(json["fast"][1]["finish_reason"], "length");
  EXPECT_TRUE(json["fast"][1]["predicted"].is_null());
  EXPECT_EQ(json["checkpoints"][1], (OrderedJson{{"at", 3},
                                                 {"correct", true},
                                                 {"tokens", 6},
                                                 {"finish_reason", "stop"},
                                                 {"predicted", "15"},
                                                 {"text", "15"}}));
  const LabelRow got = read_label_row(parse_ordered_json(to_line(json), "row"));
  EXPECT_EQ(to_line(label_row_json(got, OrderedJson::object())), to_line(label_row_json(row, OrderedJson::object())));
  EXPECT_EQ(got.fast[1].outcome.finished, false);
  EXPECT_EQ(got.slow[0].output_ids, row.slow[0].output_ids);
  EXPECT_EQ(got.question, "How many?");
}

TEST(LabelRow, HasNoCheckpointsWhereNoneWereAskedFor) {
  LabelRow row = row_with_everything();
  row.checkpoints.clear();
  row.question.reset();
  const OrderedJson json = label_row_json(row, OrderedJson::object());
  EXPECT_FALSE(json.contains("checkpoints"));
  const LabelRow got = read_label_row(json);
  EXPECT_TRUE(got.checkpoints.empty());
  EXPECT_FALSE(got.question);
}

TEST(LabelRow, IsLabelledAnewByItsOutcomes) {
  const LabelRow row = row_with_everything();
  EXPECT_EQ(label_of(row, {}), (0 + 100) / 2.0);
  EXPECT_EQ(label_of(row, {.easy_tokens = 2}), (25 + 100) / 2.0);
}

TEST(LabelRow, NamesTheFieldThatIsWrong) {
  const OrderedJson good = label_row_json(row_with_everything(), OrderedJson::object());
  ASSERT_EQ(refusal(good), "none");
  for (const char* const key :
       {"id", "index", "label", "fast", "slow", "model", "template_set", "prompt_ids", "open_ids"}) {
    OrderedJson without = good, wrong = good;
    without.erase(key);
    EXPECT_NE(refusal(without).find("no '" + std::string(key) + "' in it"), std::string::npos) << refusal(without);
    wrong[key] = {{"a", 1}};
    EXPECT_NE(refusal(wrong).find("'" + std::string(key) + "' is {\"a\":1}"), std::string::npos) << refusal(wrong);
  }
  const auto with = [&](const char* pointer, const OrderedJson& value) {
    OrderedJson json = good;
    json[OrderedJson::json_pointer(pointer)] = value;
    return refusal(json);
  };
  EXPECT_EQ(with("/label", 100.5), "'label' is 100.5, a number from 0 to 100 was needed");
  EXPECT_EQ(with("/label", -1), "'label' is -1, a number from 0 to 100 was needed");
  EXPECT_EQ(with("/prompt_ids", OrderedJson::array()), "'prompt_ids' is [], at least one token id was needed");
  EXPECT_EQ(with("/prompt_ids/1", -2), "'prompt_ids' is [1,-2,3], an array of token ids was needed");
  EXPECT_EQ(with("/open_ids/0", 4294967296), "'open_ids' is [4294967296,8], an array of token ids was needed");
  EXPECT_EQ(with("/fast/1/correct", 1), "'fast[1].correct' is 1, true or false was needed");
  EXPECT_EQ(with("/slow/0/tokens", -1), "'slow[0].tokens' is -1, a count was needed");
  EXPECT_EQ(with("/slow/0", 3), "'slow[0].' is 3, an object was needed");
  EXPECT_EQ(with("/checkpoints/1/at", 4), "'checkpoints[1].at' is 4, a place in the first slow generation was needed");
  EXPECT_EQ(with("/checkpoints/1/at", 1), "'checkpoints[1].at' is 1, a place behind the one before was needed");
  OrderedJson uneven = good;
  uneven["fast"].erase(1);
  EXPECT_NE(refusal(uneven).find("as many generations as in 'fast'"), std::string::npos);
  EXPECT_NE(refusal(OrderedJson::array()).find("an object was needed"), std::string::npos);
}

}  // namespace
}  // namespace kvgauge
