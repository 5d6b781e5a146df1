// Any bytes are graded: no crash, no hang, bounded work.
#include <gtest/gtest.h>

#include <ctime>
#include <string>
#include <vector>

#include "core/cat.h"
#include "grade/compare_number.h"
#include "grade/grader.h"
#include "grade/parser.h"
#include "grade/rewrite.h"
#include "reference/lcg.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

using testing::Lcg;

constexpr Dataset kAll[] = {Dataset::kExact, Dataset::kGsm8k, Dataset::kMath, Dataset::kTheoremqa, Dataset::kCsqa};

// Pieces that steer extraction, parsing and evaluation, between random bytes.
const std::vector<std::string>& pieces() {
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
                                                   "\\}",
                                                   "\\text{",
                                                   "\\text{ cm}",
                                                   "\\sqrt",
                                                   "\\sqrt[3]",
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
                                                   std::string(1, '\0'),
                                                   "^",
                                                   "_",
                                                   "^{",
                                                   "_{",
                                                   "(",
                                                   ")",
                                                   "[",
                                                   "]",
                                                   "|",
                                                   "!",
                                                   "!!",
                                                   "\\binom",
                                                   "\\log_",
                                                   "\\sin",
                                                   "\\ln 0",
                                                   "\\infty",
                                                   "\\pi",
                                                   "i",
                                                   "e",
                                                   "x",
                                                   "y",
                                                   "\\pm",
                                                   "\\mp",
                                                   "\\cup",
                                                   "\\setminus",
                                                   "\\in",
                                                   "\\le",
                                                   "<",
                                                   ">",
                                                   "\\ne",
                                                   "\\approx",
                                                   ":",
                                                   ";",
                                                   ",",
                                                   "or",
                                                   "\\begin{pmatrix}",
                                                   "\\end{pmatrix}",
                                                   "&",
                                                   "\\\\",
                                                   "\\left",
                                                   "\\right",
                                                   "\\circ",
                                                   "^\\circ",
                                                   "\\mathbb{R}",
                                                   "\\emptyset",
                                                   "\\overline{",
                                                   "0.\\overline{3}",
                                                   "0.333...",
                                                   "9^{9^{9^9}}",
                                                   "100000!",
                                                   "0^0",
                                                   "0/0",
                                                   "\\lfloor",
                                                   "\\rfloor",
                                                   "\\pmod",
                                                   "_8",
                                                   "True",
                                                   "[1, 2]",
                                                   "(b)",
                                                   "\xc2\xb2",
                                                   "\xe2\x88\x9a",
                                                   "\xc2\xbd"};
  return kPieces;
}

std::string hostile_text(Lcg& lcg) {
  std::string text;
  const std::uint64_t parts = (lcg.next() >> 40) % 24;
  for (std::uint64_t i = 0; i < parts; ++i) {
    if ((lcg.next() >> 40) % 6 == 0)
      text += static_cast<char>(lcg.next() >> 56);
    else
      text += pieces()[(lcg.next() >> 40) % pieces().size()];
  }
  return text;
}

