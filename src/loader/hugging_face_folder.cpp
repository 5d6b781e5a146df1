#include <algorithm>
#include <set>

#include "core/cat.h"
#include "core/json.h"
#include "core/printable.h"
#include "kvgauge/error.h"
#include "loader/config_json.h"
#include "loader/opened_files.h"
#include "loader/safetensors.h"

namespace kvgauge {
namespace {

namespace fs = std::filesystem;

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

MappedFile required_file(const fs::path& path, std::string_view remedy) {
  if (!is_there(path))
    throw InputError(cat(path.string(), ": is missing, a Hugging Face model folder needs it; ", remedy));
  return MappedFile(path);
}

void add_weights(OpenedFiles& opened, const fs::path& path) {
  MappedFile file(path);
  auto tensors = parse_safetensors(file.bytes(), path.string());
  opened.file_of.insert(opened.file_of.end(), tensors.size(), opened.files.size());
  std::move(tensors.begin(), tensors.end(), std::back_inserter(opened.tensors));
  opened.files.push_back(std::move(file));
}

// model.safetensors.index.json: {"weight_map": {tensor: file}}. Returns the files, each once, in the order of their
// names.
std::set<std::string> shard_names(const Json& weight_map, const std::string& where) {
  if (!weight_map.is_object())
    throw FormatError(cat(where, ": 'weight_map' is ", weight_map.type_name(), ", an object was needed"));
  std::set<std::string> names;
  for (const auto& [tensor, file] : weight_map.items()) {
    if (!file.is_string())
      throw FormatError(cat(where, ": tensor '", printable(tensor), "': the file name is ", file.type_name(),
                            ", a string was needed"));
    const auto name = file.get<std::string>();
    if (fs::path(name).filename() != name || name.find('\0') != name.npos || name == "." || name == "..")
      throw FormatError(cat(where, ": tensor '", printable(tensor), "': '", printable(name),
                            "' is no plain name of a file in the folder"));
    names.insert(name);
  }
  return names;
}

void add_shards(OpenedFiles& opened, const fs::path& index_path) {
  const std::string where = index_path.string();
  const MappedFile index_file(index_path);
  const Json index = parse_json_unique(index_file.text(), where);
  const Json& weight_map = get_member(index, "weight_map", where);
  std::vector<std::string> shards;
  for (const std::string& shard : shard_names(weight_map, where)) {
    const fs::path path = index_path.parent_path() / shard;
    if (!is_there(path))
      throw InputError(cat(path.string(), ": is missing, ", where, " lists it; download all shards"));
    add_weights(opened, path);
    shards.push_back(shard);
  }
  std::set<std::string> seen;
  for (std::size_t i = 0; i < opened.tensors.size(); ++i) {
    const std::string& name = opened.tensors[i].name;
    const std::string& shard = shards[opened.file_of[i]];
    if (!seen.insert(name).second)
      throw FormatError(cat(where, ": tensor '", printable(name), "' is in two shards, one was needed"));
    if (!weight_map.contains(name) || weight_map[name] != shard)
      throw FormatError(cat(where, ": tensor '", printable(name), "' is in ", shard, ", the index says otherwise"));
  }
  for (const auto& [name, shard] : weight_map.items())
    if (!seen.contains(name))
      throw FormatError(cat(where, ": tensor '", printable(name), "' is not in ", printable(shard.get<std::string>()),
                            " as the index says"));
}

void open_weights(OpenedFiles& opened, const fs::path& folder) {
  const fs::path single = folder / "model.safetensors", index = folder / "model.safetensors.index.json";
  opened.where = (is_there(single) || !is_there(index) ? single : index).string();
  if (is_there(single)) return add_weights(opened, single);
  if (is_there(index)) return add_shards(opened, index);
  if (is_there(folder / "pytorch_model.bin") || is_there(folder / "pytorch_model.bin.index.json"))
    throw ConfigError(
        cat(folder.string(),
            ": holds pytorch_model.bin, model.safetensors was needed; transformers' save_pretrained writes it"));
  throw InputError(
      cat(single.string(),
          ": is missing, and so is model.safetensors.index.json; a Hugging Face model folder needs one of them"));
}

// The two flags replace what tokenizer.json's post-processor adds around a text, as transformers does it: files of the
// DeepSeek-R1 distills have their BOS only so.
void apply_surroundings(TokenizerSpec& spec, const TokenizerConfig& config, const std::string& where) {
  if (!config.add_bos && !config.add_eos) return;
  const auto ids = [&](const std::optional<bool>& add, const std::string& text) -> std::vector<std::int32_t> {
    if (!add.value_or(false) || text.empty()) return {};
    if (const auto id = find_token(spec, text)) return {*id};
    throw FormatError(cat(where, ": the token '", printable(text),
                          "' is to be added to each text, but tokenizer.json has no such token"));
  };
  spec.prefix = ids(config.add_bos, config.bos_token);
  spec.suffix = ids(config.add_eos, config.eos_token);
}

// The files beside tokenizer.json: special tokens and the template. chat_template.jinja wins over the older place.
void read_text_settings(OpenedFiles& opened, const fs::path& folder) {
  const fs::path config_path = folder / "tokenizer_config.json", template_path = folder / "chat_template.jinja";
  const fs::path map_path = folder / "special_tokens_map.json";
  TokenizerConfig config;
  if (is_there(config_path)) config = parse_tokenizer_config_json(MappedFile(config_path).text(), config_path.string());
  if (is_there(map_path)) {
    const auto older = parse_tokenizer_config_json(MappedFile(map_path).text(), map_path.string());
    if (config.bos_token.empty() && !is_there(config_path)) config.bos_token = older.bos_token;
    if (config.eos_token.empty()) config.eos_token = older.eos_token;
  }
  apply_surroundings(opened.tokenizer, config, config_path.string());
  opened.bos_token = config.bos_token;
  opened.eos_token = config.eos_token;
  opened.chat_template = config.chat_template;
  opened.chat_template_where = config_path.string();
  if (is_there(template_path)) {
    opened.chat_template = MappedFile(template_path).text();
    opened.chat_template_where = template_path.string();
  }
}

// generation_config.json, else config.json, else the text of the end-of-text token.
void read_generation(OpenedFiles& opened, const fs::path& folder, std::string_view config_text,
                     const std::string& config_where) {
  const fs::path path = folder / "generation_config.json";
  const auto fallback = parse_generation_json(config_text, config_where);
  check_generation(fallback, opened.config, config_where);
  if (is_there(path)) {
    opened.generation = parse_generation_json(MappedFile(path).text(), path.string());
    check_generation(opened.generation, opened.config, path.string());
  }
  if (!opened.generation.bos) opened.generation.bos = fallback.bos;
  if (opened.generation.eos.empty()) opened.generation.eos = fallback.eos;
  if (!opened.generation.eos.empty()) return;
  if (const auto id = find_token(opened.tokenizer, opened.eos_token)) opened.generation.eos.push_back(*id);
}

}  // namespace

std::optional<std::int32_t> find_token(const TokenizerSpec& spec, std::string_view text) {
  if (text.empty()) return std::nullopt;
  for (const AddedToken& token : spec.added)
    if (token.content == text) return token.id;
  const auto found = std::find(spec.tokens.begin(), spec.tokens.end(), text);
  if (found == spec.tokens.end()) return std::nullopt;
  return static_cast<std::int32_t>(found - spec.tokens.begin());
}

void check_tokenizer(const TokenizerSpec& spec, const ModelConfig& config, std::string_view where) {
  auto size = static_cast<std::int64_t>(spec.tokens.size());
  for (const AddedToken& token : spec.added) size = std::max<std::int64_t>(size, std::int64_t{token.id} + 1);
  if (size > config.vocab)
    throw FormatError(cat(where, ": the tokenizer has ", size, " tokens, at most the model's vocabulary of ",
                          config.vocab, " was needed"));
}

OpenedFiles open_hugging_face_folder(const fs::path& folder) {
  OpenedFiles opened;
  const fs::path config_path = folder / "config.json", tokenizer_path = folder / "tokenizer.json";
  const MappedFile config_file = required_file(config_path, "give a folder that has config.json, or a .gguf file");
  opened.config = parse_config_json(config_file.text(), config_path.string());
  opened.config.name = fs::weakly_canonical(folder).filename().string();
  open_weights(opened, folder);
  const MappedFile tokenizer_file = required_file(
      tokenizer_path,
      "if the model has another kind of tokenizer file, transformers' AutoTokenizer can save it as tokenizer.json");
  opened.tokenizer = parse_tokenizer_json(tokenizer_file.text(), tokenizer_path.string());
  check_tokenizer(opened.tokenizer, opened.config, tokenizer_path.string());
  read_text_settings(opened, folder);
  read_generation(opened, folder, config_file.text(), config_path.string());
  return opened;
}

}  // namespace kvgauge
