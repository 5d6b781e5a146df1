// What a caller of Engine relies on, on the embedded model.
#include "kvgauge/engine.h"

#include <gtest/gtest.h>

#include <set>

#include "engine/prompt.h"
#include "kvgauge/error.h"
#include "loader/model_files.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

EngineOptions tiny() {
  EngineOptions options;
  options.model = testing::repo_path("models/tiny-reasoner");
  options.dtype = "f32";
  options.threads = 1;
  return options;
}

std::vector<std::int32_t> chat(Engine& engine, const std::string& question, std::optional<bool> thinking) {
  const Prompter prompter{
      .tokenizer = &engine.tokenizer(), .chat_template = engine.chat_template(), .bos_token = {}, .eos_token = {}};
  OrderedJson messages = OrderedJson::array();
  messages.push_back({{"role", "user"}, {"content", question}});
  return prompter.tokens_of_chat(prompter.render(messages, nullptr, thinking));
}

constexpr const char* kQuestion = "Eva starts a game with 8 points. She scores 6 points. What is the score in the end?";

Finished run_one(Engine& engine, Request request) {
  engine.submit(std::move(request));
  while (engine.step()) {
  }
  auto done = engine.next_finished();
  EXPECT_TRUE(done.has_value());
  return std::move(*done);
}

Request ask(Engine& engine, std::int64_t max_tokens, std::optional<bool> thinking = false) {
  Request request;
  request.prompt = chat(engine, kQuestion, thinking);
  request.stop.max_tokens = max_tokens;
  return request;
}

TEST(Engine, AnswersAndSaysWhyItStopped) {
  Engine engine(tiny());
  const Finished whole = run_one(engine, ask(engine, 100));
  EXPECT_EQ(whole.answers[0].text, "The answer is 14.\n#### 14");
  EXPECT_EQ(whole.answers[0].finish_reason, FinishReason::kStop);
  EXPECT_EQ(whole.answers[0].tokens.size(), 12u);  // end-of-text included
  EXPECT_GT(whole.e2e_ms, 0);
  EXPECT_GT(whole.ttft_ms, 0);
  const Finished cut = run_one(engine, ask(engine, 5));
  EXPECT_EQ(cut.answers[0].finish_reason, FinishReason::kLength);
  EXPECT_EQ(cut.answers[0].tokens.size(), 5u);  // the budget ends exactly
  EXPECT_EQ(whole.answers[0].text.rfind(cut.answers[0].text, 0), 0u);
}

TEST(Engine, StopStringsMayStraddleTokensAndAreNotPartOfTheText) {
  Engine engine(tiny());
  Request request = ask(engine, 100);
  request.stop.stop = {"zzz", "is 14"};
  const Finished done = run_one(engine, std::move(request));
  EXPECT_EQ(done.answers[0].text, "The answer ");
  EXPECT_EQ(done.answers[0].finish_reason, FinishReason::kStop);
}

TEST(Engine, IgnoreEosRunsToTheBudgetAndToTheEndOfTheContext) {
  EngineOptions options = tiny();
  options.max_model_len = 96;
  Engine engine(options);
  Request request = ask(engine, 30);
  request.stop.ignore_eos = true;
  EXPECT_EQ(run_one(engine, request).answers[0].tokens.size(), 30u);
  request.stop.max_tokens = 1000;
  const std::size_t prompt = request.prompt.size();
  const Finished done = run_one(engine, std::move(request));
  EXPECT_EQ(done.answers[0].tokens.size(), 96u - prompt);
  EXPECT_EQ(done.answers[0].finish_reason, FinishReason::kLength);
}

TEST(Engine, WhatCanNeverRunIsAnErrorOfItsRowOnly) {
  EngineOptions options = tiny();
  options.max_model_len = 64;
  Engine engine(options);
  const auto error_of = [&](auto change) {
    Request request = ask(engine, 8);
    change(request);
    return run_one(engine, std::move(request)).error;
  };
  EXPECT_EQ(error_of([](Request&) {}), "");
  EXPECT_NE(error_of([](Request& r) { r.prompt.assign(64, 5); }).find("prompt of 64 tokens: the context holds 64"),
            std::string::npos);
  EXPECT_NE(error_of([](Request& r) { r.prompt.clear(); }).find("empty"), std::string::npos);
  EXPECT_NE(error_of([](Request& r) { r.prompt = {1, 4096}; }).find("token 4096"), std::string::npos);
  EXPECT_NE(error_of([](Request& r) { r.prompt = {-1}; }).find("token -1"), std::string::npos);
  EXPECT_NE(error_of([](Request& r) { r.stop.max_tokens = 0; }).find("max_tokens"), std::string::npos);
  EXPECT_NE(error_of([](Request& r) { r.sampling.temperature = -1; }).find("temperature"), std::string::npos);
  EXPECT_NE(error_of([](Request& r) { r.sampling.top_p = 0; }).find("top_p"), std::string::npos);
  EXPECT_NE(error_of([](Request& r) { r.sampling.min_p = 1.5; }).find("min_p"), std::string::npos);
  EXPECT_NE(error_of([](Request& r) { r.samples = 0; }).find("n is 0"), std::string::npos);
  EXPECT_NE(error_of([](Request& r) { r.response = std::vector<std::int32_t>(); }).find("response"), std::string::npos);
  EXPECT_NE(error_of([](Request& r) { r.response = std::vector<std::int32_t>(60, 3); }).find("context"),
            std::string::npos);
  EXPECT_EQ(error_of([](Request&) {}), "");  // and the engine goes on
  EXPECT_EQ(engine.unfinished(), 0);
}

