#include "report/graded_rows.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kvgauge/error.h"

namespace kvgauge {
namespace {

OrderedJson json(const char* text) { return parse_ordered_json(text, "row"); }

TEST(GradedRows, ReadScoresByDottedPath) {
  GradedRows rows;
  rows.add(json(R"({"correct":true,"finish_reason":"stop","usage":{"completion_tokens":7},
                   "scores":{"kv_coe":{"part":"v","valid":true,"paper":{"r":1.5}},"prob":{"nll":null}}})"),
           "f:1");
  rows.add(json(R"({"correct":false,"finish_reason":"length","scores":{"late":2},"group_scores":{"eigenscore":-3}})"),
           "f:2");
  rows.add(json(R"({"error":"no\nprompt"})"), "f:3");
  rows.add(json(R"({"response":{"body":{"kvgauge":{"finish_reason":"stop","usage":{"completion_tokens":3},
                   "scores":{"late":4},"error":null}}},"correct":true})"),
           "f:4");
  rows.finish("f");
  const EvaluationInput& columns = rows.columns();
  EXPECT_EQ(columns.correct, (std::vector<std::uint8_t>{1, 0, 1}));
  EXPECT_EQ(columns.complete, (std::vector<std::uint8_t>{1, 0, 1}));
  EXPECT_EQ(columns.tokens, (std::vector<std::int64_t>{7, -1, 3}));
  EXPECT_EQ(rows.score_names(),
            (std::vector<std::string>{"kv_coe.paper.r", "prob.nll", "late", "group_scores.eigenscore"}));
  EXPECT_EQ(columns.scores[0].second[0], 1.5);
  EXPECT_TRUE(std::isnan(columns.scores[0].second[2])) << "absent: undefined";
  EXPECT_TRUE(std::isnan(columns.scores[2].second[0]));
  EXPECT_EQ(columns.scores[2].second[2], 4);
  EXPECT_EQ(columns.scores[3].second[1], -3);
  EXPECT_EQ(rows.failed(), 1);
  EXPECT_EQ(rows.first_error().find('\n'), std::string::npos) << rows.first_error();
  EXPECT_TRUE(rows.selection().empty());
}

TEST(GradedRows, ReadCandidates) {
  GradedRows rows;
  rows.add(
      json(R"({"correct":true,"finish_reason":"stop","usage":{"completion_tokens":50},"selected":1,"select":"majority",
                   "scores":{"s":2},"candidates":[
                     {"text":"a","finish_reason":"stop","usage":{"completion_tokens":20},"scores":{"s":1},"predicted":"3","correct":false},
                     {"text":"b","finish_reason":"stop","usage":{"completion_tokens":30},"scores":{"s":2},"predicted":"4","correct":true}]})"),
      "f:1");
  rows.finish("f");
  EXPECT_EQ(rows.columns().tokens.front(), 30) << "those of the answer that was kept, not of all";
  const SelectionResult result = rows.selection().result(rows.score_names(), {});
  ASSERT_EQ(result.selectors.size(), 6u);
  EXPECT_EQ(result.selectors[4].name, "as run");
  EXPECT_EQ(result.selectors[4].accuracy, 1);
  EXPECT_EQ(result.selectors[5].name, "s");
  EXPECT_EQ(result.selectors[5].accuracy, 1);
  EXPECT_EQ(result.mean_tokens_sampled, 50);
  GradedRows ungraded;
  ungraded.add(json(R"({"correct":true,"candidates":[{"correct":true},{"text":"x"}]})"), "f:1");
  ungraded.finish("f");
  EXPECT_TRUE(ungraded.selection().empty());
  EXPECT_EQ(ungraded.ungraded_candidates(), 1);
}

TEST(GradedRows, EqualAnswersVoteTogetherWhereAGraderIsNamed) {
  const OrderedJson row = json(R"({"correct":true,"candidates":[
      {"predicted":"3","correct":false},{"predicted":"3","correct":false},
      {"predicted":"1/2","correct":true},{"predicted":"0.5","correct":true},{"predicted":"2/4","correct":true}]})");
  for (const bool named : {false, true}) {
    GradedRows rows(named ? GradedRowsOptions{.dataset = Dataset::kExact} : GradedRowsOptions{});
    rows.add(row, "f:1");
    rows.finish("f");
    EXPECT_EQ(rows.selection().result({}, {}).selectors[2].accuracy, named ? 1 : 0) << "majority";
  }
}

