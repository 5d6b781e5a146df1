#include "loader/config_json.h"

#include <cmath>
#include <limits>

#include "core/cat.h"
#include "core/json.h"
#include "core/printable.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace {

constexpr const char* kSupported = "LlamaForCausalLM, Qwen2ForCausalLM or Qwen3ForCausalLM was needed";

Architecture architecture(const Json& json, std::string_view where) {
  const Json none;
  const Json& list = json.is_object() && json.contains("architectures") ? json["architectures"] : none;
  if (!list.is_array() || list.size() != 1 || !list[0].is_string())
    throw FormatError(cat(where, ": 'architectures' names no single model class, ", kSupported));
  const auto found = list[0].get<std::string>();
  if (found == "LlamaForCausalLM") return Architecture::kLlama;
  if (found == "Qwen2ForCausalLM") return Architecture::kQwen2;
  if (found == "Qwen3ForCausalLM") return Architecture::kQwen3;
  throw ConfigError(cat(where, ": architecture '", printable(found), "' is not supported, ", kSupported));
}

[[noreturn]] void refuse(std::string_view where, std::string_view what, std::string_view needed) {
  throw ConfigError(cat(where, ": ", what, " is not supported, ", needed, " was needed"));
}

// Options that change the computation and that we do not have.
void refuse_unsupported(const Json& json, std::string_view where) {
  const auto activation = find_string(json, "hidden_act", where).value_or("silu");
  if (activation != "silu") refuse(where, cat("hidden_act '", printable(activation), "'"), "'silu'");
  for (const char* key : {"attention_bias", "mlp_bias", "use_sliding_window"})
    if (find_bool(json, key, where).value_or(false)) refuse(where, cat("'", key, "': true"), "false");
  if (find_number(json, "partial_rotary_factor", where).value_or(1) != 1)
    refuse(where, "'partial_rotary_factor' other than 1", "1");
  if (json.contains("layer_types") && !json["layer_types"].is_null()) {
    const Json& types = json["layer_types"];
    if (!types.is_array())
      throw FormatError(cat(where, ": 'layer_types' is ", types.type_name(), ", an array was needed"));
    for (const Json& type : types)
      if (type != "full_attention")
        refuse(where, cat("layer type ", printable(type.dump(-1, ' ', true))), "'full_attention'");
  }
  if (json.contains("quantization_config") && json["quantization_config"].is_object()) {
    const auto method = find_string(json["quantization_config"], "quant_method", where).value_or("unnamed");
    refuse(where, cat("quantization_config '", printable(method), "'"),
           "an unquantized model (F32, F16, BF16) or a GGUF file");
  }
}

Llama3RopeScaling llama3_scaling(const Json& rope, std::int64_t max_positions, std::string_view where) {
  Llama3RopeScaling scaling;
  scaling.factor = get_number(rope, "factor", where);
  scaling.low_freq_factor = get_number(rope, "low_freq_factor", where);
  scaling.high_freq_factor = get_number(rope, "high_freq_factor", where);
  scaling.original_max_position = find_int(rope, "original_max_position_embeddings", where).value_or(max_positions);
  return scaling;
}

// `rope_theta` and `rope_scaling`, or both in `rope_parameters` (transformers 5).
void read_rope(const Json& json, ModelConfig& config, std::string_view where) {
  const bool joined = json.contains("rope_parameters") && !json["rope_parameters"].is_null();
  const char* const key = joined ? "rope_parameters" : "rope_scaling";
  const std::string place = cat(where, ": ", key);
  config.rope_theta = find_number(json, "rope_theta", where).value_or(config.rope_theta);
  if (!json.contains(key) || json[key].is_null()) return;
  const Json& rope = json[key];
  const auto type = find_string(rope, "rope_type", place);
  const auto old_type = find_string(rope, "type", place);  // the spelling before transformers 4.43
  const std::string kind = type ? *type : old_type.value_or("default");
  config.rope_theta = find_number(rope, "rope_theta", place).value_or(config.rope_theta);
  if (find_number(rope, "partial_rotary_factor", place).value_or(1) != 1)
    refuse(place, "'partial_rotary_factor' other than 1", "1");
  if (kind == "llama3")
    config.rope_scaling = llama3_scaling(rope, config.max_positions, place);
  else if (kind != "default")
    refuse(place, cat("rope type '", printable(kind), "'"), "'default' or 'llama3'");
  for (const auto& [member, value] : rope.items())  // a table per layer type
    if (value.is_object()) refuse(place, cat("the table '", printable(member), "'"), "one setting for all layers");
}

