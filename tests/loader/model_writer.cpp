#include "model_writer.h"

#include <algorithm>
#include <stdexcept>

#include "core/cat.h"
#include "support/paths.h"

namespace kvgauge::testing {
namespace {

constexpr std::int64_t kLayers = 2, kHidden = 32, kHeads = 2, kHeadDim = 16, kKvHeads = 1, kIntermediate = 48,
                       kVocab = 300;

// GPT-2's byte alphabet: printable Latin-1 stands for itself, every other byte for U+0100 + its rank among them.
std::vector<std::string> byte_tokens() {
  std::vector<std::string> tokens;
  int others = 0;
  for (int byte = 0; byte < 256; ++byte) {
    const bool plain = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae);
    const int code = plain ? byte : 0x100 + others++;
    if (code < 0x80)
      tokens.emplace_back(1, static_cast<char>(code));
    else
      tokens.push_back({static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 0x3f))});
  }
  return tokens;
}

struct Vocabulary {
  std::vector<std::string> tokens = byte_tokens();
  std::vector<std::string> merges{"t h", "th e"};
  Vocabulary() { tokens.insert(tokens.end(), {"th", "the", "<|endoftext|>", "<|im_end|>", "<think>"}); }
};
constexpr int kEndOfText = 258, kImEnd = 259, kThink = 260;

struct Part {
  const char *hugging_face, *gguf;
  std::vector<std::int64_t> shape;
};

std::vector<Part> layer_parts(const std::string& architecture) {
  const std::int64_t q = kHeads * kHeadDim, kv = kKvHeads * kHeadDim;
  std::vector<Part> parts{{"input_layernorm.weight", "attn_norm.weight", {kHidden}},
                          {"self_attn.q_proj.weight", "attn_q.weight", {q, kHidden}},
                          {"self_attn.k_proj.weight", "attn_k.weight", {kv, kHidden}},
                          {"self_attn.v_proj.weight", "attn_v.weight", {kv, kHidden}},
                          {"self_attn.o_proj.weight", "attn_output.weight", {kHidden, q}},
                          {"post_attention_layernorm.weight", "ffn_norm.weight", {kHidden}},
                          {"mlp.gate_proj.weight", "ffn_gate.weight", {kIntermediate, kHidden}},
                          {"mlp.up_proj.weight", "ffn_up.weight", {kIntermediate, kHidden}},
                          {"mlp.down_proj.weight", "ffn_down.weight", {kHidden, kIntermediate}}};
  if (architecture == "qwen2") {
    parts.push_back({"self_attn.q_proj.bias", "attn_q.bias", {q}});
    parts.push_back({"self_attn.k_proj.bias", "attn_k.bias", {kv}});
    parts.push_back({"self_attn.v_proj.bias", "attn_v.bias", {kv}});
  }
  if (architecture == "qwen3") {
    parts.push_back({"self_attn.q_norm.weight", "attn_q_norm.weight", {kHeadDim}});
    parts.push_back({"self_attn.k_norm.weight", "attn_k_norm.weight", {kHeadDim}});
  }
  return parts;
}

std::int64_t elements(const std::vector<std::int64_t>& shape) {
  std::int64_t product = 1;
  for (const std::int64_t count : shape) product *= count;
  return product;
}

std::uint64_t padded(std::uint64_t bytes, std::uint64_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

}  // namespace

std::string safetensors_entry(const std::string& dtype, const std::vector<std::int64_t>& shape, std::uint64_t begin,
                              std::uint64_t end) {
  return cat(R"({"dtype":")", dtype, R"(","shape":[)", join(shape), R"(],"data_offsets":[)", begin, ",", end, "]}");
}

void GgufWriter::key(const std::string& name, std::uint32_t type, const std::string& value_bytes) {
  keys_.push_back({name, string(name) + bytes_of(type) + value_bytes});
}

void GgufWriter::key_strings(const std::string& name, const std::vector<std::string>& values) {
  std::string data = bytes_of(std::uint32_t{8}) + bytes_of(static_cast<std::uint64_t>(values.size()));
  for (const std::string& value : values) data += string(value);
  key(name, 9, data);
}

void GgufWriter::key_ints(const std::string& name, const std::vector<std::int32_t>& values) {
  std::string data = bytes_of(std::uint32_t{5}) + bytes_of(static_cast<std::uint64_t>(values.size()));
  for (const std::int32_t value : values) data += bytes_of(value);
  key(name, 9, data);
}

void GgufWriter::remove_key(const std::string& name) {
  std::erase_if(keys_, [&](const Key& key) { return key.name == name; });
}
void GgufWriter::remove_tensor(const std::string& name) {
  std::erase_if(tensors_, [&](const Tensor& tensor) { return tensor.name == name; });
}

GgufWriter::Tensor& GgufWriter::tensor(const std::string& name, const std::vector<std::uint64_t>& dimensions,
                                       std::uint32_t type, const std::string& data) {
  Tensor added;
  added.name = name;
  added.dimensions = dimensions;
  added.type = type;
  added.data = data;
  tensors_.push_back(added);
  return tensors_.back();
}

GgufWriter::Tensor& GgufWriter::find_tensor(const std::string& name) {
  for (Tensor& tensor : tensors_)
    if (tensor.name == name) return tensor;
  throw std::logic_error("no tensor " + name);
}

