// Scores of hidden states against a decoder in double: CoE over layers and EigenScore, whatever the engine does around
// them.
#include <gtest/gtest.h>

#include <cmath>

#include "core/cat.h"
#include "kvgauge/engine.h"
#include "loader/model_files.h"
#include "reference/decoder.h"
#include "reference/kv_coe.h"
#include "score/eigenscore.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

using testing::ReferenceDecoder;
using testing::ReferenceState;
using testing::States;

constexpr double kRelative = 1e-4;  // of the issue: f32 against double, three layers

EngineOptions options_for(const std::string& model) {
  EngineOptions options;
  options.model = testing::repo_path("tests/golden/models/" + model);
  options.dtype = "f32";
  options.threads = 1;
  return options;
}

std::vector<std::int32_t> tokens(std::int64_t count, std::int64_t salt) {
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < count; ++i) ids.push_back(static_cast<std::int32_t>((i * 37 + salt * 11 + 5) % 270));
  return ids;
}

std::vector<Finished> run_all(Engine& engine, const std::vector<Request>& requests) {
  std::vector<Finished> finished(requests.size());
  for (const Request& request : requests) engine.submit(request);
  while (engine.step())
    while (auto done = engine.next_finished()) finished[static_cast<std::size_t>(done->request)] = std::move(*done);
  while (auto done = engine.next_finished()) finished[static_cast<std::size_t>(done->request)] = std::move(*done);
  return finished;
}

// Normalised R and C over the means of every state at `positions`, straight from METHOD.md B.
CoePair reference_coe(const ReferenceState& state, const std::vector<std::int64_t>& positions, std::int64_t hidden) {
  if (positions.empty()) return {};
  States means;
  for (const std::vector<double>& layer : state.hidden) {
    means.emplace_back(static_cast<std::size_t>(hidden));
    for (const std::int64_t t : positions)
      for (std::int64_t c = 0; c < hidden; ++c)
        means.back()[static_cast<std::size_t>(c)] +=
            layer[static_cast<std::size_t>(t * hidden + c)] / static_cast<double>(positions.size());
  }
  const KvCoeScores scores = testing::reference_kv_coe(testing::reference_trajectory(means), means.size());
  return {.r = scores.normalized_r, .c = scores.normalized_c};
}

CoeScores reference_scores(const ReferenceState& state, std::int64_t prompt, std::int64_t hidden) {
  std::vector<std::int64_t> response;
  for (std::int64_t t = prompt; t < state.tokens; ++t) response.push_back(t);
  std::vector<std::int64_t> official = response, fixed = response;
  official.insert(official.begin(), 0);
  fixed.insert(fixed.begin(), prompt - 1);
  return {.official = reference_coe(state, official, hidden),
          .fixed = reference_coe(state, fixed, hidden),
          .response = reference_coe(state, response, hidden)};
}

void expect_near(const CoePair& got, const CoePair& want, const std::string& what) {
  ASSERT_EQ(std::isnan(got.r), std::isnan(want.r)) << what;
  if (std::isnan(want.r)) return;
  EXPECT_NEAR(got.r, want.r, kRelative * (1 + std::abs(want.r))) << what;  // R is a difference of means of order 1
  EXPECT_NEAR(got.c, want.c, kRelative * (1 + std::abs(want.c))) << what;
}

void expect_near(const CoeScores& got, const CoeScores& want, const std::string& what) {
  expect_near(got.official, want.official, what + " official");
  expect_near(got.fixed, want.fixed, what + " fixed");
  expect_near(got.response, want.response, what + " response");
}

ReferenceState fed(const ReferenceDecoder& decoder, std::vector<std::int32_t> prompt,
                   const std::vector<std::int32_t>& response) {
  prompt.insert(prompt.end(), response.begin(), response.end() - 1);  // the last token is never fed
  return decoder.run(prompt);
}

class HiddenStates : public ::testing::TestWithParam<const char*> {};

