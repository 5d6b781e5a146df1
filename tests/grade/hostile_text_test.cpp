#include <gtest/gtest.h>

#include <ctime>
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
  static const std::vector<std::string> kPieces = {"\\boxed{",
                                                   "\\fbox",
                                                   "}",
                                                   "{",
                                                   "\\frac",
                                                   "\\frac{1}{2}",
                                                   "####",
                                                   "#### ",
                                                   "answer is",
                                                   "he answer is",
                                                   "Answer:",
                                                   "final answer is $",
                                                   "$. I hope",
                                                   "<think>",
                                                   "</think>",
                                                   "<|im_end|>",
                                                   "1e",
                                                   "e999999999",
                                                   "1e-1000000000",
                                                   "\\times 10^{",
                                                   "-",
                                                   "+",
                                                   ".",
                                                   ",000",
                                                   "12",
                                                   "3/4",
                                                   " 1/0",
                                                   "\\",
                                                   "\\{",
                                                   "\\text{",
                                                   "\\text{ cm}",
                                                   "\\sqrt",
                                                   "j",
                                                   "inf",
                                                   "infinity",
                                                   "=",
                                                   "x=",
                                                   "%",
                                                   "$",
                                                   "\n",
                                                   " ",
                                                   "kmph",
                                                   " a .",
                                                   "\xe7\xad\x94\xe6\xa1\x88\xe6\x98\xaf",
                                                   "\xe2\x88\x92",
                                                   "\xff",
                                                   "\\begin{array}{",
                                                   "\\end{array}",
                                                   "boxed",
                                                   "and",
                                                   std::string(1, '\0')};
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
      const Grade once = grade(dataset, response, gold);
      ASSERT_TRUE(once.predicted.has_value() || !once.correct);
      stated += once.predicted.has_value();
    }
  }
  EXPECT_GT(stated, 5'000);
}

double cpu_seconds(const std::string& response) {
  const std::clock_t begin = std::clock();
  grade(Dataset::kGsm8k, response, response);
  grade(Dataset::kExact, response, response);
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

// Four times the length may cost four times the processor time, sixteen would be quadratic. Below 20 ms nothing is told
// apart, and a disturbed measurement is repeated.
TEST(HostileText, TimeGrowsWithTheLengthOfRepetitions) {
  for (const char* const piece :
       {"\\boxed{", "\\boxed", "{",      "}",          "\\frac",   "\\frac{",    "\\frac{1",
        "#### ",    "#### a ", "#",      "answer is ", "answer: ", "answer",     "-",
        "1",        "1/",      "1,",     ",000",       "1e",       "1 ",         "\\text{",
        "\\text{}", "\\",      "$",      "a ",         "s ",       "inf",        "he answer is",
        "</think>", "\\sqrt",  "=",      ".",          "1.0",      "1 \\times ", "\\begin{array}{",
        "\xff",     "\n",      "\\mbox{"}) {
    std::string part, whole;
    while (part.size() < 6'000) part += piece;
    while (whole.size() < 24'000) whole += piece;
    for (const char* const start : {"", "the answer is ", "\\boxed{"}) {
      bool is_bounded = false;
      for (int attempt = 0; attempt < 3 && !is_bounded; ++attempt)
        is_bounded = cpu_seconds(start + whole) < 9 * cpu_seconds(start + part) + 0.02;
      EXPECT_TRUE(is_bounded) << start << piece;
    }
  }
}

}  // namespace
}  // namespace kvgauge
