#include <algorithm>
#include <array>

#include "core/cat.h"
#include "core/printable.h"
#include "kvgauge/error.h"
#include "loader/config_json.h"
#include "loader/gguf.h"
#include "loader/opened_files.h"

namespace kvgauge {
namespace {

template <class T>
T required(std::optional<T> value, std::string_view key, const GgufMetadata& metadata) {
  if (!value) throw FormatError(cat(metadata.where(), ": '", key, "' is missing"));
  return *std::move(value);
}

[[noreturn]] void refuse(const GgufMetadata& metadata, std::string_view what, std::string_view needed) {
  throw ConfigError(cat(metadata.where(), ": ", what, " is not supported, ", needed, " was needed"));
}

Architecture architecture(const GgufMetadata& metadata) {
  const auto found = required(metadata.find_string("general.architecture"), "general.architecture", metadata);
  for (const Architecture known : {Architecture::kLlama, Architecture::kQwen2, Architecture::kQwen3})
    if (found == name(known)) return known;
  refuse(metadata, cat("architecture '", printable(found), "'"), "llama, qwen2 or qwen3");
}

/// The keys that start with the architecture's name.
class ModelKeys {
 public:
  ModelKeys(const GgufMetadata& metadata, Architecture architecture)
      : metadata_(metadata), prefix_(cat(name(architecture), ".")) {}

  std::string key(std::string_view suffix) const { return cat(prefix_, suffix); }
  std::optional<std::int64_t> find_int(std::string_view suffix) const { return metadata_.find_int(key(suffix)); }
  std::optional<double> find_number(std::string_view suffix) const { return metadata_.find_number(key(suffix)); }
  std::optional<std::string_view> find_string(std::string_view suffix) const {
    return metadata_.find_string(key(suffix));
  }
  std::int64_t get_int(std::string_view suffix) const { return required(find_int(suffix), key(suffix), metadata_); }

  /// A count that may be given per layer; we need the same in all of them.
  std::optional<std::int64_t> find_count(std::string_view suffix) const {
    const auto counts = metadata_.find_ints(key(suffix));
    if (!counts) return std::nullopt;
    if (counts->empty()) throw FormatError(cat(metadata_.where(), ": '", key(suffix), "' is empty"));
    if (std::any_of(counts->begin(), counts->end(), [&](std::int64_t count) { return count != counts->front(); }))
      refuse(metadata_, cat("'", key(suffix), "' that differs between layers"), "one value");
    return counts->front();
  }
  std::int64_t get_count(std::string_view suffix) const { return required(find_count(suffix), key(suffix), metadata_); }

