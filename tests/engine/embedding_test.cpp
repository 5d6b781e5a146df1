// Embeddings of texts and answers on the embedded model: what they are (against the pages' own numbers through another
// request), and that nothing the engine does changes a bit of them.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "core/json.h"
#include "kvgauge/engine.h"
#include "loader/model_config.h"
#include "support/paths.h"
#include "text/tokenizer.h"

namespace kvgauge {
namespace {

EngineOptions tiny(const std::string& device = "cpu") {
  EngineOptions options;
  options.model = testing::repo_path("models/tiny-reasoner");
  options.device = device;
  options.dtype = "f32";
  options.threads = 2;
  options.batch_invariant = true;
  return options;
}

Request text_request(const Engine& engine, const std::string& text, const EmbeddingSpec& spec) {
  Request request;
  request.prompt = engine.tokenizer().encode(text);
  request.prompt_only = true;
  request.embedding = spec;
  return request;
}

std::vector<std::string> texts(int count) {
  std::vector<std::string> out;
  const std::string file = testing::read_file(testing::repo_path("models/tiny-reasoner/data/test.jsonl"));
  for (std::size_t at = 0; std::ssize(out) < count; at = file.find('\n', at) + 1)
    out.push_back(parse_json(file.substr(at, file.find('\n', at) - at), "test")["question"]);
  return out;
}

std::vector<Finished> run_all(Engine& engine, std::vector<Request> requests) {
  const auto count = static_cast<std::int64_t>(requests.size());
  std::int64_t first = -1;
  for (Request& request : requests) {
    const std::int64_t number = engine.submit(std::move(request));
    if (first < 0) first = number;
  }
  while (engine.step()) {
  }
  std::vector<Finished> out(static_cast<std::size_t>(count));
  while (auto done = engine.next_finished()) out[static_cast<std::size_t>(done->request - first)] = std::move(*done);
  return out;
}

std::vector<float> embed(Engine& engine, const std::string& text, const EmbeddingSpec& spec) {
  Finished done = std::move(run_all(engine, {text_request(engine, text, spec)})[0]);
  EXPECT_EQ(done.error, "");
  return done.answers.at(0).embedding;
}

const std::string kText = "Eva starts a game with 8 points. She scores 6 points. What is the score in the end?";

void expect_near(const std::vector<double>& want, const std::vector<float>& found, double tolerance) {
  ASSERT_EQ(want.size(), found.size());
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(want[i], found[i], tolerance) << "value " << i;
}

// The flattened last position of every prefix is the cache itself; all else follows from it in plain sums.
TEST(Embedding, EveryOptionFollowsFromTheCachedValues) {
  Engine engine(tiny());
  const auto heads = static_cast<std::size_t>(engine.config().kv_heads),
             dim = static_cast<std::size_t>(engine.config().head_dim);
  const std::vector<std::int32_t> ids = engine.tokenizer().encode(kText);
  EmbeddingSpec raw{.part = GaugePart::kKV,
                    .layers = {1, 4, 5},
                    .positions = EmbeddingPositions::kLast,
                    .heads = EmbeddingHeads::kFlatten,
                    .aggregate = EmbeddingLayers::kFlatten};
  std::vector<std::vector<float>> cache;  // [position][layer, head, K | V, element]
  for (std::size_t length = 1; length <= ids.size(); ++length) {
    Request request = text_request(engine, kText, raw);
    request.prompt.resize(length);
    cache.push_back(run_all(engine, {request})[0].answers[0].embedding);
    ASSERT_EQ(cache.back().size(), 3 * heads * 2 * dim);
  }
  double largest = 0;
  for (const auto& row : cache)
    for (const float x : row) largest = std::max(largest, std::abs(static_cast<double>(x)));

  for (const GaugePart part : {GaugePart::kV, GaugePart::kK, GaugePart::kKV})
    for (const auto positions :
         {EmbeddingPositions::kMean, EmbeddingPositions::kLast, EmbeddingPositions::kFirst, EmbeddingPositions::kSum})
      for (const auto head_mode : {EmbeddingHeads::kMean, EmbeddingHeads::kFlatten})
        for (const auto layer_mode :
             {EmbeddingLayers::kMean, EmbeddingLayers::kSum, EmbeddingLayers::kLast, EmbeddingLayers::kFlatten})
          for (const bool unit : {false, true}) {
            SCOPED_TRACE(std::string(name(part)) + " " + name(positions) + " " + name(head_mode) + " " +
                         name(layer_mode));
            const std::size_t begin = positions == EmbeddingPositions::kLast ? ids.size() - 1 : 0;
            const std::size_t end = positions == EmbeddingPositions::kFirst ? 1 : ids.size();
            std::vector<double> want;
            const std::size_t outer_layers = layer_mode == EmbeddingLayers::kFlatten ? 3 : 1;
            const std::size_t outer_heads = head_mode == EmbeddingHeads::kFlatten ? heads : 1;
            for (std::size_t layer = 0; layer < outer_layers; ++layer)
              for (std::size_t head = 0; head < outer_heads; ++head)
                for (std::size_t kv = 0; kv < 2; ++kv) {
                  if (part == (kv == 0 ? GaugePart::kV : GaugePart::kK)) continue;
                  for (std::size_t j = 0; j < dim; ++j) {
                    double sum = 0, by = 1;
                    for (std::size_t t = begin; t < end; ++t)
                      for (std::size_t l = 0; l < 3; ++l) {
                        if (layer_mode == EmbeddingLayers::kFlatten && l != layer) continue;
                        if (layer_mode == EmbeddingLayers::kLast && l != 2) continue;
                        for (std::size_t h = 0; h < heads; ++h)
                          if (head_mode == EmbeddingHeads::kMean || h == head)
                            sum += cache[t][((l * heads + h) * 2 + kv) * dim + j];
                      }
                    if (positions == EmbeddingPositions::kMean) by *= static_cast<double>(ids.size());
                    if (layer_mode == EmbeddingLayers::kMean) by *= 3;
                    if (head_mode == EmbeddingHeads::kMean) by *= static_cast<double>(heads);
                    want.push_back(sum / by);
                  }
                }
            double length = 0;
            for (const double x : want) length += x * x;
            length = std::sqrt(length);
            if (unit)
              for (double& x : want) x /= length;
            const std::vector<float> found = embed(engine, kText,
                                                   {.part = part,
                                                    .layers = {1, 4, 5},
                                                    .positions = positions,
                                                    .heads = head_mode,
                                                    .aggregate = layer_mode,
                                                    .normalize = unit});
            // Keys and values of one position differ between prefill lengths by nothing (batch-invariant); sums of
            // double have one rounding to float.
            expect_near(want, found, 1e-6 * largest * static_cast<double>(ids.size()) / (unit ? length : 1));
          }
}

TEST(Embedding, BitsDependOnTheTextAlone) {
  const auto all_texts = texts(24);
  const EmbeddingSpec spec{.part = GaugePart::kKV, .layers = {2, 3, 4, 5}, .normalize = true};
  Engine plain(tiny());
  std::vector<std::vector<float>> want;
  for (const std::string& text : all_texts) want.push_back(embed(plain, text, spec));
  std::mt19937_64 random(testing::test_seed(411));
  for (int round = 0; round < 4; ++round) {
    EngineOptions options = tiny();
    options.max_batch = 1 + static_cast<std::int64_t>(random() % 9);
    options.chunk_tokens = 5 + static_cast<std::int64_t>(random() % 40);
    options.step_tokens = options.chunk_tokens + static_cast<std::int64_t>(random() % 60);
    options.kv_memory = (6 + random() % 20) * 32 * 6 * 2 * 2 * 32 * 4;
    options.prefix_cache = round % 2 == 0;
    Engine engine(options);
    for (int again = 0; again < 2; ++again) {  // the second time from the prefix cache
      std::vector<Request> requests;
      for (const std::string& text : all_texts) requests.push_back(text_request(engine, text, spec));
      const auto done = run_all(engine, std::move(requests));
      for (std::size_t i = 0; i < done.size(); ++i) {
        ASSERT_EQ(done[i].error, "");
        EXPECT_EQ(done[i].answers.at(0).embedding, want[i]) << "text " << i << ", round " << round;
      }
    }
  }
}

TEST(Embedding, AFinishedTextHoldsNoPagesAndMayFillTheContext) {
  EngineOptions options = tiny();
  options.max_model_len = 64;
  options.prefix_cache = false;
  Engine engine(options);
  Request request = text_request(engine, kText, {});
  while (request.prompt.size() < 64) request.prompt.push_back(request.prompt[request.prompt.size() % 7]);
  const auto fits = run_all(engine, {request});
  EXPECT_EQ(fits[0].error, "");
  EXPECT_TRUE(fits[0].answers.at(0).tokens.empty());
  EXPECT_EQ(engine.stats().free_blocks, engine.stats().blocks);
  EXPECT_EQ(engine.stats().stats_calls, 0);
  request.prompt.push_back(1);
  EXPECT_NE(run_all(engine, {request})[0].error.find("the context holds 64"), std::string::npos);
  request.prompt.resize(3);
  request.embedding->layers = {3, 2};
  EXPECT_NE(run_all(engine, {request})[0].error.find("layer 2"), std::string::npos);
  request.embedding->layers = {6};
  EXPECT_NE(run_all(engine, {request})[0].error.find("layer 6"), std::string::npos);
  request.embedding->layers = {};
  request.scores.prob = true;
  EXPECT_NE(run_all(engine, {request})[0].error.find("prompt only"), std::string::npos);
}

// The embedding of a generated answer is that of the same tokens computed afterwards, over the same span.
TEST(Embedding, OfAnAnswerIsThatOfItsTokens) {
  Engine engine(tiny());
  for (const GaugeSpan span : {GaugeSpan::kResponse, GaugeSpan::kBoundary, GaugeSpan::kAll, GaugeSpan::kPrompt}) {
    const EmbeddingSpec spec{.part = GaugePart::kKV, .layers = {}, .span = span};
    Request ask;
    ask.prompt = engine.tokenizer().encode(kText);
    ask.stop.max_tokens = 20;
    ask.samples = 3;
    ask.sampling.temperature = 1;
    ask.embedding = spec;
    const Finished generated = run_all(engine, {ask})[0];
    ASSERT_EQ(generated.error, "");
    ASSERT_EQ(generated.answers.size(), 3u);
    for (const Answer& answer : generated.answers) {
      Request judge = ask;
      judge.samples = 1;
      judge.response = answer.tokens;
      const Finished judged = run_all(engine, {judge})[0];
      EXPECT_EQ(judged.answers.at(0).embedding, answer.embedding) << name(span);
      EXPECT_EQ(answer.embedding.empty(), span == GaugeSpan::kResponse && answer.tokens.size() == 1);
    }
  }
}

// Answers that end with their first token never have pages of their own.
TEST(Embedding, AnAnswerOfOneTokenHasThePromptsEmbedding) {
  Engine engine(tiny());
  Request ask;
  ask.prompt = engine.tokenizer().encode(kText);
  ask.stop.max_tokens = 1;
  ask.samples = 3;
  ask.embedding = EmbeddingSpec{.span = GaugeSpan::kAll};
  const Finished done = run_all(engine, {ask})[0];
  const auto want = embed(engine, kText, {});
  for (const Answer& answer : done.answers) EXPECT_EQ(answer.embedding, want);
  ask.embedding->span = GaugeSpan::kResponse;
  const Finished empty = run_all(engine, {ask})[0];
  for (const Answer& answer : empty.answers) EXPECT_TRUE(answer.embedding.empty());
}

}  // namespace
}  // namespace kvgauge
