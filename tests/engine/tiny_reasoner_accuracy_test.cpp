// All 1,000 test questions of the embedded model, thinking off and on, in f32: the accuracy and token counts that its
// README measured with another implementation (models/tiny-reasoner/README.md, row "all": fast 52.0 % / 12.1, slow 93.7
// % / 117.0).
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "core/json.h"
#include "engine/prompt.h"
#include "grade/grader.h"
#include "kvgauge/engine.h"
#include "loader/model_files.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

struct Outcome {
  double accuracy = 0, mean_tokens = 0;
};

Outcome answer_all(bool thinking) {
  EngineOptions options;
  options.model = testing::repo_path("models/tiny-reasoner");
  options.dtype = "f32";
  options.threads = 2;
  Engine engine(options);
  const Prompter prompter{.tokenizer = &engine.tokenizer(),
                          .chat_template = engine.chat_template(),
                          .bos_token = engine.files().bos_token(),
                          .eos_token = engine.files().eos_token()};
  std::vector<std::string> golds;
  std::ifstream questions(testing::repo_path("models/tiny-reasoner/data/test.jsonl"));
  for (std::string line; std::getline(questions, line);) {
    const Json row = parse_json(line, "test.jsonl");
    OrderedJson messages = OrderedJson::array();
    messages.push_back({{"role", "user"}, {"content", row["question"].get<std::string>()}});
    Request request;
    request.prompt = prompter.tokens_of_chat(prompter.render(messages, nullptr, thinking));
    request.stop.max_tokens = 400;
    engine.submit(std::move(request));
    golds.push_back(row["answer"].get<std::string>());
  }
  std::int64_t right = 0, tokens = 0;
  while (engine.step())
    while (const auto done = engine.next_finished()) {
      const Answer& answer = done->answers.at(0);
      right += grade(Dataset::kExact, answer.text, golds[static_cast<std::size_t>(done->request)],
                     {.finished = answer.finish_reason == FinishReason::kStop})
                   .correct;
      tokens += static_cast<std::int64_t>(answer.tokens.size());
    }
  const auto count = static_cast<double>(golds.size());
  EXPECT_EQ(golds.size(), 1000u);
  std::printf("thinking %s: accuracy %.1f %%, %.1f tokens\n", thinking ? "on" : "off",
              100 * static_cast<double>(right) / count, static_cast<double>(tokens) / count);
  return {static_cast<double>(right) / count, static_cast<double>(tokens) / count};
}

// Greedy margins go down to 0.004: a last-bit difference may turn a token in a few of the 1,000 answers, not in one in
// a hundred.
TEST(TinyReasonerQuestions, FastAnswersAreAsAccurateAndShortAsMeasuredElsewhere) {
  const Outcome fast = answer_all(false);
  EXPECT_NEAR(fast.accuracy, 0.520, 0.003);
  EXPECT_NEAR(fast.mean_tokens, 12.1, 0.1);
}

TEST(TinyReasonerQuestions, SlowAnswersAreAsAccurateAndLongAsMeasuredElsewhere) {
  const Outcome slow = answer_all(true);
  EXPECT_NEAR(slow.accuracy, 0.937, 0.003);
  EXPECT_NEAR(slow.mean_tokens, 117.0, 0.3);
}

}  // namespace
}  // namespace kvgauge
