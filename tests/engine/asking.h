#pragma once
#include <string>
#include <utility>
#include <vector>

#include "control/difficulty_head.h"
#include "engine/prompt.h"
#include "engine/think_tags.h"
#include "kvgauge/engine.h"
#include "loader/model_files.h"
#include "support/paths.h"

namespace kvgauge::testing {

/// The embedded model in f32, where equal requests have equal bits.
inline EngineOptions tiny_reasoner() {
  EngineOptions options;
  options.model = repo_path("models/tiny-reasoner");
  options.dtype = "f32";
  options.threads = 2;
  options.batch_invariant = true;
  return options;
}

/// d = `constant` for every window of 16 positions.
inline DifficultyHead constant_head(const Engine& engine, float constant) {
  DifficultyHead head;
  head.window = {.layers = {0, 1, 2, 3, 4, 5}, .positions = 16};
  pin_to_model(head, engine.config(), engine.files().content_hash());
  head.hidden = 1;
  head.w1.assign(static_cast<std::size_t>(head.features()), 0.0f);
  head.b1 = {0};
  head.w2 = {0};
  head.b2 = {constant};
  return head;
}

/// An engine, and what questions to it are asked with.
struct Asking {
  Engine engine;
  Prompter prompter{
      .tokenizer = &engine.tokenizer(), .chat_template = engine.chat_template(), .bos_token = {}, .eos_token = {}};
  ThinkStyle style = find_think_style(prompter, *engine.files().chat_template());

  explicit Asking(const EngineOptions& options = tiny_reasoner()) : engine(options) {}

  static OrderedJson messages(const std::string& question) {
    OrderedJson list = OrderedJson::array();
    list.push_back({{"role", "user"}, {"content", question}});
    return list;
  }
  std::vector<std::int32_t> bare(const std::string& question) const {
    return prompter.tokens_of_chat(style.bare_prompt(prompter, messages(question), nullptr));
  }
  std::vector<std::int32_t> rendered(const std::string& question, bool thinking) const {
    return prompter.tokens_of_chat(prompter.render(messages(question), nullptr, thinking));
  }
  /// Up to 400 tokens, judged.
  Request plain(std::vector<std::int32_t> prompt) const {
    Request request;
    request.prompt = std::move(prompt);
    request.stop.max_tokens = 400;
    request.scores = {.kv_coe = true, .prob = true};
    return request;
  }
  Request thinking(const std::string& question, ThinkingStart start, const ControllerSettings& settings) const {
    Request request = plain(bare(question));
    request.thinking = ThinkingSpec{.start = start, .settings = settings, .tags = style.tags};
    return request;
  }
};

}  // namespace kvgauge::testing