 private:
  const GgufMetadata& metadata_;
  std::string prefix_;
};

// Options that change the computation and that we do not have.
void refuse_unsupported(const ModelKeys& keys, const GgufMetadata& metadata, std::int64_t head_dim) {
  if (metadata.find_int("split.count").value_or(1) > 1)
    refuse(metadata, "a GGUF file split into parts", "one file; llama.cpp's gguf-split --merge joins them");
  if (keys.find_int("expert_count").value_or(0) > 0) refuse(metadata, "a mixture of experts", "a dense model");
  if (keys.find_int("attention.sliding_window").value_or(0) > 0)
    refuse(metadata, "a sliding attention window", "full attention");
  const auto scaling = keys.find_string("rope.scaling.type").value_or("none");
  if (scaling != "none")
    refuse(metadata, cat("RoPE scaling '", printable(scaling), "'"), "none or Llama 3's rope_freqs.weight");
  for (const char* factor : {"rope.scale_linear", "rope.scaling.factor"})
    if (keys.find_number(factor).value_or(1) != 1) refuse(metadata, cat("'", keys.key(factor), "' other than 1"), "1");
  if (const auto turned = keys.find_int("rope.dimension_count").value_or(head_dim); turned != head_dim)
    refuse(metadata, cat("RoPE on ", turned, " of ", head_dim, " dimensions of a head"), "RoPE on all of them");
  if (const auto value_dim = keys.find_int("attention.value_length").value_or(head_dim); value_dim != head_dim)
    refuse(metadata, cat("a value length of ", value_dim), cat("the key length ", head_dim));
}

const StoredTensor* find_tensor(const OpenedFiles& opened, std::string_view tensor) {
  const auto found = std::find_if(opened.tensors.begin(), opened.tensors.end(),
                                  [&](const StoredTensor& t) { return t.name == tensor; });
  return found == opened.tensors.end() ? nullptr : &*found;
}

/// Llama 3.1's scaling arrives as divisors of the inverse frequencies.
std::vector<float> rope_factors(const OpenedFiles& opened, std::int64_t head_dim) {
  const StoredTensor* const t = find_tensor(opened, "rope_freqs.weight");
  if (!t) return {};
  if (t->rows != 1 || t->columns != head_dim / 2)
    throw FormatError(cat(opened.where, ": tensor 'rope_freqs.weight': its shape is [", t->rows, ", ", t->columns,
                          "], the config needs [", head_dim / 2, "]"));
  std::vector<float> factors(static_cast<std::size_t>(t->columns));
  widen(t->type, t->data.data(), t->columns, factors.data());
  return factors;
}

std::int64_t vocabulary(const OpenedFiles& opened, const ModelKeys& keys) {
  if (const StoredTensor* const embedding = find_tensor(opened, "token_embd.weight")) return embedding->rows;
  return keys.get_int("vocab_size");
}

ModelConfig read_config(const OpenedFiles& opened, const GgufMetadata& metadata) {
  ModelConfig config;
  config.architecture = architecture(metadata);
  const ModelKeys keys(metadata, config.architecture);
  config.name = metadata.find_string("general.name").value_or("");
  config.layers = keys.get_int("block_count");
  config.hidden = keys.get_int("embedding_length");
  config.heads = keys.get_count("attention.head_count");
  config.kv_heads = keys.find_count("attention.head_count_kv").value_or(config.heads);
  config.intermediate = keys.get_count("feed_forward_length");
  config.max_positions = keys.get_int("context_length");
  config.rms_norm_eps = required(keys.find_number("attention.layer_norm_rms_epsilon"),
                                 keys.key("attention.layer_norm_rms_epsilon"), metadata);
  config.rope_theta = keys.find_number("rope.freq_base").value_or(config.rope_theta);
  config.vocab = vocabulary(opened, keys);
  if (config.heads < 1)
    throw FormatError(cat(opened.where, ": '", keys.key("attention.head_count"), "' is ", config.heads,
                          ", a positive count was needed"));
  const auto key_length = keys.find_int("attention.key_length");
  if (!key_length && config.hidden % config.heads != 0)
    throw FormatError(cat(opened.where, ": ", config.hidden, " values do not divide by ", config.heads, " heads and '",
                          keys.key("attention.key_length"), "' is missing"));
  config.head_dim = key_length.value_or(config.hidden / config.heads);
  refuse_unsupported(keys, metadata, config.head_dim);
  config.tied_head = !find_tensor(opened, "output.weight");
  config.qkv_bias = config.architecture == Architecture::kQwen2 || find_tensor(opened, "blk.0.attn_q.bias");
  config.qk_norm = config.architecture == Architecture::kQwen3;
  check_model_config(config, opened.where);  // before head_dim sizes anything
  config.rope_factors = rope_factors(opened, config.head_dim);
  check_model_config(config, opened.where);
  return config;
}

enum TokenKind : std::int64_t { kControl = 3, kUserDefined = 4 };

void read_added_tokens(TokenizerSpec& spec, const GgufMetadata& metadata) {
  const auto kinds = metadata.find_ints("tokenizer.ggml.token_type");
  if (!kinds) return;
  if (kinds->size() != spec.tokens.size())
    throw FormatError(cat(metadata.where(), ": 'tokenizer.ggml.token_type' has ", kinds->size(),
                          " entries, one for each of ", spec.tokens.size(), " tokens was needed"));
  for (std::size_t id = 0; id < kinds->size(); ++id) {
    const std::int64_t kind = (*kinds)[id];
    if (kind != kControl && kind != kUserDefined) continue;
    AddedToken token;
    token.id = static_cast<std::int32_t>(id);
    token.content = spec.tokens[id];
    token.special = kind == kControl;
    spec.added.push_back(std::move(token));
  }
}

void read_merges(TokenizerSpec& spec, const GgufMetadata& metadata) {
  const auto merges = required(metadata.find_strings("tokenizer.ggml.merges"), "tokenizer.ggml.merges", metadata);
  spec.merges.reserve(merges.size());
  for (const std::string_view merge : merges) {
    const auto space = merge.find(' ', 1);
    if (space == merge.npos || space + 1 == merge.size())
      throw FormatError(
          cat(metadata.where(), ": the merge '", printable(merge), "' is not two tokens with a space between"));
    spec.merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
}

std::optional<std::int32_t> find_token_id(const GgufMetadata& metadata, const char* key, std::size_t tokens) {
  const auto id = metadata.find_int(cat("tokenizer.ggml.", key));
  if (!id) return std::nullopt;
  if (*id < 0 || static_cast<std::uint64_t>(*id) >= tokens)
    throw FormatError(cat(metadata.where(), ": 'tokenizer.ggml.", key, "' is ", *id, ", an id below the ", tokens,
                          " tokens was needed"));
  return static_cast<std::int32_t>(*id);
}

// BOS and EOS around a text. Files of Llama 3 rely on BOS being the default of their pre-tokenizer.
void read_surroundings(TokenizerSpec& spec, const GgufMetadata& metadata, std::string_view pre) {
  const bool llama3 = pre == "llama-bpe" || pre == "llama3" || pre == "llama-v3";
  const auto add = [&](const char* flag, const char* id_key, bool fallback, std::vector<std::int32_t>& where) {
    if (!metadata.find_bool(cat("tokenizer.ggml.", flag)).value_or(fallback)) return;
    where.push_back(
        required(find_token_id(metadata, id_key, spec.tokens.size()), cat("tokenizer.ggml.", id_key), metadata));
  };
  add("add_bos_token", "bos_token_id", llama3, spec.prefix);
  add("add_eos_token", "eos_token_id", false, spec.suffix);
}

TokenizerSpec read_tokenizer(const GgufMetadata& metadata) {
  const auto model = required(metadata.find_string("tokenizer.ggml.model"), "tokenizer.ggml.model", metadata);
  if (model != "gpt2") refuse(metadata, cat("tokenizer model '", printable(model), "'"), "'gpt2' (byte-level BPE)");
  TokenizerSpec spec;
  const auto tokens = required(metadata.find_strings("tokenizer.ggml.tokens"), "tokenizer.ggml.tokens", metadata);
  spec.tokens.assign(tokens.begin(), tokens.end());
  read_added_tokens(spec, metadata);
  read_merges(spec, metadata);
  const auto pre = metadata.find_string("tokenizer.ggml.pre").value_or("default");
  apply_gguf_pretokenizer(spec, pre, metadata.where());
  read_surroundings(spec, metadata, pre);
  return spec;
}

/// GGUF names one or two ends of text; instruction models stop at others too, which are known by their texts.
GenerationDefaults read_generation(const TokenizerSpec& spec, const GgufMetadata& metadata) {
  static constexpr std::array<std::string_view, 7> kEnds{"<|endoftext|>",
                                                         "<|im_end|>",
                                                         "<|eot_id|>",
                                                         "<|eom_id|>",
                                                         "<|end_of_text|>",
                                                         "<|end|>",
                                                         "<\xef\xbd\x9c"
                                                         "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>"};
  GenerationDefaults generation;
  const auto add = [&](std::int32_t id) {
    if (std::find(generation.eos.begin(), generation.eos.end(), id) == generation.eos.end())
      generation.eos.push_back(id);
  };
  for (const char* key : {"eos_token_id", "eot_token_id", "eom_token_id"})
    if (const auto id = find_token_id(metadata, key, spec.tokens.size())) add(*id);
  for (const AddedToken& token : spec.added)
    if (token.special && std::find(kEnds.begin(), kEnds.end(), token.content) != kEnds.end()) add(token.id);
  generation.bos = find_token_id(metadata, "bos_token_id", spec.tokens.size());
  return generation;
}

std::string token_text(const TokenizerSpec& spec, std::optional<std::int32_t> id) {
  return id ? spec.tokens[static_cast<std::size_t>(*id)] : std::string();
}

}  // namespace

OpenedFiles read_gguf_model(std::span<const std::byte> file, const std::string& where) {
  OpenedFiles opened;
  opened.where = where;
  opened.naming = Naming::kGguf;
  GgufContents contents = parse_gguf(file, where);
  const GgufMetadata& metadata = contents.metadata;
  opened.tensors = std::move(contents.tensors);
  opened.file_of.assign(opened.tensors.size(), 0);
  opened.config = read_config(opened, metadata);
  opened.interleaved_heads = opened.config.architecture == Architecture::kLlama;
  opened.tokenizer = read_tokenizer(metadata);
  check_tokenizer(opened.tokenizer, opened.config, where);
  opened.generation = read_generation(opened.tokenizer, metadata);
  opened.bos_token = token_text(opened.tokenizer, opened.generation.bos);
  opened.eos_token =
      token_text(opened.tokenizer, find_token_id(metadata, "eos_token_id", opened.tokenizer.tokens.size()));
  if (const auto text = metadata.find_string("tokenizer.chat_template")) opened.chat_template = std::string(*text);
  opened.chat_template_where = where;
  return opened;
}

OpenedFiles open_gguf_file(const std::filesystem::path& path) {
  MappedFile file(path);
  OpenedFiles opened = read_gguf_model(file.bytes(), path.string());
  if (opened.config.name.empty()) opened.config.name = path.stem().string();
  opened.files.push_back(std::move(file));
  return opened;
}

}  // namespace kvgauge
