// Requests that are watched while they run, and ended before they end by themselves.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/asking.h"

namespace kvgauge {
namespace {

EngineOptions without_cache() {
  EngineOptions options = testing::tiny_reasoner();
  options.prefix_cache = false;  // every page that no sequence holds is free
  return options;
}

struct Asking : testing::Asking {
  explicit Asking(const EngineOptions& options = without_cache()) : testing::Asking(options) {}

  Request slow(const std::string& question) const {
    Request request = thinking(question, ThinkingStart::kSlow, {.max_switches = 0});
    request.stop.max_tokens = 200;
    return request;
  }
  std::int64_t free_blocks() const { return engine.stats().free_blocks; }
  Finished finish() {
    while (engine.unfinished() > 0) engine.step();
    return engine.next_finished().value();
  }
};

const std::string kQuestion = "Think of the number 14. Add 9. Multiply by 3. Subtract 20. What is the result?";
const std::string kOther = "Tom has 3 pens. He buys 4. How many has he?";

TEST(Progress, ShowsTheAnswerAsItGrows) {
  Asking ask;
  const std::int64_t number = ask.engine.submit(ask.slow(kQuestion));
  EXPECT_EQ(ask.engine.progress(number)->text, "");
  std::vector<ThinkingMode> modes;
  std::string text;
  std::int64_t sampled = 0;
  while (ask.engine.step()) {
    const auto progress = ask.engine.progress(number);
    if (!progress) break;
    EXPECT_TRUE(progress->text.starts_with(text)) << "what was shown stays";
    EXPECT_EQ(progress->sampled, sampled + 1);
    text = progress->text;
    sampled = progress->sampled;
    if (modes.empty() || modes.back() != *progress->mode) modes.push_back(*progress->mode);
  }
  const Finished done = ask.finish();
  EXPECT_TRUE(done.answers[0].text.starts_with(text));
  EXPECT_EQ(done.answers[0].thinking->sampled, sampled + 1);
  EXPECT_EQ(modes, (std::vector{ThinkingMode::kSlow, ThinkingMode::kAnswer}));
  EXPECT_FALSE(ask.engine.progress(number)) << "it is over";
  EXPECT_FALSE(ask.engine.progress(number + 1)) << "never submitted";
}

TEST(Progress, HoldsBackWhatMayBecomeAStopString) {
  Asking ask;
  Request request = ask.slow(kQuestion);
  request.stop.stop = {"</think>\n\nThe"};
  const std::int64_t number = ask.engine.submit(request);
  std::string text;
  while (ask.engine.step())
    if (const auto progress = ask.engine.progress(number)) text = progress->text;
  EXPECT_EQ(text.find('<'), std::string::npos) << text;
  EXPECT_TRUE(ask.finish().answers[0].text.starts_with(text));
}

TEST(Cancel, FinishesWithWhatIsThereAndGivesThePagesBack) {
  Asking ask;
  const std::int64_t free = ask.free_blocks();
  const std::int64_t whole = ask.engine.submit(ask.slow(kQuestion));
  const Finished wanted = ask.finish();
  ASSERT_EQ(wanted.request, whole);
  for (const int steps : {0, 1, 2, 20}) {
    SCOPED_TRACE(steps);
    const std::int64_t number = ask.engine.submit(ask.slow(kQuestion));
    for (int i = 0; i < steps; ++i) ask.engine.step();
    ask.engine.cancel(number);
    ask.engine.cancel(number);  // nothing is left to end
    EXPECT_EQ(ask.engine.unfinished(), 0);
    EXPECT_EQ(ask.free_blocks(), free);
    EXPECT_FALSE(ask.engine.step()) << "nothing is left to do";
    const Finished done = ask.engine.next_finished().value();
    EXPECT_EQ(done.error, "");
    ASSERT_EQ(done.answers.size(), 1u);
    const Answer& answer = done.answers[0];
    EXPECT_EQ(answer.finish_reason, FinishReason::kCancelled);
    EXPECT_STREQ(name(answer.finish_reason), "cancelled");
    ASSERT_EQ(std::ssize(answer.tokens), steps);
    EXPECT_TRUE(std::equal(answer.tokens.begin(), answer.tokens.end(), wanted.answers[0].tokens.begin()));
    EXPECT_TRUE(wanted.answers[0].text.starts_with(answer.text));
    EXPECT_EQ(answer.thinking->sampled, steps);
    EXPECT_EQ(answer.prob->tokens, steps);
    EXPECT_EQ(answer.kv_coe->tokens, std::max(0, steps - 1)) << "the last sampled token was not fed";
    EXPECT_GE(done.queue_ms, 0);
  }
  ask.engine.cancel(12345);
  ask.engine.cancel(-1);
}

TEST(Cancel, LeavesOthersAlone) {
  EngineOptions options = without_cache();
  options.max_batch = 2;
  Asking ask(options);
  ask.engine.submit(ask.slow(kOther));
  const Finished wanted = ask.finish();
  const std::int64_t running = ask.engine.submit(ask.slow(kQuestion)), kept = ask.engine.submit(ask.slow(kOther)),
                     queued = ask.engine.submit(ask.slow(kQuestion));
  for (int i = 0; i < 5; ++i) ask.engine.step();
  ask.engine.cancel(queued);
  ask.engine.cancel(running);
  EXPECT_EQ(ask.engine.unfinished(), 1);
  EXPECT_EQ(ask.engine.next_finished()->request, queued);
  EXPECT_EQ(ask.engine.next_finished()->request, running);
  const Finished done = ask.finish();
  EXPECT_EQ(done.request, kept);
  EXPECT_EQ(done.answers[0].tokens, wanted.answers[0].tokens);
  EXPECT_EQ(done.answers[0].kv_coe->normalized_c, wanted.answers[0].kv_coe->normalized_c);
}

// In every state that a request can be in: before the prompt is computed, within it, before and after answers fork.
TEST(Cancel, WhateverIsMeasured) {
  EngineOptions options = without_cache();
  options.chunk_tokens = 16;
  Asking ask(options);
  ask.engine.use_difficulty_head(testing::constant_head(ask.engine, 80));
  const std::int64_t free = ask.free_blocks();
  for (const bool automatic : {false, true})
    for (int steps = 0; steps < 8; ++steps) {
      SCOPED_TRACE(steps);
      Request request = ask.slow(kQuestion);
      request.samples = 3;
      request.sampling = {.temperature = 1, .seed = 5};
      if (automatic) {
        request.thinking->start = ThinkingStart::kDifficulty;
      } else {
        request.thinking.reset();
        request.scores.coe = request.scores.eigenscore = true;
        request.difficulty = true;
      }
      request.embedding = EmbeddingSpec{};
      const std::int64_t number = ask.engine.submit(request);
      for (int i = 0; i < steps; ++i) ask.engine.step();
      ASSERT_TRUE(ask.engine.progress(number)) << "it still runs";
      ask.engine.cancel(number);
      const Finished done = ask.engine.next_finished().value();
      EXPECT_EQ(done.error, "");
      ASSERT_EQ(done.answers.size(), 3u);
      for (const Answer& answer : done.answers) {
        EXPECT_EQ(answer.finish_reason, FinishReason::kCancelled);
        EXPECT_TRUE(answer.embedding.empty());
      }
      EXPECT_FALSE(done.eigenscore);
      EXPECT_EQ(ask.free_blocks(), free);
    }
  Request forced = ask.slow(kQuestion);
  forced.thinking.reset();
  forced.response = forced.prompt;
  const std::int64_t number = ask.engine.submit(forced);
  ask.engine.step();
  EXPECT_FALSE(ask.engine.progress(number)) << "it generates nothing";
  ask.engine.cancel(number);
  EXPECT_EQ(ask.engine.next_finished()->answers[0].finish_reason, FinishReason::kCancelled);
  EXPECT_EQ(ask.free_blocks(), free);
}

TEST(BehindThinking, IsWhatTheUserReads) {
  EXPECT_EQ(behind_thinking("7", {}, false), "7");
  EXPECT_EQ(behind_thinking("3+4=7\n</think>\n\n#### 7", {}, true), "#### 7");
  EXPECT_EQ(behind_thinking("3+4", {}, true), "") << "it ends inside the block";
  EXPECT_EQ(behind_thinking("well <think>\n3+4", {}, false), "");
  EXPECT_EQ(behind_thinking("<think>a</think>b<think>c</think> d", {}, false), "d");
  EXPECT_EQ(behind_thinking("<think>a</think>b<think>c", {}, false), "");
  EXPECT_EQ(behind_thinking("a</think>\n", {}, true), "");
  EXPECT_EQ(behind_thinking("a]b", {.open = "[", .close = "]\n", .fast_prefix = {}}, true), "b");
}

TEST(TemplateDropsThinking, IsAskedOfTheTemplate) {
  const Asking ask;
  EXPECT_FALSE(template_drops_thinking(ask.prompter)) << "this one hands history on as it is";
  const ChatTemplate drops("{% for m in messages %}{{ m.content.split('</think>')[-1] }}{% endfor %}", "test");
  Prompter prompter = ask.prompter;
  prompter.chat_template = &drops;
  EXPECT_TRUE(template_drops_thinking(prompter));
}

}  // namespace
}  // namespace kvgauge
