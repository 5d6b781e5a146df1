#include "grade/grader.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/cat.h"
#include "core/json.h"
#include "grade/case_files.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace {

using testing::text_of;

void expect_judged(const std::vector<Json>& cases) {
  for (const Json& c : cases) {
    const Grade g = grade(testing::dataset_of(c), text_of(c, "prediction"), text_of(c, "gold"));
    EXPECT_EQ(g.correct, c["equal"].get<bool>())
        << c.dump() << " predicted " << g.predicted.value_or("nothing") << " gold " << g.gold;
  }
}

TEST(GraderCases, EveryGradingCaseIsJudgedAsStated) {
  const auto cases = testing::golden_lines("grading_cases.jsonl");
  EXPECT_EQ(cases.size(), 110u);
  expect_judged(cases);
}

TEST(GraderCases, EveryResponseIsReadAsStated) {
  expect_judged(testing::json_lines(testing::repo_path("tests/grade/response_cases.jsonl")));
}

// The embedded model's recorded answers, right and wrong ones, thinking off and on.
TEST(GraderCases, RecordedAnswersOfTheEmbeddedModelAreJudgedAsRecorded) {
  int right = 0, rows = 0;
  for (const auto& entry : std::filesystem::directory_iterator(testing::repo_path("tests/golden/tiny-reasoner"))) {
    if (entry.path().filename().string().rfind("golden_", 0) != 0) continue;
    const Json c = parse_json(testing::read_file(entry.path()), entry.path().filename().string());
    for (const Dataset dataset : {Dataset::kExact, Dataset::kGsm8k}) {
      const Grade g = grade(dataset, c["greedy_text"].get<std::string>(), cat("#### ", c["gold"].dump()));
      EXPECT_EQ(g.correct, c["correct"].get<bool>()) << entry.path().filename();
      EXPECT_EQ(g.predicted.value_or("null"), c["predicted"].dump()) << entry.path().filename();
      right += g.correct;
      ++rows;
    }
  }
  EXPECT_EQ(rows, 48);
  EXPECT_GT(right, 0);
}

bool correct(std::string_view response, std::string_view gold) {
  return grade(Dataset::kGsm8k, response, gold).correct;
}

std::string predicted(std::string_view response) {
  return grade(Dataset::kGsm8k, response, "0").predicted.value_or("none");
}

TEST(Gsm8k, Extraction) {
  EXPECT_EQ(predicted("<think>#### 3</think>\n\nThe answer is 26.\n#### 26<|im_end|>\n#### 99"), "26");
  EXPECT_EQ(predicted("#### 1. Count the eggs\n9 eggs\n#### Step 2\nSo 18 in all."), "18") << "headings";
  EXPECT_EQ(predicted("**Answer:**\n18 dollars"), "18");
  EXPECT_EQ(predicted("The answer is 16 - 3 - 4 = 9."), "9");
  EXPECT_EQ(predicted("The answer is \\$1,234.50 per week"), "1234.50");
  EXPECT_EQ(predicted("\\boxed{x = 5}"), "5");
  EXPECT_EQ(predicted("\\boxed{12 \\text{ cm}^2}"), "12");
  EXPECT_EQ(predicted("\\fbox{7} or rather \\boxed 8 $"), "8");
  EXPECT_EQ(predicted("\\boxed{\\boxed{5}}"), "5");
  EXPECT_EQ(predicted("first 4, then \\boxed{18"), "4") << "an unclosed box is no answer";
  EXPECT_EQ(predicted("\\boxed{18"), "none");
  EXPECT_EQ(predicted("\\boxed{}"), "none");
  EXPECT_EQ(predicted("no number"), "none");
  EXPECT_EQ(predicted(""), "none");
  EXPECT_EQ(predicted("1, 2"), "2");
  EXPECT_EQ(predicted("1,2"), "2") << "no grouping by less than three";
  EXPECT_EQ(predicted("a loss of \xe2\x88\x92"
                      "5"),
            "-5")
      << "Unicode minus";
  EXPECT_EQ(predicted("<|im_end|>18"), "none");
}