TEST(GradedRows, ReadTheLabelThatIsNamed) {
  const OrderedJson row = json(R"({"correct":true,"paper_correct":false,"scores":{"a":1}})");
  GradedRows ours, released({.label = "paper_correct"}), other({.label = "judged"});
  ours.add(row, "f:1");
  released.add(row, "f:1");
  EXPECT_EQ(ours.columns().correct.front(), 1);
  EXPECT_EQ(released.columns().correct.front(), 0);
  EXPECT_EQ(ours.released_graded(), 1);
  EXPECT_EQ(ours.released_correct(), 0);
  EXPECT_THROW(other.add(row, "f:1"), FormatError);
}

TEST(GradedRows, KeepTheFirstTrajectoryOfEachLabel) {
  GradedRows rows;
  const char* const kRow =
      R"({"id":"%","correct":true,"scores":{"kv_coe":{"dr":[1,2,3,4],"dtheta":[0.1,0.2,0.3,0.4]}}})";
  rows.add(json(R"({"id":1,"correct":true,"scores":{"kv_coe":{"dr":[1,2,3],"dtheta":[1,2,3]}}})"), "f:1");
  rows.add(json(R"({"id":2,"correct":true,"scores":{"kv_coe":{"dr":[1,2,null,4],"dtheta":[1,2,3,4]}}})"), "f:2");
  rows.add(json(kRow), "f:3");
  rows.add(json(R"({"id":4,"correct":true,"scores":{"kv_coe":{"dr":[9,9,9,9],"dtheta":[1,2,3,4]}}})"), "f:4");
  rows.finish("f");
  ASSERT_TRUE(rows.example(true));
  EXPECT_EQ(rows.example(true)->id, "%");
  EXPECT_EQ(rows.example(true)->dr.back(), 4);
  EXPECT_FALSE(rows.example(false));
}

TEST(GradedRows, ReadOnlyWhatIsWantedAndSayWhatIsMissing) {
  GradedRows rows({.wanted = {"b.c"}});
  rows.add(json(R"({"correct":true,"scores":{"a":1,"b":{"c":2}}})"), "f:1");
  rows.finish("f");
  EXPECT_EQ(rows.score_names(), std::vector<std::string>{"b.c"});
  GradedRows missing({.wanted = {"b.x"}});
  missing.add(json(R"({"correct":true,"scores":{"a":1}})"), "f:1");
  EXPECT_THROW(missing.finish("f"), UsageError);
  EXPECT_THROW(GradedRows().finish("f"), InputError);
  GradedRows rows_without;
  EXPECT_THROW(rows_without.add(json(R"({"text":"x"})"), "f:1"), FormatError);
  EXPECT_THROW(rows_without.add(json(R"({"correct":1})"), "f:1"), FormatError);
}

// Whatever stands where we look: it is not there, or it is refused.
TEST(GradedRows, OddTypesAreNoNumbers) {
  GradedRows rows;
  for (const char* const text :
       {R"({"correct":true,"finish_reason":7,"usage":[],"scores":[1],"candidates":{},"group_scores":"x"})",
        R"({"correct":true,"usage":{"completion_tokens":18446744073709551615},"scores":{"a":"1","b":[2],"":3}})",
        R"({"correct":true,"usage":{"completion_tokens":-5},"candidates":[1,null,{}],"selected":"0"})",
        R"({"correct":true,"candidates":[{"correct":true}],"selected":99})",
        R"({"correct":true,"scores":{"a":1e308,"b":-1e400}})"})
    try {
      rows.add(json(text), "f:1");
    } catch (const FormatError&) {  // a number that no double can hold is no JSON of ours
    }
  rows.finish("f");
  for (const std::int64_t tokens : rows.columns().tokens) EXPECT_EQ(tokens, -1);
  std::string deep = "1";
  for (int i = 0; i < 100; ++i) deep = R"({"x":)" + deep + "}";
  rows.add(json((R"({"correct":true,"scores":)" + deep + "}").c_str()), "f:9");
}

}  // namespace
}  // namespace kvgauge
