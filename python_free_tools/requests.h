#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "common_options.h"
#include "engine/prompt.h"
#include "kvgauge/engine.h"
#include "kvgauge/request.h"
#include "report/input_row.h"
#include "thinking_options.h"

namespace kvgauge {
struct GenerationDefaults;
}

namespace kvgauge::cli {

/// Rows to requests: the command line's settings, overridden by what a batch row asks for.
struct RequestMaker {
  Prompter prompter = {};
  PromptOptions prompts = {};
  SamplingParams sampling = {};
  StopRules stop = {};
  ScoreSpec scores = {};
  std::optional<EmbeddingSpec> embedding = {};
  std::int64_t samples = 1;
  Thinking thinking = {};                      ///< of generate()
  std::optional<std::int32_t> end_token = {};  ///< end_of_turn(), for judge()

  /// @throws RequestError: this row cannot be run
  Request generate(const InputRow& row) const;
  /// Teacher-forced: the row's response instead of a new one. Text without output_ids gets the end-of-text token behind
  /// it, unless it was cut off (finish_reason "length").
  Request judge(const InputRow& row) const;
  /// The row's text alone, cut to `max_length` tokens; notes its length in the row.
  Request embed(InputRow& row, std::int64_t max_length) const;

 private:
  /// @param bare up to the think tags
  std::vector<std::int32_t> prompt_of(const InputRow& row, bool bare = false) const;
  std::vector<std::int32_t> response_of(const InputRow& row) const;
};

Prompter prompter_of(const Engine& engine);

/// Refuses prompt options that the model's template cannot serve. @throws UsageError
void check_template(const PromptOptions& options, const ModelFiles& files);

/// The token that ends a turn of the chat: the tokenizer's EOS if it ends a response, else the first that does.
std::optional<std::int32_t> end_of_turn(const Engine& engine);

/// How the model's own generation config draws tokens: as transformers reads it (temperature 1, top-k 50 where they are
/// not given), greedy unless it says do_sample or, silent on that, gives a temperature.
SamplingParams own_sampling(const GenerationDefaults& generation);

/// Tokens that a text may have: --max-length, or what the context holds if it is 0. @throws UsageError if the context
/// holds less
std::int64_t longest_text(const Engine& engine, std::int64_t max_length);

}  // namespace kvgauge::cli