TEST(Gsm8k, ExactNumbers) {
  EXPECT_TRUE(correct("0.5", "1/2"));
  EXPECT_TRUE(correct("18.00", "18"));
  EXPECT_TRUE(correct("70,000", "70000"));
  EXPECT_TRUE(correct("-0", "0"));
  EXPECT_TRUE(correct("\\boxed{-0.0}", "0"));
  EXPECT_TRUE(correct("\\boxed{\\frac{-3}{-6}}", "0.5"));
  EXPECT_TRUE(correct("\\boxed{\\frac{2}{6}}", "1/3"));
  EXPECT_TRUE(correct("\\boxed{-1\\frac12}", "-1.5"));
  EXPECT_TRUE(correct("\\boxed{5 1/2}", "5.5"));
  EXPECT_TRUE(correct("\\boxed{2.5e3}", "2500"));
  EXPECT_TRUE(correct("\\boxed{10\\,000}", "10000"));
  EXPECT_TRUE(correct("\\boxed{10{,}000}", "10000"));
  EXPECT_FALSE(correct("17.9999999999999999999999999999", "18"));
  EXPECT_FALSE(correct("0.33", "1/3"));
  EXPECT_FALSE(correct("\\boxed{5/0}", "5"));
  EXPECT_FALSE(correct("\\boxed{18+x}", "18"));
  EXPECT_FALSE(correct("1", "-1"));
  EXPECT_FALSE(correct("", ""));
  EXPECT_FALSE(correct("none", "none")) << "no number was stated";
}