std::int32_t token_id(const Json& value, const char* key, std::string_view where) {
  if (!value.is_number_integer())
    throw FormatError(cat(where, ": '", key, "' holds ", value.type_name(), ", token ids were needed"));
  const bool fits =
      value.is_number_unsigned() ? value.get<std::uint64_t>() <= 0x7fffffffu : value.get<std::int64_t>() >= 0;
  if (!fits) throw FormatError(cat(where, ": '", key, "' holds ", value.dump(), ", which is no token id"));
  return value.get<std::int32_t>();
}

// A token is written as its text or as an object with `content`.
std::string token_text(const Json& json, const char* key, std::string_view where) {
  if (!json.contains(key) || json[key].is_null()) return "";
  if (json[key].is_object()) return get_string(json[key], "content", cat(where, ": ", key));
  return get_string(json, key, where);
}

std::optional<std::string> default_template(const Json& json, std::string_view where) {
  if (!json.contains("chat_template") || !json["chat_template"].is_array())
    return find_string(json, "chat_template", where);
  for (const Json& entry : json["chat_template"])
    if (get_string(entry, "name", cat(where, ": chat_template")) == "default")
      return get_string(entry, "template", cat(where, ": chat_template"));
  return std::nullopt;
}

void check_count(std::int64_t value, std::int64_t most, const char* what, std::string_view where) {
  if (value < 1 || value > most)
    throw FormatError(cat(where, ": ", what, " is ", value, ", 1 to ", most, " was needed"));
}

void check_positive(double value, const char* what, std::string_view where) {
  if (!std::isfinite(value) || value <= 0)
    throw FormatError(cat(where, ": ", what, " is ", value, ", a positive number was needed"));
}

}  // namespace

ModelConfig parse_config_json(std::string_view text, std::string_view where) {
  const Json json = parse_json(text, where);
  ModelConfig config;
  config.architecture = architecture(json, where);
  refuse_unsupported(json, where);
  config.layers = get_int(json, "num_hidden_layers", where);
  config.hidden = get_int(json, "hidden_size", where);
  config.heads = get_int(json, "num_attention_heads", where);
  config.kv_heads = find_int(json, "num_key_value_heads", where).value_or(config.heads);
  config.intermediate = get_int(json, "intermediate_size", where);
  config.vocab = get_int(json, "vocab_size", where);
  config.max_positions = get_int(json, "max_position_embeddings", where);
  config.rms_norm_eps = find_number(json, "rms_norm_eps", where).value_or(config.rms_norm_eps);
  config.tied_head = find_bool(json, "tie_word_embeddings", where).value_or(false);
  config.qkv_bias = config.architecture == Architecture::kQwen2;
  config.qk_norm = config.architecture == Architecture::kQwen3;
  check_count(config.heads, 4096, "num_attention_heads", where);
  // Absent: Qwen3's class has 128, the others divide.
  const auto head_dim = find_int(json, "head_dim", where);
  if (!head_dim && config.architecture != Architecture::kQwen3 && config.hidden % config.heads != 0)
    throw FormatError(cat(where, ": hidden_size ", config.hidden, " is no multiple of num_attention_heads ",
                          config.heads, " and 'head_dim' is missing"));
  config.head_dim = head_dim                                      ? *head_dim
                    : config.architecture == Architecture::kQwen3 ? 128
                                                                  : config.hidden / config.heads;
  read_rope(json, config, where);
  check_model_config(config, where);
  return config;
}

