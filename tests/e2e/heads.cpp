#include "e2e/heads.h"

#include <random>

#include "control/difficulty_head.h"
#include "core/json.h"
#include "loader/model_files.h"
#include "support/paths.h"

namespace kvgauge::testing {

std::string write_head(const std::filesystem::path& path, float constant, std::uint64_t seed,
                       const std::filesystem::path& model) {
  const ModelFiles files = ModelFiles::open(model.empty() ? repo_path("models/tiny-reasoner") : model);
  DifficultyHead head;
  head.window = {.layers = {1, 4}, .positions = 16};
  pin_to_model(head, files.config(), files.content_hash());
  head.hidden = 24;
  head.template_set = "native";
  head.training_data = std::string(64, '0');
  std::mt19937_64 random(seed);
  const auto draw = [&](std::int64_t count, float scale) {
    std::vector<float> values(static_cast<std::size_t>(count), 0.0f);
    for (float& value : values)
      if (seed != 0) value = scale * (static_cast<float>(random() >> 40) / 8388608.0f - 1);  // exact on every machine
    return values;
  };
  head.w1 = draw(head.hidden * head.features(), 0.2f);
  head.b1 = draw(head.hidden, 1);
  head.w2 = draw(head.hidden, 4);
  head.b2 = {constant};
  write_difficulty_head(path, head);
  return path.string();
}

std::string copy_without_think_tags(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  for (const char* const file : {"config.json", "generation_config.json", "model.safetensors"})
    std::filesystem::copy_file(repo_path(std::string("models/tiny-reasoner/") + file), folder / file);
  const auto source = [](const std::string& file) {
    return OrderedJson::parse(read_file(repo_path("models/tiny-reasoner/" + file)));
  };
  OrderedJson tokenizer = source("tokenizer.json"), config = source("tokenizer_config.json");
  for (OrderedJson& added : tokenizer["added_tokens"]) {  // the ids stay taken, under names that mean nothing
    const std::string content = added["content"];
    if (content == "<think>") added["content"] = "<|reserved_0|>";
    if (content == "</think>") added["content"] = "<|reserved_1|>";
  }
  for (auto& added : config["added_tokens_decoder"]) {
    const std::string content = added["content"];
    if (content == "<think>") added["content"] = "<|reserved_0|>";
    if (content == "</think>") added["content"] = "<|reserved_1|>";
  }
  OrderedJson vocab = OrderedJson::object();
  for (const auto& [token, id] : tokenizer["model"]["vocab"].items())
    vocab[token == "<think>" ? "<|reserved_0|>" : token == "</think>" ? "<|reserved_1|>" : token] = id;
  tokenizer["model"]["vocab"] = vocab;
  config["chat_template"] =
      "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
      "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
  write_file(folder / "tokenizer.json", tokenizer.dump());
  write_file(folder / "tokenizer_config.json", config.dump());
  return folder.string();
}

}  // namespace kvgauge::testing