TEST(Gsm8k, HugeNumbersCompareWithoutOverflow) {
  const std::string nines(4'000, '9'), zeros(4'000, '0');
  EXPECT_TRUE(correct(nines, nines));
  EXPECT_FALSE(correct(nines + "8", nines + "9"));
  EXPECT_TRUE(correct("1" + zeros, "1" + zeros + ".000"));
  EXPECT_TRUE(correct(zeros + "7", "7"));
  EXPECT_TRUE(correct("\\boxed{1e4000}", "1" + zeros));
  EXPECT_FALSE(correct("\\boxed{1e99999999999999999999}", "1"));
  EXPECT_FALSE(correct("\\boxed{" + nines + "/" + nines + "1}", "1"));
  EXPECT_TRUE(correct("\\boxed{" + std::string(900, '3') + "/" + std::string(900, '6') + "}", "0.5"));
  EXPECT_TRUE(correct("\\boxed{1/3}", "0." + std::string(3'000, '3'))) << "to six decimals";
  EXPECT_FALSE(correct("\\boxed{1/3}", "0.333334"));
}

TEST(Gsm8k, Flags) {
  const Grade g = grade(Dataset::kGsm8k, "#### 18", "9*2=18\n#### 18", {.finished = false});
  EXPECT_TRUE(g.truncated);
  EXPECT_TRUE(g.correct);
  EXPECT_EQ(g.gold, "18");
  EXPECT_FALSE(grade(Dataset::kGsm8k, "18", "18").truncated);
}

TEST(Exact, StatedAnswersTextsAndNumbers) {
  const auto exact = [](std::string_view response, std::string_view gold) {
    return grade(Dataset::kExact, response, gold);
  };
  EXPECT_TRUE(exact("8/4=2\nThe answer is 26.\n#### 26", "8/4=2\n2+12=14\nThe answer is 26.\n#### 26").correct);
  EXPECT_TRUE(exact("The answer is 26.", "#### 26").correct);
  EXPECT_TRUE(exact("  26\n", "26.0").correct);
  EXPECT_FALSE(exact("The answer is 27.", "#### 26").correct);
  EXPECT_FALSE(exact("8/4=2\n2+12=14", "#### 14").correct) << "nothing stated: the whole text counts";
  EXPECT_TRUE(exact("Evelyn", " Evelyn ").correct);
  EXPECT_TRUE(exact("The answer is  the   red one.", "the red one").correct);
  EXPECT_FALSE(exact("evelyn", "Evelyn").correct);
  EXPECT_FALSE(exact("26 apples", "26").correct) << "units count here";
  EXPECT_FALSE(exact("", "26").correct);
  EXPECT_FALSE(exact("", "26").predicted.has_value());
  EXPECT_EQ(exact("</think>\n\nThe answer is 26.\n#### 26<|im_end|>", "#### 26").predicted.value_or(""), "26");
}

TEST(Theoremqa, ToleranceIsRelativeToTheGold) {
  const auto correct = [](std::string_view response, std::string_view gold, double tolerance) {
    return grade(Dataset::kTheoremqa, response, gold, {.tolerance = tolerance}).correct;
  };
  EXPECT_TRUE(correct("The answer is 104.", "100", 0.04));
  EXPECT_FALSE(correct("The answer is 104.1.", "100", 0.04));
  EXPECT_TRUE(correct("The answer is 96.", "100", 0.04));
  EXPECT_FALSE(correct("The answer is 104.", "100", 1e-4));
  EXPECT_TRUE(correct("The answer is 100.009.", "100", 1e-4));
  EXPECT_FALSE(correct("The answer is -100.", "100", 0.04));
  EXPECT_TRUE(correct("The answer is [1.03, 2].", "[1, 2]", 0.04));
  EXPECT_FALSE(correct("The answer is [1.03, 2].", "[1, 2]", 1e-4));
  EXPECT_TRUE(correct("The answer is 0.", "0.0", 0)) << "exact equality needs no tolerance";
}

TEST(Theoremqa, TheAnswersTypeIsTheRowsOrTheGolds) {
  EXPECT_EQ(grade(Dataset::kTheoremqa, "It is true that the answer is 5.", "5").predicted, "5");
  EXPECT_EQ(grade(Dataset::kTheoremqa, "The answer is yes.", "True").predicted, "True");
  EXPECT_EQ(grade(Dataset::kTheoremqa, "The answer is (b).", "b", {.answer_type = "option"}).predicted, "B");
  EXPECT_TRUE(grade(Dataset::kTheoremqa, "The answer is 5.", "5", {.answer_type = "list of integer"}).correct);
}

TEST(Equivalent, AnswersOfTwoResponses) {
  for (const Dataset dataset : {Dataset::kExact, Dataset::kGsm8k, Dataset::kMath, Dataset::kTheoremqa}) {
    const auto a = extract_answer(dataset, "The answer is 0.5."), b = extract_answer(dataset, "#### 1/2");
    ASSERT_TRUE(a && b) << name(dataset);
    EXPECT_TRUE(equivalent(dataset, *a, *b)) << name(dataset);
    EXPECT_FALSE(equivalent(dataset, *a, "0.6")) << name(dataset);
    EXPECT_FALSE(equivalent(dataset, "", "")) << name(dataset);
    EXPECT_FALSE(extract_answer(dataset, "").has_value()) << name(dataset);
  }
  EXPECT_EQ(extract_answer(Dataset::kCsqa, "Answer: (b)"), "B");
  EXPECT_TRUE(equivalent(Dataset::kCsqa, "B", "B"));
  EXPECT_FALSE(equivalent(Dataset::kCsqa, "B", "C"));
  EXPECT_EQ(extract_answer(Dataset::kTheoremqa, "The answer is Yes."), "True");
  EXPECT_TRUE(equivalent(Dataset::kTheoremqa, "True", "True"));
  EXPECT_FALSE(equivalent(Dataset::kTheoremqa, "True", "1"));
  EXPECT_TRUE(equivalent(Dataset::kTheoremqa, "100", "103")) << "either may be the other's gold";
}

TEST(Datasets, NamesAreExact) {
  for (const Dataset dataset : {Dataset::kExact, Dataset::kGsm8k, Dataset::kMath, Dataset::kTheoremqa, Dataset::kCsqa})
    EXPECT_EQ(parse_dataset(name(dataset)), dataset);
  for (const char* const other : {"GSM8K", "", "math500"}) EXPECT_THROW(parse_dataset(other), UsageError) << other;
}

}  // namespace
}  // namespace kvgauge