std::string GgufWriter::header() const {
  std::string out = magic + bytes_of(version) + bytes_of(static_cast<std::int64_t>(tensors_.size()) + extra_tensors) +
                    bytes_of(static_cast<std::int64_t>(keys_.size()) + extra_keys);
  for (const Key& key : keys_) out += key.bytes;
  std::uint64_t offset = 0;
  for (const Tensor& tensor : tensors_) {
    out += string(tensor.name) + bytes_of(static_cast<std::uint32_t>(tensor.dimensions.size()));
    for (const std::uint64_t count : tensor.dimensions) out += bytes_of(count);
    out += bytes_of(tensor.type) + bytes_of(tensor.offset < 0 ? offset : static_cast<std::uint64_t>(tensor.offset));
    offset += padded(tensor.data.size(), alignment);
  }
  return out;
}

std::string GgufWriter::bytes() const {
  std::string out = header();
  out.resize(padded(out.size(), alignment));
  for (const Tensor& tensor : tensors_) {
    out += tensor.data;
    out.resize(padded(out.size(), alignment));
  }
  return out;
}

GgufWriter tiny_gguf(const std::string& architecture) {
  GgufWriter file;
  const auto key = [&](const char* suffix) { return architecture + "." + suffix; };
  file.key_string("general.architecture", architecture);
  file.key_string("general.name", "tiny");
  file.key_u32(key("block_count"), kLayers);
  file.key_u32(key("embedding_length"), kHidden);
  file.key_u32(key("attention.head_count"), kHeads);
  file.key_u32(key("attention.head_count_kv"), kKvHeads);
  file.key_u32(key("feed_forward_length"), kIntermediate);
  file.key_u32(key("context_length"), 64);
  file.key_f32(key("attention.layer_norm_rms_epsilon"), 1e-6f);
  file.key_f32(key("rope.freq_base"), 10000);
  const Vocabulary vocabulary;
  file.key_string("tokenizer.ggml.model", "gpt2");
  file.key_string("tokenizer.ggml.pre", "qwen2");
  file.key_strings("tokenizer.ggml.tokens", vocabulary.tokens);
  std::vector<std::int32_t> kinds(vocabulary.tokens.size(), 1);
  kinds[kEndOfText] = kinds[kImEnd] = 3;
  kinds[kThink] = 4;
  file.key_ints("tokenizer.ggml.token_type", kinds);
  file.key_strings("tokenizer.ggml.merges", vocabulary.merges);
  file.key_u32("tokenizer.ggml.eos_token_id", kImEnd);
  file.key_u32("tokenizer.ggml.bos_token_id", kEndOfText);
  file.key_string("tokenizer.chat_template", "{{ messages[0].content }}");
  const auto add = [&](const std::string& name, const std::vector<std::int64_t>& shape) {
    const std::vector<std::uint64_t> dimensions(shape.rbegin(), shape.rend());
    file.tensor(name, dimensions, 0, std::string(static_cast<std::size_t>(elements(shape)) * 4, '\0'));
  };
  add("token_embd.weight", {kVocab, kHidden});
  add("output_norm.weight", {kHidden});
  for (std::int64_t layer = 0; layer < kLayers; ++layer)
    for (const Part& part : layer_parts(architecture)) add(cat("blk.", layer, ".", part.gguf), part.shape);
  return file;
}

TinyFolder tiny_folder(const std::string& architecture) {
  TinyFolder model;
  const char* const model_class = architecture == "llama"   ? "LlamaForCausalLM"
                                  : architecture == "qwen2" ? "Qwen2ForCausalLM"
                                                            : "Qwen3ForCausalLM";
  model.config = {{"architectures", {model_class}},
                  {"model_type", architecture},
                  {"vocab_size", kVocab},
                  {"hidden_size", kHidden},
                  {"num_hidden_layers", kLayers},
                  {"num_attention_heads", kHeads},
                  {"num_key_value_heads", kKvHeads},
                  {"head_dim", kHeadDim},
                  {"intermediate_size", kIntermediate},
                  {"max_position_embeddings", 64},
                  {"rms_norm_eps", 1e-6},
                  {"rope_theta", 10000.0},
                  {"hidden_act", "silu"},
                  {"tie_word_embeddings", true},
                  {"eos_token_id", kImEnd}};
  model.tensors = {{"model.embed_tokens.weight", {kVocab, kHidden}}, {"model.norm.weight", {kHidden}}};
  for (std::int64_t layer = 0; layer < kLayers; ++layer)
    for (const Part& part : layer_parts(architecture))
      model.tensors.emplace_back(cat("model.layers.", layer, ".", part.hugging_face), part.shape);
  model.tokenizer = parse_json(
      read_file(repo_path("tests/golden/models/" + (architecture == "llama" ? std::string("llama31") : architecture) +
                          "/tokenizer.json")),
      "tokenizer.json");
  model.tokenizer_config = {{"bos_token", nullptr},
                            {"eos_token", {{"content", "<|im_end|>"}}},
                            {"chat_template", "{{ messages[0].content }}"}};
  model.generation_config = {
      {"eos_token_id", {kImEnd, kEndOfText}}, {"temperature", 0.6}, {"top_p", 0.95}, {"top_k", 20}};
  return model;
}

std::string TinyFolder::weights() const {
  std::string header = "{\"__metadata__\":{\"format\":\"pt\"}";
  std::uint64_t end = 0;
  for (const auto& [name, shape] : tensors) {
    const std::uint64_t begin = end;
    end += static_cast<std::uint64_t>(elements(shape)) * 4;
    header += cat(",", Json(name).dump(), ":", safetensors_entry("F32", shape, begin, end));
  }
  return safetensors_file(header + "}", std::string(end, '\0'));
}

void TinyFolder::write(const std::filesystem::path& folder) const {
  write_file(folder / "config.json", config.dump());
  write_file(folder / "model.safetensors", weights());
  write_file(folder / "tokenizer.json", tokenizer.dump());
  write_file(folder / "tokenizer_config.json", tokenizer_config.dump());
  write_file(folder / "generation_config.json", generation_config.dump());
}

}  // namespace kvgauge::testing
