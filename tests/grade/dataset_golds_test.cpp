// The golds of the four datasets: each equals itself however it is stated, and hardly any equals another.
#include <gtest/gtest.h>

#include <set>

#include "core/cat.h"
#include "grade/case_files.h"
#include "grade/plain_text.h"

namespace kvgauge {
namespace {

using testing::text_of;

struct Gold {
  std::string gold, stated, answer_type;
};

// Empty if the shared data are not there.
std::vector<Gold> golds(const char* file, Dataset dataset) {
  std::vector<Gold> out;
  const auto path = testing::shared_path(std::string("data/") + file);
  if (!std::filesystem::exists(path)) return out;
  for (const Json& row : testing::json_lines(path)) {
    const std::string gold = text_of(row, "answer");
    const std::size_t hashes = gold.rfind("#### ");
    out.push_back({gold, dataset == Dataset::kGsm8k ? gold.substr(hashes + 5) : gold, row.value("answer_type", "")});
  }
  return out;
}

void expect_each_equals_itself(const char* file, Dataset dataset, std::size_t rows) {
  const auto all = golds(file, dataset);
  if (all.empty()) GTEST_SKIP() << "no shared data/" << file;
  EXPECT_EQ(all.size(), rows);
  for (const Gold& g : all)
    for (const std::string& response :
         {cat("Thus $\\boxed{", g.stated, "}$, as 1 + 1 = 2 shows."), cat("So, 2 + 3. The answer is ", g.stated, "."),
          cat("2 + 3 = 5\n#### ", g.stated), cat("Answer: ", g.stated)}) {
      const Grade graded = grade(dataset, response, g.gold, {.answer_type = g.answer_type});
      EXPECT_TRUE(graded.correct) << response << " predicted " << graded.predicted.value_or("nothing") << " gold "
                                  << graded.gold;
      EXPECT_TRUE(grade(dataset, response, g.gold).correct) << response << ", without its type";
    }
}

TEST(DatasetGolds, EachOfGsm8kEqualsItself) { expect_each_equals_itself("gsm8k_test.jsonl", Dataset::kGsm8k, 1319); }
TEST(DatasetGolds, EachOfMathEqualsItself) { expect_each_equals_itself("math500_test.jsonl", Dataset::kMath, 500); }
TEST(DatasetGolds, EachOfTheoremqaEqualsItself) {
  expect_each_equals_itself("theoremqa.jsonl", Dataset::kTheoremqa, 800);
}
TEST(DatasetGolds, EachOfCsqaEqualsItself) { expect_each_equals_itself("commonsenseqa.jsonl", Dataset::kCsqa, 1221); }

TEST(DatasetGolds, MathGoldsMayBeSolutions) {
  const auto path = testing::shared_path("data/math500_test.jsonl");
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  for (const Json& row : testing::json_lines(path))
    EXPECT_TRUE(grade(Dataset::kMath, "\\boxed{" + text_of(row, "answer") + "}", text_of(row, "solution")).correct)
        << text_of(row, "answer");
}

// Pairs of different golds that the grader calls equal, by their compact texts. Those of the reviewed list say the
// same.
void expect_others_differ(const char* file, Dataset dataset, const std::set<std::string>& reviewed) {
  const auto all = golds(file, dataset);
  if (all.empty()) GTEST_SKIP() << "no shared data/" << file;
  std::set<std::string> distinct;
  for (const Gold& g : all) distinct.insert(math::compact(g.stated));
  int pairs = 0;
  for (auto a = distinct.begin(); a != distinct.end(); ++a)
    for (auto b = std::next(a); b != distinct.end(); ++b, ++pairs) {
      const bool are_equal = grade(dataset, cat("\\boxed{", *a, "}"), *b, {.tolerance = 0}).correct;
      if (!are_equal || *b == *a + ".0") continue;
      EXPECT_TRUE(reviewed.count(*a + " and " + *b)) << *a << " and " << *b;
    }
  EXPECT_GT(pairs, 0);
}

TEST(DatasetGolds, DifferentOnesOfGsm8kDiffer) {
  expect_others_differ("gsm8k_test.jsonl", Dataset::kGsm8k, {"14,000 and 14000", "5,600 and 5600"});
}

TEST(DatasetGolds, DifferentOnesOfMathDiffer) {
  expect_others_differ("math500_test.jsonl", Dataset::kMath,
                       {"(-2,1) and -2,1", "-2,1 and 1,-2", "10,080 and 10080", "120 and 120^\\circ", "15 and 15 cm^2",
                        "180^\\circ and \\pi", "30 and 30^\\circ", "36 and 36^\\circ", "5 and x=5", "90 and 90^\\circ",
                        "\\frac 14 and \\frac{1}{4}"});
}

TEST(DatasetGolds, DifferentOnesOfTheoremqaDiffer) {
  expect_others_differ("theoremqa.jsonl", Dataset::kTheoremqa, {"3 and [3]", "3.0 and [3]"});
}

}  // namespace
}  // namespace kvgauge
