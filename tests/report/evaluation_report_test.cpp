#include "report/evaluation_report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <sstream>

namespace kvgauge {
namespace {

Evaluation sample() {
  EvaluationInput input;
  input.correct = {1, 0, 1, 0};
  input.complete = {1, 1, 1, 0};
  input.tokens = {10, 20, 12, 64};
  input.scores = {{"kv_coe.normalized.c", {3, 1, 2, NAN}}, {"a,\"b\"|c.nll", {1, 1, 1, 1}}};
  return evaluate(input);
}

TEST(EvaluationJson, HasTheFieldsOfTheContract) {
  const OrderedJson out = evaluation_json(sample());
  EXPECT_EQ(out["rows"], 4);
  EXPECT_EQ(out["correct"], 2);
  EXPECT_EQ(out["accuracy"], 0.5);
  EXPECT_EQ(out["truncated"], 1);
  EXPECT_EQ(out["mean_tokens"], 26.5);
  EXPECT_EQ(out["complete_only"]["rows"], 3);
  ASSERT_EQ(out["scores"].size(), 2u);
  const OrderedJson& score = out["scores"][0];
  EXPECT_EQ(score["name"], "kv_coe.normalized.c");
  EXPECT_EQ(score["n"], 4);
  EXPECT_EQ(score["invalid"], 1);
  EXPECT_EQ(score["auroc"], 1.0);
  EXPECT_EQ(score["auroc_flipped"], 0.0);
  for (const char* const key : {"fpr95", "fpr95_min", "aupr", "ap", "prr"}) EXPECT_TRUE(score[key].is_number()) << key;
  ASSERT_EQ(score["auroc_ci95"].size(), 2u);
  EXPECT_EQ(score["complete_only"]["n"], 3);
  EXPECT_EQ(score["complete_only"]["auroc"], 1.0);
  EXPECT_EQ(out["scores"][1]["higher_is_better"], false);
  EXPECT_EQ(out["baselines"][0]["name"], "neg_length");
}

TEST(EvaluationJson, UndefinedIsNull) {
  EvaluationInput input;
  input.correct = {1, 1};
  input.complete = {1, 1};
  input.tokens = {1, 2};
  input.scores = {{"s", {1, 2}}};
  const OrderedJson out = evaluation_json(evaluate(input));
  EXPECT_TRUE(out["scores"][0]["auroc"].is_null());
  EXPECT_TRUE(out["scores"][0]["auroc_ci95"][0].is_null());
  EXPECT_TRUE(evaluation_json(evaluate({}))["accuracy"].is_null());
}

TEST(EvaluationMarkdown, HasAColumnCountThatNeverVariesWithinATable) {
  const std::string text = evaluation_markdown(sample());
  EXPECT_NE(text.find("4 rows, 2 correct (50.00 %), 1 truncated"), std::string::npos) << text;
  EXPECT_NE(text.find("Mean length 26.5 tokens."), std::string::npos) << text;
  EXPECT_NE(text.find("| kv_coe.normalized.c | 4 | 1 | 100.00 |"), std::string::npos) << text;
  EXPECT_NE(text.find("| -a,\"b\"\\|c.nll |"), std::string::npos) << text;
  EXPECT_NE(text.find("| baseline neg_length |"), std::string::npos) << text;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] != '|') continue;
    const auto escaped = line.find("\\|") != std::string::npos ? 1 : 0;
    EXPECT_EQ(std::count(line.begin(), line.end(), '|') - escaped, 12) << line;
  }
}

TEST(EvaluationCsv, QuotesNamesAndLeavesUndefinedEmpty) {
  const std::string text = evaluation_csv(sample());
  EXPECT_NE(text.find("\nkv_coe.normalized.c,all,true,4,2,1,1,0,"), std::string::npos) << text;
  EXPECT_NE(text.find("\n\"a,\"\"b\"\"|c.nll\",complete_only,false,3,2,0,0.5,0.5,"), std::string::npos) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1 + 2 * 4);
}

}  // namespace
}  // namespace kvgauge
