// When two answers say the same, over every kind of answer.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/cat.h"
#include "grade/case_files.h"
#include "grade/compare.h"
#include "reference/lcg.h"

namespace kvgauge {
namespace {

TEST(Equivalence, EveryPairOfTheTableInBothOrders) {
  int equal = 0, different = 0;
  for (const testing::AnswerPair& pair : testing::answer_pairs()) {
    EXPECT_EQ(math::same_answer(pair.a, pair.b), pair.are_equal) << pair.a << "   and   " << pair.b;
    EXPECT_EQ(math::same_answer(pair.b, pair.a), pair.are_equal) << pair.b << "   and   " << pair.a;
    ++(pair.are_equal ? equal : different);
  }
  EXPECT_GT(equal, 700);
  EXPECT_GT(different, 190);
}

TEST(Equivalence, EveryAnswerOfTheTableEqualsItself) {
  for (const testing::AnswerPair& pair : testing::answer_pairs())
    for (const std::string& answer : {pair.a, pair.b}) {
      EXPECT_TRUE(math::same_answer(answer, answer)) << answer;
      EXPECT_TRUE(math::same_answer(answer, cat(" $", answer, " $"))) << answer;
    }
}

// In a box of a response; answers with unbalanced braces have no box.
TEST(Equivalence, TheTableInBoxes) {
  for (const testing::AnswerPair& pair : testing::answer_pairs()) {
    if (std::count(pair.a.begin(), pair.a.end(), '{') != std::count(pair.a.begin(), pair.a.end(), '}')) continue;
    const Grade g = grade(Dataset::kMath, cat("Thus it is $\\boxed{", pair.a, "}$, as 1 + 1 = 2."), pair.b);
    EXPECT_EQ(g.correct, pair.are_equal) << pair.a << "   and   " << pair.b << ", predicted "
                                         << g.predicted.value_or("nothing");
  }
}

TEST(Equivalence, NothingEqualsNothing) {
  for (const char* const nothing : {"", " ", "$", "$$", ".", "\\left\\right", "\\,"})
    for (const char* const other : {"", " ", "0", "x", "\\emptyset"})
      EXPECT_FALSE(math::same_answer(nothing, other)) << nothing << '|' << other;
}

// Random polynomials in two variables, written in three ways, against a changed one: Horner in x, expanded in another
// order, and with a factor taken out.
TEST(Equivalence, PolynomialsInAnyForm) {
  testing::Lcg random(testing::test_seed(17));
  const auto draw = [&](int low, int high) {
    return low + static_cast<int>((random.next() >> 33) % static_cast<std::uint64_t>(high - low + 1));
  };
  for (int round = 0; round < 200; ++round) {
    const int a = draw(-9, 9), b = draw(-9, 9), c = draw(1, 9), d = draw(2, 7);
    const std::string horner = cat("((", a, "x+", b, "y)x+", c, ")\\cdot ", d),
                      expanded = cat(c * d, "+", b * d, "xy", a < 0 ? "-" : "+", std::abs(a) * d, "x^{2}"),
                      fraction = cat("\\frac{", 2 * a * d, "x^2+", 2 * b * d, "yx+", 2 * c * d, "}{2}"),
                      changed = cat(c * d, "+", b * d, "xy+", a * d + 1, "x^{2}");
    EXPECT_TRUE(math::same_answer(horner, expanded)) << horner << ' ' << expanded;
    EXPECT_TRUE(math::same_answer(horner, fraction)) << horner << ' ' << fraction;
    EXPECT_FALSE(math::same_answer(horner, changed)) << horner << ' ' << changed;
  }
}

}  // namespace
}  // namespace kvgauge