TEST(Engine, RefusesOptionsItCannotKeepByName) {
  const auto message = [](auto change) -> std::string {
    EngineOptions options = tiny();
    change(options);
    try {
      Engine engine(options);
      return "no error";
    } catch (const Error& error) {
      return error.what();
    }
  };
  EXPECT_NE(message([](EngineOptions& o) { o.device = "tpu"; }).find("--device"), std::string::npos);
  EXPECT_NE(message([](EngineOptions& o) { o.dtype = "fp4"; }).find("--dtype"), std::string::npos);
  EXPECT_NE(message([](EngineOptions& o) { o.max_model_len = 1 << 20; }).find("--max-model-len"), std::string::npos);
  EXPECT_NE(message([](EngineOptions& o) { o.kv_memory = 100; }).find("--kv-memory"), std::string::npos);
  EXPECT_NE(message([](EngineOptions& o) {
              o.kv_memory = 1 << 20;
              o.max_model_len = 1024;
            }).find("raise --kv-memory"),
            std::string::npos);
  EXPECT_NE(message([](EngineOptions& o) { o.max_batch = 0; }).find("--max-batch"), std::string::npos);
  EXPECT_NE(message([](EngineOptions& o) { o.model = "no/such/model"; }).find("no/such/model"), std::string::npos);
}

TEST(Engine, SampledAnswersDependOnTheirSeedAndStreamNotOnTheirNeighbours) {
  EngineOptions options = tiny();
  options.batch_invariant = true;
  Engine engine(options);
  const auto sampled = [&](std::uint64_t seed, std::uint64_t stream, int neighbours) {
    Request request = ask(engine, 40, true);
    request.sampling.temperature = 6;  // the model is very sure of itself
    request.sampling.seed = seed;
    request.stream = stream;
    const std::int64_t number = engine.submit(std::move(request));
    for (int i = 0; i < neighbours; ++i) engine.submit(ask(engine, 20, i % 2 == 0));
    while (engine.step()) {
    }
    std::vector<std::int32_t> tokens;
    while (const auto done = engine.next_finished())
      if (done->request == number) tokens = done->answers[0].tokens;
    return tokens;
  };
  const auto first = sampled(1, 0, 0);
  EXPECT_EQ(first, sampled(1, 0, 7));
  EXPECT_NE(first, sampled(2, 0, 0));
  EXPECT_NE(first, sampled(1, 1, 0));
}

TEST(Engine, SeveralAnswersShareThePromptAndDiffer) {
  for (const bool prefix_cache : {true, false}) {
    EngineOptions options = tiny();
    options.prefix_cache = prefix_cache;
    options.batch_invariant = true;
    Engine engine(options);
    Request request = ask(engine, 40, true);
    request.sampling.temperature = 6;
    request.samples = 6;
    request.scores = {.kv_coe = true, .prob = true};
    const auto prompt = static_cast<std::int64_t>(request.prompt.size());
    const Finished done = run_one(engine, request);
    ASSERT_EQ(done.answers.size(), 6u);
    std::set<std::vector<std::int32_t>> different;
    for (const Answer& answer : done.answers) {
      different.insert(answer.tokens);
      EXPECT_TRUE(answer.kv_coe && answer.prob);
    }
    EXPECT_GT(different.size(), 3u);
    EXPECT_EQ(engine.stats().prefill_tokens, prompt);  // the prompt was computed once
    // Each answer's scores are those of scoring it by itself.
    for (const Answer& answer : done.answers) {
      Request pair;
      pair.prompt = request.prompt;
      pair.response = answer.tokens;
      pair.scores = request.scores;
      const Finished scored = run_one(engine, std::move(pair));
      ASSERT_EQ(scored.error, "");
      EXPECT_EQ(scored.answers[0].kv_coe->paper_r, answer.kv_coe->paper_r);
      EXPECT_EQ(scored.answers[0].prob->nll, answer.prob->nll);
    }
  }
}

TEST(Engine, TwoPagesAreEnoughForEverybodyInTurn) {
  EngineOptions options = tiny();
  options.max_model_len = 64;
  Engine probe(options);
  options.kv_memory = 2 * probe.stats().kv_bytes / static_cast<std::uint64_t>(probe.stats().blocks);
  Engine engine(options);
  for (int i = 0; i < 10; ++i) engine.submit(ask(engine, 20));
  int finished = 0;
  for (int guard = 0; engine.step(); ++guard) ASSERT_LT(guard, 5000);
  while (const auto done = engine.next_finished())
    finished += done->error.empty() && done->answers[0].text == "The answer is 14.\n#### 14";
  EXPECT_EQ(finished, 10);
}

TEST(Engine, ThePrefixCacheSavesTheSharedPromptAndChangesNothing) {
  Engine engine(tiny());
  const Finished first = run_one(engine, ask(engine, 30));
  const Finished second = run_one(engine, ask(engine, 30));
  EXPECT_EQ(first.cached_tokens, 0);
  EXPECT_EQ(second.cached_tokens, 32);  // one whole page of the 36 tokens
  EXPECT_EQ(first.answers[0].tokens, second.answers[0].tokens);
}

}  // namespace
}  // namespace kvgauge
