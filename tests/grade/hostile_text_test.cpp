#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "grade/grader.h"
#include "reference/lcg.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

using testing::Lcg;

// Pieces that steer the extraction, between random bytes.
std::string hostile_text(Lcg& lcg) {
  static const std::vector<std::string> kPieces = {
      "\\boxed{", "\\fbox", "}", "{", "\\frac", "\\frac{1}{2}", "####", "#### ", "answer is", "he answer is", "Answer:", "final answer is $", "$. I hope",
      "<think>", "</think>", "<|im_end|>", "1e", "e999999999", "1e-1000000000", "\\times 10^{", "-", "+", ".", ",000", "12", "3/4", " 1/0", "\\", "\\{",
      "\\text{", "\\text{ cm}", "\\sqrt", "j", "inf", "infinity", "=", "x=", "%", "$", "\n", " ", "kmph", " a .", "\xe7\xad\x94\xe6\xa1\x88\xe6\x98\xaf",
      "\xe2\x88\x92", "\xff", "\\begin{array}{", "\\end{array}", "boxed", "and", std::string(1, '\0')};
  std::string text;
  const std::uint64_t parts = (lcg.next() >> 40) % 24;
  for (std::uint64_t i = 0; i < parts; ++i) {
    if ((lcg.next() >> 40) % 4 == 0)
      text += static_cast<char>(lcg.next() >> 56);
    else
      text += kPieces[(lcg.next() >> 40) % kPieces.size()];
  }
  return text;
}

TEST(HostileText, TwentyThousandRandomStringsAreGraded) {
  Lcg lcg(testing::test_seed(41));
  int stated = 0;
  for (int round = 0; round < 20'000; ++round) {
    const std::string response = hostile_text(lcg), gold = hostile_text(lcg);
    for (const Dataset dataset : {Dataset::kExact, Dataset::kGsm8k}) {
      const Grade once = grade(dataset, response, gold), again = grade(dataset, response, gold);
      ASSERT_EQ(once.correct, again.correct);
      ASSERT_EQ(once.predicted, again.predicted);
      ASSERT_TRUE(once.predicted.has_value() || !once.correct);
      stated += once.predicted.has_value();
    }
  }
  EXPECT_GT(stated, 5'000);
}

// Time grows with the length, not with its square: 30 kB of each pattern, about 10^9 steps if it were quadratic.
TEST(HostileText, LongRepetitionsTakeBoundedTime) {
  for (const char* const piece : {"\\boxed{", "\\boxed", "{", "}", "\\frac", "\\frac{", "\\frac{1", "#### ", "#### a ", "#", "answer is ", "answer: ", "answer",
                                  "-", "1", "1/", "1,", ",000", "1e", "1 ", "\\text{", "\\text{}", "\\", "$", "a ", "s ", "inf", "he answer is",
                                  "</think>", "\\sqrt", "=", ".", "1.0", "1 \\times ", "\\begin{array}{", "\xff", "\n", "\\mbox{"}) {
    std::string text;
    while (text.size() < 30'000) text += piece;
    for (const std::string& response : {text, "the answer is " + text, "\\boxed{" + text + "}"}) {
      const auto begin = std::chrono::steady_clock::now();
      grade(Dataset::kGsm8k, response, response);
      grade(Dataset::kExact, response, response);
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
      EXPECT_LT(took.count(), 3) << piece << ": about 0.05 s in a release build; the bound leaves room for sanitizers and a busy machine";
    }
  }
}

}  // namespace
}  // namespace kvgauge
