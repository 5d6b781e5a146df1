#include <gtest/gtest.h>

#include <cmath>

#include "core/json.h"
#include "reference/lcg.h"
#include "reference/output_scores.h"
#include "score/scores.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

using testing::Lcg;

struct Variant {
  const char* golden;
  double ProbScores::*field;
};
constexpr Variant kVariants[] = {{"maxprob_official", &ProbScores::maxprob_official},
                                 {"ppl_official", &ProbScores::ppl_official},
                                 {"entropy_official_bits", &ProbScores::entropy_official},
                                 {"nll_sampled", &ProbScores::nll},
                                 {"perplexity_sampled", &ProbScores::perplexity},
                                 {"seq_logprob", &ProbScores::seq_logprob},
                                 {"entropy_nats", &ProbScores::entropy_nats},
                                 {"min_prob_sampled", &ProbScores::min_prob},
                                 {"margin", &ProbScores::margin},
                                 {"self_certainty", &ProbScores::self_certainty}};

void expect_scores(const ProbScores& got, const Json& golden, const std::string& what) {
  for (const Variant& variant : kVariants) {
    const double want = golden[variant.golden].get<double>();
    EXPECT_NEAR(got.*variant.field, want, 1e-12 * std::max(1.0, std::abs(want))) << what << ' ' << variant.golden;
  }
}

TEST(OutputScoresGolden, ProductAndReferenceAgree) {
  const Json golden =
      parse_json(testing::read_file(testing::repo_path("tests/golden/output_scores.json")), "output_scores.json");
  ASSERT_EQ(golden["cases"].size(), 5u);
  for (const Json& c : golden["cases"]) {
    const std::size_t tokens = c["T"], vocab = c["V"];
    Lcg lcg(c["seed"].get<std::uint64_t>());
    const auto logits = lcg.values(tokens * vocab, &Lcg::f24, c["scale"].get<double>());
    for (const bool greedy : {false, true}) {
      const auto chosen = c[greedy ? "greedy" : "chosen"].get<std::vector<std::size_t>>();
      const Json& want = c[greedy ? "greedy_scores" : "sampled"];
      std::vector<TokenLogitStats> stats;
      for (std::size_t t = 0; t < tokens; ++t)
        stats.push_back(testing::reference_logit_stats(std::span(logits).subspan(t * vocab, vocab), chosen[t]));
      const std::string what = "seed " + c["seed"].dump() + (greedy ? " greedy" : " sampled");
      expect_scores(prob_scores(stats, static_cast<std::int64_t>(vocab)), want, what);
      expect_scores(testing::reference_output_scores(logits, chosen, vocab), want, what + " (reference)");
    }
  }
}

TEST(ProbScores, EmptyIsUndefinedThroughout) {
  const ProbScores s = prob_scores({}, 100);
  EXPECT_EQ(s.tokens, 0);
  for (const Variant& variant : kVariants) EXPECT_TRUE(std::isnan(s.*variant.field)) << variant.golden;
}

TEST(ProbScores, AnImpossibleTokenLeavesTheOthersDefined) {
  const TokenLogitStats sure{
      .max_prob = 1, .max_logprob = 0, .second_prob = 0, .entropy = 0, .chosen_logprob = -INFINITY, .mean_logprob = 0};
  const std::vector<TokenLogitStats> tokens = {sure};
  const ProbScores s = prob_scores(tokens, 1);
  EXPECT_EQ(s.maxprob_official, 1);
  EXPECT_EQ(s.entropy_official, 0);
  EXPECT_EQ(s.min_prob, 0);
  EXPECT_TRUE(std::isnan(s.nll));
  EXPECT_TRUE(std::isnan(s.perplexity));
  EXPECT_TRUE(std::isnan(s.seq_logprob));
}

}  // namespace
}  // namespace kvgauge