TEST_P(HiddenStates, CoeIsThatOfADecoderInDouble) {
  const EngineOptions base = options_for(GetParam());
  const ReferenceDecoder decoder(ModelFiles::open(base.model));
  const std::int64_t hidden = decoder.config().hidden;
  std::vector<Request> requests;
  for (const std::int64_t prompt : {1, 2, 33, 40}) {
    for (const std::int64_t answer : {1, 2, 20}) {
      Request request;
      request.prompt = tokens(prompt, answer);
      request.stop = {.max_tokens = answer, .stop = {}, .ignore_eos = true};
      request.scores.coe = true;
      requests.push_back(request);
      request.response = tokens(answer, 100 + prompt);  // the same teacher-forced
      requests.push_back(request);
    }
  }
  for (const std::int64_t chunk : {3, 512}) {
    EngineOptions options = base;
    options.chunk_tokens = chunk;
    options.step_tokens = chunk * 2;
    Engine engine(options);
    const auto finished = run_all(engine, requests);
    for (std::size_t i = 0; i < finished.size(); ++i) {
      ASSERT_EQ(finished[i].error, "");
      const Answer& answer = finished[i].answers[0];
      ASSERT_TRUE(answer.coe.has_value());
      const ReferenceState state = fed(decoder, requests[i].prompt, answer.tokens);
      expect_near(*answer.coe, reference_scores(state, std::ssize(requests[i].prompt), hidden),
                  cat("request ", i, ", chunks of ", chunk));
    }
  }
}

// The un-normed output of the last block is not among transformers' states: without the final norm only it differs.
TEST_P(HiddenStates, WithoutTheFinalNormTheLastStateIsTheSumOfTheBlocks) {
  Engine engine(options_for(GetParam()));
  Request with;
  with.prompt = tokens(12, 1);
  with.response = tokens(9, 2);
  with.scores.coe = true;
  Request without = with;
  without.scores.coe_final_norm = false;
  const auto finished = run_all(engine, {with, without, with});  // one step has both kinds
  EXPECT_NE(finished[0].answers[0].coe->fixed.r, finished[1].answers[0].coe->fixed.r);
  EXPECT_EQ(finished[0].answers[0].coe->fixed.r, finished[2].answers[0].coe->fixed.r);
}

TEST_P(HiddenStates, EigenScoreIsThatOfADecoderInDouble) {
  EngineOptions options = options_for(GetParam());
  options.chunk_tokens = 7;
  Engine engine(options);
  const ReferenceDecoder decoder(ModelFiles::open(options.model));
  const ModelConfig& config = decoder.config();
  Request sampled;
  sampled.prompt = tokens(20, 3);
  sampled.stop = {.max_tokens = 12, .stop = {}, .ignore_eos = true};
  sampled.sampling = {.temperature = 1.5, .seed = 4};
  sampled.samples = 5;
  sampled.scores.eigenscore = true;
  Request forced = sampled;
  forced.samples = 1;
  forced.response = tokens(6, 9);
  forced.further_responses = {{.tokens = tokens(2, 10)}, {.tokens = tokens(17, 11), .finished = false}};
  const auto finished = run_all(engine, {sampled, forced});
  for (std::size_t i = 0; i < 2; ++i) {
    ASSERT_EQ(finished[i].error, "");
    ASSERT_TRUE(finished[i].eigenscore.has_value());
    std::vector<std::vector<float>> states, values;
    for (const Answer& answer : finished[i].answers) {
      const ReferenceState state = fed(decoder, sampled.prompt, answer.tokens);
      const auto& middle = state.hidden[static_cast<std::size_t>((config.layers + 1) / 2)];
      states.emplace_back(middle.end() - config.hidden, middle.end());
      const auto width = static_cast<std::size_t>(config.kv_heads * config.head_dim);
      std::vector<double> mean(width);
      const auto first = std::ssize(sampled.prompt), count = state.tokens - first;
      for (const std::vector<double>& layer : state.v)
        for (std::int64_t t = first; t < state.tokens; ++t)
          for (std::size_t j = 0; j < width; ++j)
            mean[j] += layer[static_cast<std::size_t>(t) * width + j] / static_cast<double>(count * config.layers);
      values.emplace_back(mean.begin(), mean.end());
    }
    const auto score = [](const std::vector<std::vector<float>>& vectors) {
      return eigen_score(std::vector<std::span<const float>>(vectors.begin(), vectors.end()));
    };
    EXPECT_NEAR(finished[i].eigenscore->hidden, score(states), kRelative * (1 + std::abs(score(states))));
    EXPECT_NEAR(finished[i].eigenscore->kv, score(values), kRelative * (1 + std::abs(score(values))));
  }
  EXPECT_EQ(finished[1].answers[1].finish_reason, FinishReason::kStop);
  EXPECT_EQ(finished[1].answers[2].finish_reason, FinishReason::kLength);
}

