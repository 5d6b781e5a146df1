#include "requests.h"

#include <algorithm>

#include "core/cat.h"
#include "kvgauge/error.h"
#include "loader/model_config.h"
#include "loader/model_files.h"

namespace kvgauge::cli {

Prompter prompter_of(const Engine& engine) {
  return {.tokenizer = &engine.tokenizer(),
          .chat_template = engine.chat_template(),
          .bos_token = engine.files().bos_token(),
          .eos_token = engine.files().eos_token()};
}

void check_template(const PromptOptions& options, const ModelFiles& files) {
  if (options.no_chat) return;
  if (!files.chat_template())
    throw UsageError(
        "--no-chat: not given, but the model has no chat template; give --no-chat and prompts as plain text");
  if (thinking(options) && files.chat_template()->find("enable_thinking") == std::string::npos)
    throw UsageError(cat("--think: '", options.think,
                         "' was asked for, the model's chat template has no enable_thinking; leave --think out"));
}

std::optional<std::int32_t> end_of_turn(const Engine& engine) {
  const auto& ends = engine.generation().eos;
  const auto eos = engine.tokenizer().find(engine.files().eos_token());
  if (eos && std::find(ends.begin(), ends.end(), *eos) != ends.end()) return eos;
  if (!ends.empty()) return ends.front();
  return eos;
}

SamplingParams own_sampling(const GenerationDefaults& generation) {
  constexpr std::int64_t kUsualTopK = 50;
  if (!generation.samples.value_or(generation.temperature.has_value())) return {};
  return {.temperature = generation.temperature.value_or(1),
          .top_p = generation.top_p.value_or(1),
          .min_p = 0,
          .top_k = generation.top_k.value_or(kUsualTopK),
          .seed = 0};
}

std::int64_t longest_text(const Engine& engine, std::int64_t max_length) {
  if (max_length > engine.max_model_len())
    throw UsageError(cat("--max-length: ", max_length, " tokens were asked for, the context holds ",
                         engine.max_model_len(), "; lower it, or raise --max-model-len or --kv-memory"));
  return max_length > 0 ? max_length : engine.max_model_len();
}

Request RequestMaker::generate(const InputRow& row) const {
  const RowOverrides& own = row.overrides;
  Request request;
  request.prompt = prompt_of(row, thinking.style.has_value());
  request.thinking = thinking.spec;
  request.difficulty = thinking.difficulty;
  if (request.thinking && thinking.style && row.thinking) {  // the row has chosen
    request.thinking->start = *row.thinking ? ThinkingStart::kSlow : ThinkingStart::kFast;
    if (!request.thinking->dry_run && request.thinking->settings.thinking_budget == 0)
      request.thinking->settings.max_switches = 0;
  }
  request.sampling = sampling;
  request.stop = stop;
  request.scores = scores;
  request.embedding = embedding;
  request.samples = own.samples.value_or(samples);
  request.stream = static_cast<std::uint64_t>(row.index);
  request.sampling.temperature = own.temperature.value_or(sampling.temperature);
  request.sampling.top_p = own.top_p.value_or(sampling.top_p);
  request.sampling.min_p = own.min_p.value_or(sampling.min_p);
  request.sampling.top_k = own.top_k.value_or(sampling.top_k);
  request.sampling.seed = own.seed.value_or(sampling.seed);
  request.stop.max_tokens = own.max_tokens.value_or(stop.max_tokens);
  request.stop.ignore_eos = own.ignore_eos.value_or(stop.ignore_eos);
  if (own.stop) request.stop.stop = *own.stop;
  return request;
}

Request RequestMaker::judge(const InputRow& row) const {
  Request request;
  request.prompt = prompt_of(row);
  request.response = response_of(row);
  request.response_finished = row.finished;
  request.injected = row.injected;
  request.further_responses = row.further;
  request.scores = scores;
  request.embedding = embedding;
  request.stream = static_cast<std::uint64_t>(row.index);
  return request;
}

Request RequestMaker::embed(InputRow& row, std::int64_t max_length) const {
  Request request;
  request.prompt = prompt_of(row);
  request.prompt_only = true;
  request.embedding = embedding;
  row.text_tokens = std::ssize(request.prompt);
  request.prompt.resize(static_cast<std::size_t>(std::min(row.text_tokens, max_length)));
  return request;
}

std::vector<std::int32_t> RequestMaker::prompt_of(const InputRow& row, bool bare) const {
  if (row.prompt_ids) return *row.prompt_ids;
  const bool has_messages = !row.messages.is_null();
  if (prompts.no_chat || row.plain) {
    if (has_messages)
      throw RequestError("messages: they need the chat template, which --no-chat leaves out; give a 'prompt'");
    if (row.thinking)
      throw RequestError("chat_template_kwargs: this prompt is given to the model without the chat template");
    if (bare) throw RequestError("prompt: it is given to the model without the chat template, which thinking needs");
    return prompter.tokens_of_text(row.prompt);
  }
  OrderedJson messages = row.messages;
  if (!has_messages) messages.push_back({{"role", "user"}, {"content", row.prompt}});
  if (bare) return prompter.tokens_of_chat(thinking.style->bare_prompt(prompter, messages, row.tools));
  const std::optional<bool> mode = row.thinking ? row.thinking : cli::thinking(prompts);
  return prompter.tokens_of_chat(prompter.render(messages, row.tools, mode));
}

std::vector<std::int32_t> RequestMaker::response_of(const InputRow& row) const {
  if (row.output_ids) return *row.output_ids;
  std::vector<std::int32_t> ids = prompter.tokenizer->encode(row.response);
  if (row.finished && end_token) ids.push_back(*end_token);
  if (ids.empty()) throw RequestError("response: found no token to score, at least one was needed");
  return ids;
}

}  // namespace kvgauge::cli
