#include "report/evaluation_report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <sstream>

namespace kvgauge {
namespace {

EvaluationReport report_of(const EvaluationInput& input) {
  return {.evaluation = evaluate(input), .input = "graded.jsonl"};
}

EvaluationReport sample() {
  EvaluationInput input;
  input.correct = {1, 0, 1, 0};
  input.complete = {1, 1, 1, 0};
  input.tokens = {10, 20, 12, 64};
  input.scores = {{"kv_coe.normalized.c", {3, 1, 2, NAN}}, {"a,\"b\"|c.nll", {1, 1, 1, 1}}};
  EvaluationReport report = report_of(input);
  SelectionTable table;
  table.add(std::vector<Candidate>{{.correct = true, .tokens = 5, .scores = {1}}, {.correct = false, .tokens = 7}}, 0);
  report.selection = table.result({"kv_coe.normalized.c"}, {});
  report.failed = 2;
  report.first_error = "line 3: no prompt";
  return report;
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
  EXPECT_EQ(score["verdict"], "too_few");
  EXPECT_EQ(score["verdict_text"], "too few of one class");
  EXPECT_EQ(score["reversed"], false);
  for (const char* const key : {"rcc_auc", "kendall", "spearman", "ece_isotonic", "brier_isotonic"})
    EXPECT_TRUE(score[key].is_number()) << key;
  EXPECT_TRUE(score["ece"].is_null()) << "no probability";
  EXPECT_EQ(score["length"]["n"], 4);
  EXPECT_EQ(out["errors"], 2);
  EXPECT_EQ(out["comparisons"].size(), 2u);
  EXPECT_EQ(out["comparisons"][0]["b"], "neg_length");
  EXPECT_TRUE(out["comparisons"][0]["delong"]["p"].is_number() || out["comparisons"][0]["delong"]["p"].is_null());
  EXPECT_EQ(out["selection"]["questions"], 1);
  EXPECT_EQ(out["selection"]["selectors"].back()["kind"], "score");
  EXPECT_EQ(out["selection"]["selectors"].back()["accuracy"], 1.0);
  EXPECT_EQ(out["input"]["path"], "graded.jsonl");
}

TEST(EvaluationJson, UndefinedIsNull) {
  EvaluationInput input;
  input.correct = {1, 1};
  input.complete = {1, 1};
  input.tokens = {1, 2};
  input.scores = {{"s", {1, 2}}};
  const OrderedJson out = evaluation_json(report_of(input));
  EXPECT_TRUE(out["scores"][0]["auroc"].is_null());
  EXPECT_TRUE(out["scores"][0]["auroc_ci95"][0].is_null());
  EXPECT_TRUE(evaluation_json(report_of({}))["accuracy"].is_null());
  EXPECT_FALSE(out.contains("selection")) << "rows without candidates";
}

TEST(EvaluationMarkdown, HasAColumnCountThatNeverVariesWithinATable) {
  const std::string text = evaluation_markdown(sample());
  EXPECT_NE(text.find("4 rows, 2 correct (50.00 %), 1 truncated"), std::string::npos) << text;
  EXPECT_NE(text.find("Mean length 26.5 tokens."), std::string::npos) << text;
  EXPECT_NE(text.find("| kv_coe.normalized.c | 4 | 1 | 100.00 |"), std::string::npos) << text;
  EXPECT_NE(text.find("| -a,\"b\"\\|c.nll |"), std::string::npos) << text;
  EXPECT_NE(text.find("| baseline neg_length |"), std::string::npos) << text;
  std::istringstream lines(text);
  std::ptrdiff_t columns = 0, tables = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] != '|') {
      columns = 0;
      continue;
    }
    const auto escaped = line.find("\\|") != std::string::npos ? 1 : 0;
    const auto here = std::count(line.begin(), line.end(), '|') - escaped;
    if (columns == 0) ++tables;
    EXPECT_TRUE(columns == 0 || here == columns) << line;
    columns = here;
  }
  EXPECT_EQ(tables, 5) << "all, complete, verdicts, comparisons, selection";
  EXPECT_NE(text.find("| score kv_coe.normalized.c | 100.00 |"), std::string::npos) << text;
  EXPECT_NE(text.find("2 rows with an error are left out; the first: line 3: no prompt"), std::string::npos) << text;
}

TEST(EvaluationCsv, QuotesNamesAndLeavesUndefinedEmpty) {
  const std::string text = evaluation_csv(sample());
  EXPECT_NE(text.find("\nkv_coe.normalized.c,all,true,4,2,1,1,0,"), std::string::npos) << text;
  EXPECT_NE(text.find("\n\"a,\"\"b\"\"|c.nll\",complete_only,false,3,2,0,0.5,0.5,"), std::string::npos) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1 + 2 * 4);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    EXPECT_EQ(std::count(line.begin(), line.end(), ',') - (line.find("a,") != std::string::npos), 31) << line;
}

}  // namespace
}  // namespace kvgauge