INSTANTIATE_TEST_SUITE_P(Models, HiddenStates, ::testing::Values("llama31", "qwen2", "qwen3"),
                         [](const auto& info) { return std::string(info.param); });

TEST(HiddenStatesOfCachedPrompts, AreComputedAgainAndOnlyThen) {
  EngineOptions options = options_for("llama31");
  options.batch_invariant = true;
  Engine engine(options);
  Request request;
  request.prompt = tokens(70, 1);
  request.response = tokens(40, 2);
  request.scores.prob = true;
  Request with = request;
  with.scores.coe = true;
  const auto finished = run_all(engine, {request, with});
  engine.submit(with);
  engine.submit(request);
  while (engine.step()) {
  }
  const auto again = engine.next_finished(), cached = engine.next_finished();
  ASSERT_TRUE(again && cached);
  EXPECT_EQ(again->cached_tokens, 0);
  EXPECT_EQ(cached->cached_tokens, 64);
  EXPECT_EQ(again->answers[0].coe->official.r, finished[1].answers[0].coe->official.r);
  EXPECT_FALSE(cached->answers[0].coe.has_value());
}

// An answer that finds the prompt's pages in the cache can overtake the first one, which computes the prompt's states.
TEST(HiddenStatesOfForcedAnswers, DoNotDependOnWhichOneEndsFirst) {
  EngineOptions options = options_for("llama31");
  options.batch_invariant = true;
  options.chunk_tokens = 7;
  options.step_tokens = 32;
  Engine engine(options);
  Request request;
  request.prompt = tokens(90, 1);
  request.response = tokens(60, 2);
  request.further_responses = {{.tokens = tokens(2, 3)}, {.tokens = tokens(1, 4)}};
  request.scores.coe = true;
  const auto together = run_all(engine, {request});
  ASSERT_EQ(together[0].error, "");
  const std::vector<std::vector<std::int32_t>> responses = {tokens(60, 2), tokens(2, 3), tokens(1, 4)};
  for (std::size_t i = 0; i < 3; ++i) {
    Engine alone(options_for("llama31"));
    Request one = request;
    one.response = responses[i];
    one.further_responses.clear();
    const auto want = run_all(alone, {one});
    expect_near(*together[0].answers[i].coe, *want[0].answers[0].coe, cat("answer ", i));
  }
}

TEST(HiddenStatesOfOneToken, HaveTheVariantsThatHaveAPosition) {
  Engine engine(options_for("qwen3"));
  Request request;
  request.prompt = tokens(5, 1);
  request.stop = {.max_tokens = 1, .stop = {}, .ignore_eos = true};
  request.sampling = {.temperature = 2, .seed = 1};
  request.samples = 3;
  request.scores.coe = request.scores.eigenscore = true;
  const auto finished = run_all(engine, {request});
  for (const Answer& answer : finished[0].answers) {
    EXPECT_FALSE(std::isnan(answer.coe->official.r) || std::isnan(answer.coe->fixed.c));
    EXPECT_TRUE(std::isnan(answer.coe->response.r) && std::isnan(answer.coe->response.c));
  }
  EXPECT_TRUE(std::isfinite(finished[0].eigenscore->hidden));  // three times the state of the last prompt token
  EXPECT_TRUE(std::isnan(finished[0].eigenscore->kv));
}

