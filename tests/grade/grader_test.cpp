#include "grade/grader.h"

#include <gtest/gtest.h>

#include <sstream>
#include <vector>

#include "core/cat.h"
#include "core/json.h"
#include "grade/released_grader.h"
#include "kvgauge/error.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

std::vector<Json> json_lines(const std::filesystem::path& path) {
  std::vector<Json> rows;
  std::istringstream lines(testing::read_file(path));
  for (std::string line; std::getline(lines, line);)
    if (!line.empty()) rows.push_back(parse_json(line, path.filename().string()));
  return rows;
}

std::vector<Json> golden_lines(const char* file) {
  return json_lines(testing::repo_path(std::string("tests/golden/") + file));
}

TEST(GraderCases, EveryGsm8kCaseIsJudgedAsStated) {
  int cases = 0;
  for (const Json& c : golden_lines("grading_cases.jsonl")) {
    if (c["dataset"] != "gsm8k") continue;
    ++cases;
    const Grade g = grade(Dataset::kGsm8k, c["prediction"].get<std::string>(), c["gold"].get<std::string>());
    EXPECT_EQ(g.correct, c["equal"].get<bool>()) << c.dump() << " predicted " << g.predicted.value_or("nothing");
  }
  EXPECT_EQ(cases, 22);
}

// What the released grader returned on every case, also those of datasets that ours does not grade yet.
TEST(GraderCases, ReleasedOutcomesAreReproduced) {
  const auto cases = golden_lines("grading_cases.jsonl");
  int compared = 0;
  for (const Json& outcome : golden_lines("grading_released_outcomes.jsonl")) {
    const Json& c = cases.at(outcome["line"].get<std::size_t>());
    const Json& released = outcome["kvclassifier"];
    if (released.is_null() || released["pred"].is_null()) continue;
    const std::string predicted = released_answer(c["prediction"].get<std::string>()),
                      gold = released_answer(c["gold"].get<std::string>());
    ++compared;
    EXPECT_EQ(predicted, released["pred"].get<std::string>()) << c.dump();
    EXPECT_EQ(gold, released["gold"].get<std::string>()) << c.dump();
    EXPECT_EQ(predicted == gold, released["equal"].get<bool>()) << c.dump();
    const Grade g = grade(Dataset::kGsm8k, c["prediction"].get<std::string>(), c["gold"].get<std::string>());
    EXPECT_EQ(g.paper_correct, released["equal"].get<bool>()) << c.dump();
  }
  EXPECT_EQ(compared, 84);
}

TEST(GraderCases, EveryGsm8kGoldGradesItselfInThreePhrasings) {
  const auto path = testing::shared_path("data/gsm8k_test.jsonl");
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is absent";
  int rows = 0;
  for (const Json& row : json_lines(path)) {
    ++rows;
    const std::string answer = row["answer"];
    const std::string number = answer.substr(answer.rfind("#### ") + 5);
    for (const std::string& response : {answer, "So 3 + 4 = 7 and then\nthe answer is $" + number + ".",
                                        "Thus $\\boxed{" + number + "}$ as 1 + 1 = 2 shows."}) {
      const Grade g = grade(Dataset::kGsm8k, response, answer);
      EXPECT_TRUE(g.correct) << response << " predicted " << g.predicted.value_or("nothing") << " gold " << g.gold;
    }
    EXPECT_TRUE(grade(Dataset::kGsm8k, answer, answer).paper_correct);
    EXPECT_FALSE(grade(Dataset::kGsm8k, "The answer is " + number + "1", answer).correct) << number;
  }
  EXPECT_EQ(rows, 1319);
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
  const std::string nines(100'000, '9'), zeros(100'000, '0');
  EXPECT_TRUE(correct(nines, nines));
  EXPECT_FALSE(correct(nines + "8", nines + "9"));
  EXPECT_TRUE(correct("1" + zeros, "1" + zeros + ".000"));
  EXPECT_TRUE(correct(zeros + "7", "7"));
  EXPECT_TRUE(correct("\\boxed{1e100000}", "1" + zeros));
  EXPECT_FALSE(correct("\\boxed{1e99999999999999999999}", "1"));
  EXPECT_FALSE(correct("\\boxed{" + nines + "/" + nines + "1}", "1"));
  EXPECT_TRUE(correct("\\boxed{" + std::string(900, '3') + "/" + std::string(900, '6') + "}", "0.5"));
  EXPECT_TRUE(correct("\\boxed{1/3}", "0." + std::string(50'000, '3'))) << "to six decimals";
  EXPECT_FALSE(correct("\\boxed{1/3}", "0.333334"));
}

TEST(Gsm8k, Flags) {
  const Grade g = grade(Dataset::kGsm8k, "#### 18", "9*2=18\n#### 18", false);
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

TEST(Datasets, LaterOnesAreRefusedByName) {
  EXPECT_EQ(parse_dataset("exact"), Dataset::kExact);
  EXPECT_EQ(parse_dataset("gsm8k"), Dataset::kGsm8k);
  for (const char* const other : {"math", "theoremqa", "csqa", "GSM8K", ""})
    EXPECT_THROW(parse_dataset(other), UsageError) << other;
  try {
    parse_dataset("math");
  } catch (const UsageError& error) {
    EXPECT_STREQ(error.what(), "--dataset: math cannot be graded by this version, exact or gsm8k was needed");
  }
}

}  // namespace
}  // namespace kvgauge
