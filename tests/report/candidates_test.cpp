#include "report/candidates.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "report/output_row.h"

namespace kvgauge {
namespace {

using Texts = std::vector<std::string>;

Finished finished(const Texts& texts, const std::vector<double>& nll = {}) {
  Finished done;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    Answer answer;
    answer.text = texts[i];
    answer.tokens.assign(i + 1, 1);
    answer.prob = ProbScores{.tokens = 3, .nll = nll.empty() ? 1.0 : nll[i], .seq_logprob = nll.empty() ? -1 : -nll[i]};
    answer.coe.emplace();
    done.answers.push_back(answer);
  }
  return done;
}

OrderedJson group_scores_of(const Finished& done, const CandidateFormat& format) {
  return group_scores_json(done, format, cluster_answers(done, format));
}

TEST(Clusters, AreAnswersTheGraderHoldsEqual) {
  const Texts texts = {"so #### 14", "The answer is 14.", "#### 15", "#### 14.0",
                       "no idea",    "no idea",           "none",    "#### 15"};
  const AnswerClusters clusters = cluster_answers(texts, Dataset::kGsm8k);
  EXPECT_EQ(clusters.of, (std::vector<std::int32_t>{0, 0, 1, 0, 2, 2, 3, 1}));
  EXPECT_EQ(clusters.states_answer, (std::vector<bool>{true, true, false, false}));
  EXPECT_EQ(majority_choice(clusters), 0);
}

TEST(Majority, IsTheFirstAnswerOfTheLargestClusterThatStatesOne) {
  const auto choice = [](const Texts& texts) { return majority_choice(cluster_answers(texts, Dataset::kGsm8k)); };
  EXPECT_EQ(choice({"#### 1", "#### 2", "#### 2"}), 1);
  EXPECT_EQ(choice({"#### 1", "#### 2"}), 0) << "of equal ones the first";
  EXPECT_EQ(choice({"x", "x", "x", "#### 2"}), 3) << "what states no answer casts no vote";
  EXPECT_EQ(choice({"x", "y"}), 0);
}

TEST(BestChoice, KnowsTheOrientationAndNeverTakesNaNOverANumber) {
  const double nan = kUndefined;
  EXPECT_EQ(best_choice(std::vector<double>{1, 3, 2, 3}, "kv_coe.normalized.c"), 1);
  EXPECT_EQ(best_choice(std::vector<double>{2, 1, 3}, "prob.nll"), 1) << "an uncertainty: the lowest";
  EXPECT_EQ(best_choice(std::vector<double>{nan, -5, nan}, "kv_coe.normalized.c"), 1);
  EXPECT_EQ(best_choice(std::vector<double>{nan, nan}, "prob.nll"), 0);
}

TEST(ScorePaths, AreTheNumbersThatRowsHave) {
  const std::vector<std::string> paths = score_paths({.kv_coe = true, .keep_trajectory = true, .coe = true});
  const auto has = [&](const char* path) { return std::find(paths.begin(), paths.end(), path) != paths.end(); };
  for (const char* const path :
       {"kv_coe.paper.r", "kv_coe.polar_raw.c", "kv_coe.end_dtheta", "coe.official.r", "coe.response.c"})
    EXPECT_TRUE(has(path)) << path;
  for (const char* const path : {"kv_coe", "kv_coe.valid", "kv_coe.tokens", "kv_coe.dr", "kv_coe.part", "prob.nll"})
    EXPECT_FALSE(has(path)) << path;
  EXPECT_TRUE(score_paths({}).empty());
  const OrderedJson scores = OrderedJson::parse(R"({"a":{"b":2,"c":null,"d":"x"}})");
  EXPECT_EQ(score_at(scores, "a.b"), 2);
  for (const char* const path : {"a", "a.c", "a.d", "a.b.c", "x.b", ""})
    EXPECT_TRUE(std::isnan(score_at(scores, path))) << path;
}

TEST(CandidatesOfARow, TheSelectedOneIsTheRow) {
  const InputRow row;
  const Finished done = finished({"t0", "t1", "t2"}, {3, 1, 2});
  OutputFormat format;  // filled member by member: gcc 12 takes a designated one for uninitialised
  format.scores.prob = format.scores.coe = true;
  format.token_ids = true;
  format.candidates.select = "prob.nll";
  const OrderedJson json = output_row(row, done, {9}, format);
  EXPECT_EQ(json["text"], "t1");
  EXPECT_EQ(json["selected"], 1);
  EXPECT_EQ(json["select"], "prob.nll");
  EXPECT_EQ(json["output_ids"].size(), 2u);
  EXPECT_EQ(json["scores"], json["candidates"][1]["scores"]);
  EXPECT_EQ(json["scores"]["prob"]["nll"], 1);
  EXPECT_TRUE(json["scores"]["coe"]["official"]["r"].is_null());
  ASSERT_EQ(json["candidates"].size(), 3u);
  EXPECT_EQ(json["candidates"][2]["usage"]["completion_tokens"], 3);
  EXPECT_EQ(json["usage"]["completion_tokens"], 6);
  InputRow scored;
  scored.selected = 2;  // what an earlier run selected stays selected
  format.candidates.select.clear();
  EXPECT_EQ(output_row(scored, done, {9}, format)["selected"], 2);
}

TEST(GroupScores, AreOfSeveralAnswersOnly) {
  const CandidateFormat format{.dataset = Dataset::kGsm8k, .semantic_entropy = true};
  EXPECT_TRUE(group_scores_of(finished({"#### 1"}), format).empty());
  Finished done = finished({"#### 1", "#### 1.0", "#### 2", "#### 1"});
  done.eigenscore = EigenScores{.hidden = 0.5, .kv = kUndefined};
  const OrderedJson json = group_scores_of(done, format);
  EXPECT_EQ(json["eigenscore"], 0.5);
  EXPECT_TRUE(json["eigenscore_kv"].is_null());
  EXPECT_EQ(json["majority"], 0.75);
  EXPECT_EQ(json["semantic_entropy_clusters"], 2);
  EXPECT_NEAR(json["semantic_entropy"].get<double>(), -(0.75 * std::log(3) + 0 - 1), 1e-14);
  EXPECT_EQ(group_scores_of(done, {}).size(), 2u);
}

}  // namespace
}  // namespace kvgauge