GenerationDefaults parse_generation_json(std::string_view text, std::string_view where) {
  const Json json = parse_json(text, where);
  GenerationDefaults generation;
  generation.samples = find_bool(json, "do_sample", where);
  generation.temperature = find_number(json, "temperature", where);
  generation.top_p = find_number(json, "top_p", where);
  generation.top_k = find_int(json, "top_k", where);
  const auto member = [&](const char* key) { return json.contains(key) ? json[key] : Json(); };
  if (const Json bos = member("bos_token_id"); !bos.is_null()) generation.bos = token_id(bos, "bos_token_id", where);
  const Json eos = member("eos_token_id");
  if (eos.is_array()) {
    for (const Json& id : eos) generation.eos.push_back(token_id(id, "eos_token_id", where));
  } else if (!eos.is_null()) {
    generation.eos.push_back(token_id(eos, "eos_token_id", where));
  }
  return generation;
}

TokenizerConfig parse_tokenizer_config_json(std::string_view text, std::string_view where) {
  const Json json = parse_json(text, where);
  TokenizerConfig config;
  config.chat_template = default_template(json, where);
  config.bos_token = token_text(json, "bos_token", where);
  config.eos_token = token_text(json, "eos_token", where);
  config.add_bos = find_bool(json, "add_bos_token", where);
  config.add_eos = find_bool(json, "add_eos_token", where);
  return config;
}

void check_model_config(const ModelConfig& config, std::string_view where) {
  check_count(config.layers, 4096, "the number of layers", where);
  check_count(config.hidden, 1 << 20, "the hidden size", where);
  check_count(config.heads, 4096, "the number of attention heads", where);
  check_count(config.kv_heads, 4096, "the number of key-value heads", where);
  check_count(config.head_dim, 4096, "the head dimension", where);
  check_count(config.intermediate, 1 << 24, "the intermediate size", where);
  check_count(config.vocab, 1 << 24, "the vocabulary size", where);
  check_count(config.max_positions, std::int64_t{1} << 31, "the context length", where);
  if (config.heads % config.kv_heads != 0)
    throw FormatError(
        cat(where, ": ", config.heads, " attention heads are no multiple of ", config.kv_heads, " key-value heads"));
  if (config.head_dim % 2 != 0)
    throw FormatError(cat(where, ": the head dimension is ", config.head_dim, ", an even number was needed"));
  check_positive(config.rms_norm_eps, "the RMSNorm epsilon", where);
  check_positive(config.rope_theta, "the RoPE base", where);
  if (const auto& scaling = config.rope_scaling) {
    check_positive(scaling->factor, "the RoPE scaling factor", where);
    check_positive(scaling->low_freq_factor, "low_freq_factor", where);
    check_count(scaling->original_max_position, std::int64_t{1} << 31, "original_max_position_embeddings", where);
    if (!(scaling->high_freq_factor > scaling->low_freq_factor) || !std::isfinite(scaling->high_freq_factor))
      throw FormatError(cat(where, ": high_freq_factor is ", scaling->high_freq_factor, ", more than low_freq_factor ",
                            scaling->low_freq_factor, " was needed"));
  }
  for (const float factor : config.rope_factors) check_positive(static_cast<double>(factor), "a RoPE factor", where);
}

void check_generation(const GenerationDefaults& generation, const ModelConfig& config, std::string_view where) {
  const auto check = [&](std::int32_t id, const char* key) {
    if (id < 0 || id >= config.vocab)
      throw FormatError(
          cat(where, ": ", key, " is ", id, ", an id below the vocabulary size ", config.vocab, " was needed"));
  };
  for (const std::int32_t id : generation.eos) check(id, "the end-of-text id");
  if (generation.bos) check(*generation.bos, "the begin-of-text id");
}

}  // namespace kvgauge