// k_rope=pre: the reference's keys, turned back in double by the angles that RoPE turned them by.
TEST(KeysOfTheTrajectory, AreThoseBeforeRopeWhereThatIsAskedFor) {
  Engine engine(options_for("llama31"));
  Request post;
  post.prompt = tokens(20, 1);
  post.response = tokens(30, 2);
  post.scores = {.kv_coe = true, .part = GaugePart::kK};
  Request pre = post;
  pre.scores.unrotated_keys = true;
  const auto finished = run_all(engine, {post, pre});
  const ReferenceDecoder decoder(ModelFiles::open(testing::repo_path("tests/golden/models/llama31")));
  const ModelConfig& config = decoder.config();
  const std::vector<double> frequencies = rope_inverse_frequencies(config);
  const ReferenceState state = fed(decoder, post.prompt, *post.response);
  const std::int64_t half = config.head_dim / 2, width = config.kv_heads * config.head_dim;
  States turned_back;
  for (std::int64_t t = std::ssize(post.prompt); t < state.tokens; ++t) {
    turned_back.emplace_back(static_cast<std::size_t>(width));
    for (const std::vector<double>& layer : state.k)
      for (std::int64_t h = 0; h < config.kv_heads; ++h)
        for (std::int64_t i = 0; i < half; ++i) {
          const double angle = static_cast<double>(t) * frequencies[static_cast<std::size_t>(i)];
          const std::int64_t low = h * config.head_dim + i;
          const double x = layer[static_cast<std::size_t>(t * width + low)],
                       y = layer[static_cast<std::size_t>(t * width + low + half)];
          auto& point = turned_back.back();
          const auto layers = static_cast<double>(config.layers);
          point[static_cast<std::size_t>(low)] += (x * std::cos(angle) + y * std::sin(angle)) / layers;
          point[static_cast<std::size_t>(low + half)] += (y * std::cos(angle) - x * std::sin(angle)) / layers;
        }
  }
  const KvCoeScores want = testing::reference_kv_coe(testing::reference_trajectory(turned_back), turned_back.size());
  const KvCoeScores& got = *finished[1].answers[0].kv_coe;
  EXPECT_NEAR(got.paper_r, want.paper_r, kRelative * want.paper_r);
  EXPECT_NEAR(got.normalized_c, want.normalized_c, kRelative * want.normalized_c);
  EXPECT_GT(std::abs(finished[0].answers[0].kv_coe->paper_r - got.paper_r), 10 * kRelative * want.paper_r);
}

TEST(LayersOfTheTrajectory, AreThoseThatWereAskedForInOneBatch) {
  Engine engine(options_for("llama31"));
  Request all;
  all.prompt = tokens(20, 1);
  all.response = tokens(30, 2);
  all.scores.kv_coe = true;
  std::vector<Request> requests(4, all);
  requests[1].scores.layers = {0, 1, 2};
  requests[2].scores.layers = {1};
  requests[3].scores.layers = {2, 1};
  const auto finished = run_all(engine, requests);
  EXPECT_EQ(finished[0].answers[0].kv_coe->paper_r, finished[1].answers[0].kv_coe->paper_r);
  EXPECT_NE(finished[0].answers[0].kv_coe->paper_r, finished[2].answers[0].kv_coe->paper_r);
  EXPECT_NE(finished[3].error.find("layers: found 1 at place 1"), std::string::npos) << finished[3].error;
  const ReferenceDecoder decoder(ModelFiles::open(testing::repo_path("tests/golden/models/llama31")));
  const ReferenceState state = fed(decoder, all.prompt, *all.response);
  const auto width = static_cast<std::size_t>(decoder.config().kv_heads * decoder.config().head_dim);
  States points;
  for (std::size_t t = all.prompt.size(); t < static_cast<std::size_t>(state.tokens); ++t)
    points.emplace_back(state.v[1].begin() + static_cast<std::ptrdiff_t>(t * width),
                        state.v[1].begin() + static_cast<std::ptrdiff_t>((t + 1) * width));
  const KvCoeScores want = testing::reference_kv_coe(testing::reference_trajectory(points), points.size());
  EXPECT_NEAR(finished[2].answers[0].kv_coe->paper_r, want.paper_r, kRelative * want.paper_r);
  EXPECT_NEAR(finished[2].answers[0].kv_coe->normalized_c, want.normalized_c, kRelative * want.normalized_c);
}

}  // namespace
}  // namespace kvgauge
