// What the two graders released with the papers returned on every case.
#include <gtest/gtest.h>

#include "grade/case_files.h"
#include "grade/released_grader.h"
#include "grade/released_match.h"

namespace kvgauge {
namespace {

using testing::golden_lines;
using testing::text_of;

TEST(ReleasedGraders, KvClassifierOutcomesAreReproduced) {
  const auto cases = golden_lines("grading_cases.jsonl");
  int compared = 0;
  for (const Json& outcome : golden_lines("grading_released_outcomes.jsonl")) {
    const Json& c = cases.at(outcome["line"].get<std::size_t>());
    const Json& released = outcome["kvclassifier"];
    if (released.is_null() || released["pred"].is_null()) continue;
    ++compared;
    EXPECT_EQ(released_answer(text_of(c, "prediction")), text_of(released, "pred")) << c.dump();
    EXPECT_EQ(released_answer(text_of(c, "gold")), text_of(released, "gold")) << c.dump();
    const bool want = released["equal"].get<bool>();
    EXPECT_EQ(released_correct(text_of(c, "prediction"), text_of(c, "gold")), want) << c.dump();
    EXPECT_EQ(grade(testing::dataset_of(c), text_of(c, "prediction"), text_of(c, "gold")).paper_correct, want)
        << c.dump();
  }
  EXPECT_EQ(compared, 84);
}

TEST(ReleasedGraders, MatchOutcomesAreReproduced) {
  const auto cases = golden_lines("grading_cases.jsonl");
  int compared = 0, found = 0;
  for (const Json& outcome : golden_lines("grading_released_outcomes.jsonl")) {
    const Json& c = cases.at(outcome["line"].get<std::size_t>());
    const Json& released = outcome["coe_match"];
    const Dataset dataset = testing::dataset_of(c);
    const std::string prediction = text_of(c, "prediction"), gold = text_of(c, "gold");
    const auto answer = released_match_answer(dataset, prediction, gold, "");
    ++compared;
    EXPECT_EQ(answer.has_value(), !released["pred"].is_null()) << c.dump();
    if (answer && !released["pred"].is_null()) {
      ++found;
      EXPECT_EQ(*answer, text_of(released, "pred")) << c.dump();
    }
    const Grade g = grade(dataset, prediction, gold);
    EXPECT_EQ(g.coe_paper_correct, released["equal"].get<bool>()) << c.dump();
    if (outcome["kvclassifier"].is_null()) {
      EXPECT_EQ(g.paper_correct, released["equal"].get<bool>()) << c.dump();
    }
    EXPECT_FALSE(*grade(dataset, prediction, gold, {.finished = false}).coe_paper_correct);
  }
  EXPECT_EQ(compared, 110);
  EXPECT_GT(found, 70);
}

// METHOD.md H.1: golds of MATH500 cut to their last number, 337 of 500 boxed golds right; an echo of TheoremQA's golds
// scores 757 of 800.
TEST(ReleasedGraders, KnownScoresOfPerfectAnswers) {
  const auto path = testing::shared_path("data/math500_test.jsonl");
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  int boxed = 0, echoed = 0;
  for (const Json& row : testing::json_lines(path))
    boxed += released_correct("\\boxed{" + text_of(row, "answer") + "}", text_of(row, "answer"));
  for (const Json& row : testing::json_lines(testing::shared_path("data/theoremqa.jsonl")))
    echoed += released_match(Dataset::kTheoremqa, "The answer is " + text_of(row, "answer"), text_of(row, "answer"),
                             text_of(row, "answer_type"));
  EXPECT_EQ(boxed, 337);
  EXPECT_EQ(echoed, 757);
}

}  // namespace
}  // namespace kvgauge