TEST(HostileText, AHundredThousandRandomStringsAreGraded) {
  Lcg lcg(testing::test_seed(41));
  int stated = 0, correct = 0;
  for (int round = 0; round < 100'000; ++round) {
    const std::string gold = hostile_text(lcg), answer = hostile_text(lcg);
    const std::string response = round % 2 == 0 ? cat("\\boxed{", answer, "}") : answer;
    const Dataset dataset = kAll[round % 5];
    const Grade g = grade(dataset, response, gold);
    ASSERT_TRUE(g.predicted.has_value() || !g.correct);
    stated += g.predicted.has_value();
    correct += g.correct;
    if (const auto predicted = extract_answer(dataset, response); predicted && round % 7 == 0) {
      ASSERT_EQ(equivalent(dataset, *predicted, gold), equivalent(dataset, gold, *predicted))
          << *predicted << " and " << gold;
    }
  }
  EXPECT_GT(stated, 40'000);
  EXPECT_LT(correct, 2'000) << "random texts hardly ever agree";
}

// The work on an answer is counted, not timed: evaluating any text under a fresh budget never exceeds it by more than
// the last step.
TEST(HostileText, EvaluationStaysWithinItsBudget) {
  Lcg lcg(testing::test_seed(42));
  std::vector<std::string> texts = {"9^{9^{9^{9}}}",
                                    "(((9!)!)!)!",
                                    "2000!",
                                    "\\binom{4000}{2000}",
                                    "\\binom{10^{15}}{2000}",
                                    "1999!+1998!+1997!",
                                    std::string(900'000, '7')};
  std::string tower = "x", sums = "x", factorials = "2000!";
  for (int i = 0; i < 40; ++i) tower = cat("(", tower, ")^{1000000}");
  for (int i = 0; i < 400; ++i) sums += "+x^{99}", factorials += "+2000!";
  texts.insert(texts.end(), {tower, sums, factorials});
  for (int round = 0; round < 5'000; ++round) texts.push_back(hostile_text(lcg));
  for (const std::string& text : texts) {
    const auto tree = math::parse(text);
    if (!tree) continue;
    math::Budget budget;
    const math::Expr e = math::rewritten(*tree);
    math::same_number(e, e, budget);
    EXPECT_GT(budget.steps, -40'000) << text.substr(0, 60);
  }
}

TEST(HostileText, ExtremeNumbersAreNoTrouble) {
  const auto correct = [](const std::string& answer, const std::string& gold) {
    return grade(Dataset::kMath, "\\boxed{" + answer + "}", gold).correct;
  };
  EXPECT_FALSE(correct("9^{9^{9^9}}", "9^{9^{9^8}}"));
  EXPECT_FALSE(correct("1e999999999", "1e999999998"));
  EXPECT_TRUE(correct("1e999999999", "10e999999998"));
  EXPECT_FALSE(correct("1e-999999999", "0"));
  EXPECT_FALSE(correct("1e99999999999999999999", "1e99999999999999999998"));
  EXPECT_FALSE(correct("10000000!", "1"));
  EXPECT_FALSE(correct("\\frac{0}{0}", "0"));
  EXPECT_FALSE(correct("\\frac{1}{0}", "\\infty"));
  EXPECT_FALSE(correct("\\infty-\\infty", "0"));
  EXPECT_FALSE(correct("0\\cdot\\infty", "0"));
  EXPECT_FALSE(correct("\\ln 0", "-\\infty"));
  EXPECT_FALSE(correct("nan", "0"));
  EXPECT_FALSE(correct("\\tan 90^\\circ", "0"));
  EXPECT_TRUE(correct("-0.0", "0"));
  EXPECT_TRUE(correct("(-1)^{1000001}", "-1"));
  EXPECT_FALSE(correct(std::string(1'000, '(') + "1" + std::string(1'000, ')'), "1")) << "deeper than any answer";
  EXPECT_TRUE(correct(std::string(20, '(') + "1" + std::string(20, ')'), "1"));
  EXPECT_FALSE(correct(std::string(100'000, '{') + std::string(100'000, '}'), "1"));
}

double cpu_seconds(const std::string& response) {
  const std::clock_t begin = std::clock();
  for (const Dataset dataset : kAll) grade(dataset, response, response);
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

// Four times the length may cost four times the processor time, sixteen would be quadratic. Below 20 ms nothing is told
// apart, and a disturbed measurement is repeated.
TEST(HostileText, TimeGrowsWithTheLengthOfRepetitions) {
  std::vector<std::string> repeated = pieces();
  for (const char* const more : {"\\boxed", "\\frac{",    "\\frac{1",      "#### a ", "#",   "answer: ", "answer",
                                 "1,",      "1 ",         "\\text{}",      "a ",      "s ",  "1.0",      "1 \\times ",
                                 "\\mbox{", "\\text{a} ", "\\overline{x}", "x_{1}",   "x_",  "\\sqrt{",  "|x",
                                 "\\left(", "aaaa. ",     "$a$ ",          "\\[",     "\\(", "ab "})
    repeated.push_back(more);
  for (const std::string& piece : repeated) {
    std::string part, whole;
    while (part.size() < 6'000) part += piece;
    while (whole.size() < 24'000) whole += piece;
    for (const char* const start : {"", "the answer is ", "\\boxed{"}) {
      for (const char* const end : {"", "}"}) {
        if (*end && *start != '\\') continue;
        bool is_bounded = false;
        for (int attempt = 0; attempt < 3 && !is_bounded; ++attempt)
          is_bounded = cpu_seconds(start + whole + end) < 9 * cpu_seconds(start + part + end) + 0.02;
        EXPECT_TRUE(is_bounded) << start << piece;
      }
    }
  }
}

}  // namespace
}  // namespace kvgauge
