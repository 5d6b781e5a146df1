#include "models/gguf_models.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "core/cat.h"
#include "core/mapped_file.h"
#include "core/printable.h"
#include "core/rng.h"
#include "kvgauge/error.h"
#include "loader/gguf.h"
#include "loader/model_files.h"
#include "models/gguf_output.h"
#include "models/narrow.h"

namespace kvgauge::bench {
namespace {

/// llama.cpp's number of a file's type: what most of its matrices are.
std::uint32_t file_type(StoredType type) {
  switch (type) {
    case StoredType::kF32: return 0;
    case StoredType::kF16: return 1;
    case StoredType::kQ4_0: return 2;
    case StoredType::kQ4_1: return 3;
    case StoredType::kQ8_0: return 7;
    case StoredType::kQ5_0: return 8;
    case StoredType::kQ5_1: return 9;
    case StoredType::kQ4_K: return 14;
    case StoredType::kQ5_K: return 16;
    case StoredType::kQ6_K: return 18;
    case StoredType::kBF16: return 32;
  }
  return 0;
}

bool is_quantized(StoredType type) { return block_elements(type) > 1; }

void set_type(GgufOutput& file, StoredType type) {
  file.set_u32("general.file_type", file_type(type));
  if (is_quantized(type)) file.set_u32("general.quantization_version", 2);
}

/// One tensor of a file. Drawn at random, each value is mean + deviation * N(0, 1).
struct Planned {
  std::string name;
  TensorRole role;
  std::int64_t layer;
  std::int64_t rows = 0, columns = 0;  // rows 0: a vector, which stays F32
  float mean = 0, deviation = 0;
  StoredType type = StoredType::kF32;
};

std::vector<Planned> tensors_of(const ModelConfig& c, StoredType type) {
  std::vector<Planned> all;
  std::int64_t layer = -1;
  std::string p;
  const auto matrix = [&](const char* name, TensorRole role, std::int64_t rows, std::int64_t columns,
                          bool head = false) {
    all.push_back({p + name, role, layer, rows, columns, 0, 0.02f, type_in_file(type, head, columns)});
  };
  const auto norm = [&](const char* name, TensorRole role, std::int64_t size) {
    all.push_back({p + name, role, layer, 0, size, 1, 0.05f, StoredType::kF32});
  };
  const auto bias = [&](const char* name, TensorRole role, std::int64_t size) {
    all.push_back({p + name, role, layer, 0, size, 0, 0.1f, StoredType::kF32});
  };
  const std::int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
  matrix("token_embd.weight", TensorRole::kEmbedding, c.vocab, c.hidden, c.tied_head);
  norm("output_norm.weight", TensorRole::kOutputNorm, c.hidden);
  if (!c.tied_head) matrix("output.weight", TensorRole::kOutputHead, c.vocab, c.hidden, true);
  for (layer = 0; layer < c.layers; ++layer) {
    p = cat("blk.", layer, ".");
    norm("attn_norm.weight", TensorRole::kAttentionNorm, c.hidden);
    norm("ffn_norm.weight", TensorRole::kFfnNorm, c.hidden);
    matrix("attn_q.weight", TensorRole::kQ, q, c.hidden);
    matrix("attn_k.weight", TensorRole::kK, kv, c.hidden);
    matrix("attn_v.weight", TensorRole::kV, kv, c.hidden);
    matrix("attn_output.weight", TensorRole::kAttentionOut, c.hidden, q);
    if (c.qkv_bias) {
      bias("attn_q.bias", TensorRole::kQBias, q);
      bias("attn_k.bias", TensorRole::kKBias, kv);
      bias("attn_v.bias", TensorRole::kVBias, kv);
    }
    if (c.qk_norm) {
      norm("attn_q_norm.weight", TensorRole::kQNorm, c.head_dim);
      norm("attn_k_norm.weight", TensorRole::kKNorm, c.head_dim);
    }
    matrix("ffn_gate.weight", TensorRole::kGate, c.intermediate, c.hidden);
    matrix("ffn_up.weight", TensorRole::kUp, c.intermediate, c.hidden);
    matrix("ffn_down.weight", TensorRole::kDown, c.hidden, c.intermediate);
  }
  return all;
}

/// Values [first, first + count) of a tensor, four for each counter (Box-Muller on 32-bit uniforms).
void draw(const Planned& tensor, std::uint64_t seed, std::uint64_t stream, std::int64_t first, std::int64_t count,
          float* out) {
  std::array<float, 4> four{};
  for (std::int64_t i = first; i < first + count; ++i) {
    if (i == first || i % 4 == 0) {
      const auto words = philox(seed, static_cast<std::uint64_t>(i / 4), stream);
      for (std::size_t pair = 0; pair < 2; ++pair) {
        const auto uniform = [&](std::size_t w) { return (static_cast<float>(words[w]) + 0.5f) * 0x1p-32f; };
        const float radius = std::sqrt(-2 * std::log(uniform(2 * pair)));
        const float angle = 2 * std::numbers::pi_v<float> * uniform(2 * pair + 1);
        four[2 * pair] = radius * std::cos(angle);
        four[2 * pair + 1] = radius * std::sin(angle);
      }
    }
    out[i - first] = tensor.mean + tensor.deviation * four[static_cast<std::size_t>(i % 4)];
  }
}

/// Runs rows(first, count) over a tensor's rows on all cores, some thousand values at a time.
template <class Rows>
void over_rows(std::int64_t rows, std::int64_t columns, const Rows& run) {
  const std::int64_t step = std::max<std::int64_t>(1, 65536 / columns);
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t first = 0; first < rows; first += step) run(first, std::min(step, rows - first));
}

void set_shape(GgufOutput& file, const ModelConfig& c) {
  const std::string p = cat(name(c.architecture), ".");
  const auto count = [&](const char* key, std::int64_t value) {
    file.set_u32(p + key, static_cast<std::uint32_t>(value));
  };
  file.set_string("general.architecture", name(c.architecture));
  file.set_string("general.name", c.name + "-random");
  count("context_length", c.max_positions);
  count("embedding_length", c.hidden);
  count("block_count", c.layers);
  count("feed_forward_length", c.intermediate);
  count("attention.head_count", c.heads);
  count("attention.head_count_kv", c.kv_heads);
  count("attention.key_length", c.head_dim);
  count("attention.value_length", c.head_dim);
  count("rope.dimension_count", c.head_dim);
  count("vocab_size", c.vocab);
  file.set_f32(p + "rope.freq_base", static_cast<float>(c.rope_theta));
  file.set_f32(p + "attention.layer_norm_rms_epsilon", static_cast<float>(c.rms_norm_eps));
}

enum TokenKind : std::int32_t { kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5 };

void set_tokens(GgufOutput& file, std::vector<std::string> tokens, std::vector<std::int32_t> kinds,
                std::int64_t vocab) {
  for (auto i = static_cast<std::int64_t>(tokens.size()); i < vocab; ++i) {
    tokens.push_back(cat("[PAD", i, "]"));
    kinds.push_back(kUnused);
  }
  file.set_strings("tokenizer.ggml.tokens", tokens);
  file.set_ints("tokenizer.ggml.token_type", kinds);
}

std::string utf8(std::uint32_t point) {  // below U+0800
  if (point < 0x80) return std::string(1, static_cast<char>(point));
  return {static_cast<char>(0xc0 | point >> 6), static_cast<char>(0x80 | (point & 0x3f))};
}

// Byte-level BPE: a token for each byte (GPT-2's table: printable ones are themselves, the others follow from U+0100),
// one merge because readers expect some, and the end of a text.
void set_byte_tokenizer(GgufOutput& file, std::int64_t vocab) {
  std::vector<std::string> tokens;
  std::uint32_t replaced = 256;
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
    tokens.push_back(utf8(printable ? byte : replaced++));
  }
  tokens.emplace_back("th");
  std::vector<std::int32_t> kinds(tokens.size(), kNormal);
  tokens.emplace_back("<|endoftext|>");
  kinds.push_back(kControl);
  if (static_cast<std::int64_t>(tokens.size()) > vocab)
    throw UsageError(cat("a vocabulary of ", vocab, " tokens, at least ", tokens.size(), " were needed"));
  const auto end = static_cast<std::uint32_t>(tokens.size() - 1);
  file.set_string("tokenizer.ggml.model", "gpt2");
  file.set_string("tokenizer.ggml.pre", "gpt-2");
  file.set_strings("tokenizer.ggml.merges", std::array<std::string, 1>{"t h"});
  file.set_u32("tokenizer.ggml.bos_token_id", end);
  file.set_u32("tokenizer.ggml.eos_token_id", end);
  file.set_bool("tokenizer.ggml.add_bos_token", false);
  set_tokens(file, std::move(tokens), std::move(kinds), vocab);
}

void set_tokenizer_of(GgufOutput& file, const std::filesystem::path& donor, std::int64_t vocab) {
  const MappedFile bytes(donor);
  const GgufContents contents = parse_gguf(bytes.bytes(), donor.string());
  const GgufMetadata& metadata = contents.metadata;
  for (const auto& [key, value] : metadata.values())
    if (key.starts_with("tokenizer.")) file.set(key, value);
  const auto tokens = metadata.find_strings("tokenizer.ggml.tokens");
  if (!tokens) throw FormatError(cat(donor.string(), ": 'tokenizer.ggml.tokens' is missing"));
  const auto kinds =
      metadata.find_ints("tokenizer.ggml.token_type").value_or(std::vector<std::int64_t>(tokens->size(), kNormal));
  if (kinds.size() != tokens->size())
    throw FormatError(cat(donor.string(), ": 'tokenizer.ggml.token_type' has ", kinds.size(), " entries, ",
                          tokens->size(), " were needed"));
  if (static_cast<std::int64_t>(tokens->size()) > vocab)
    throw UsageError(cat("--tokenizer: ", donor.string(), " has ", tokens->size(), " tokens, at most the shape's ",
                         vocab, " were needed"));
  set_tokens(file, {tokens->begin(), tokens->end()}, {kinds.begin(), kinds.end()}, vocab);
}

void check_magnitudes(std::string_view tensor, const std::vector<float>& values, std::string_view where) {
  for (const float x : values)
    if (!(std::fabs(x) <= 65504))
      throw FormatError(
          cat(where, ": tensor '", printable(tensor), "': holds ", x, ", finite values of at most 65504 were needed"));
}

/// The name that GGUF has for how a tokenizer splits its texts.
std::string pretokenizer_of(const TokenizerSpec& spec, std::string_view where) {
  for (const char* name : {"gpt-2", "smollm", "llama-bpe", "qwen2"}) {
    TokenizerSpec preset;
    apply_gguf_pretokenizer(preset, name, where);
    if (preset.ignore_merges == spec.ignore_merges &&
        std::equal(preset.splits.begin(), preset.splits.end(), spec.splits.begin(), spec.splits.end(),
                   [](const auto& a, const auto& b) { return a.pattern == b.pattern; }))
      return name;
  }
  throw ConfigError(cat(where, ": the tokenizer splits texts in a way that GGUF has no name for"));
}

void set_tokenizer_of(GgufOutput& file, const ModelFiles& model, std::string_view where) {
  const TokenizerSpec& spec = model.tokenizer();
  std::vector<std::string> tokens = spec.tokens, merges;
  std::vector<std::int32_t> kinds(tokens.size(), kNormal);
  for (const AddedToken& added : spec.added) {
    const auto id = static_cast<std::size_t>(added.id);
    if (id >= tokens.size()) {
      tokens.resize(id + 1);
      kinds.resize(id + 1, kUnused);
    }
    tokens[id] = added.content;
    kinds[id] = added.special ? kControl : kUserDefined;
  }
  for (const auto& [left, right] : spec.merges) merges.push_back(cat(left, ' ', right));
  file.set_string("tokenizer.ggml.model", "gpt2");
  file.set_string("tokenizer.ggml.pre", pretokenizer_of(spec, where));
  file.set_strings("tokenizer.ggml.merges", merges);
  const GenerationDefaults& generation = model.generation();
  static constexpr std::array<const char*, 3> kEnds = {"eos", "eot", "eom"};
  for (std::size_t i = 0; i < std::min(kEnds.size(), generation.eos.size()); ++i)
    file.set_u32(cat("tokenizer.ggml.", kEnds[i], "_token_id"), static_cast<std::uint32_t>(generation.eos[i]));
  if (generation.bos) file.set_u32("tokenizer.ggml.bos_token_id", static_cast<std::uint32_t>(*generation.bos));
  file.set_bool("tokenizer.ggml.add_bos_token", !spec.prefix.empty());
  if (model.chat_template()) file.set_string("tokenizer.chat_template", *model.chat_template());
  set_tokens(file, std::move(tokens), std::move(kinds), model.config().vocab);
}

/// Row of a query or key matrix that GGUF keeps at `row`: it interleaves the halves of each head of a Llama.
std::int64_t source_row(const ModelConfig& config, const Planned& t, std::int64_t row) {
  if (config.architecture != Architecture::kLlama || (t.role != TensorRole::kQ && t.role != TensorRole::kK)) return row;
  const std::int64_t at = row % config.head_dim;
  return row - at + at / 2 + at % 2 * (config.head_dim / 2);
}

void rewrite_folder(const std::filesystem::path& from, const std::filesystem::path& path, StoredType type) {
  const ModelFiles model = ModelFiles::open(from);
  const ModelConfig& config = model.config();
  if (config.rope_scaling)
    throw ConfigError(cat(from.string(), ": its RoPE is scaled, a model without was needed: divisors are not written"));
  GgufOutput file;
  set_shape(file, config);
  file.set_string("general.name", config.name);
  set_type(file, type);
  set_tokenizer_of(file, model, from.string());
  const std::vector<Planned> tensors = tensors_of(config, type);
  for (const Planned& t : tensors) file.add_tensor(t.name, t.type, t.rows, t.columns);
  file.write(path, [&](std::size_t index, std::span<std::byte> data) {
    const Planned& t = tensors[index];
    const std::uint64_t row_bytes = stored_bytes(t.type, static_cast<std::uint64_t>(t.columns));
    std::vector<float> row(static_cast<std::size_t>(t.columns));
    for (std::int64_t r = 0; r < std::max<std::int64_t>(t.rows, 1); ++r) {
      model.read_rows(t.role, t.layer, source_row(config, t, r), 1, row.data());
      check_magnitudes(t.name, row, from.string());
      narrow(t.type, row.data(), t.columns, data.data() + static_cast<std::uint64_t>(r) * row_bytes);
    }
  });
}

bool is_matrix(const StoredTensor& t) { return t.rows > 1 && t.name.ends_with(".weight"); }

}  // namespace

StoredType type_in_file(StoredType wanted, bool head, std::int64_t columns) {
  const auto fits = [&](StoredType type) { return columns % block_elements(type) == 0; };
  StoredType type = wanted;
  if (head && is_quantized(wanted) && wanted != StoredType::kQ8_0) type = StoredType::kQ6_K;
  if (type == StoredType::kQ6_K && !fits(type)) type = StoredType::kQ8_0;
  if (type == StoredType::kQ4_K && !fits(type)) type = StoredType::kQ5_0;
  return fits(type) ? type : StoredType::kF16;
}

void write_random_model(const std::filesystem::path& path, const ModelConfig& shape, StoredType type,
                        std::uint64_t seed, const std::filesystem::path& tokenizer) {
  GgufOutput file;
  set_shape(file, shape);
  set_type(file, type);
  if (tokenizer.empty())
    set_byte_tokenizer(file, shape.vocab);
  else
    set_tokenizer_of(file, tokenizer, shape.vocab);
  const std::vector<Planned> tensors = tensors_of(shape, type);
  for (const Planned& t : tensors) file.add_tensor(t.name, t.type, t.rows, t.columns);
  file.write(path, [&](std::size_t index, std::span<std::byte> data) {
    const Planned& t = tensors[index];
    const std::uint64_t row_bytes = stored_bytes(t.type, static_cast<std::uint64_t>(t.columns));
    over_rows(std::max<std::int64_t>(t.rows, 1), t.columns, [&](std::int64_t first, std::int64_t rows) {
      std::vector<float> values(static_cast<std::size_t>(rows * t.columns));
      draw(t, seed, index, first * t.columns, rows * t.columns, values.data());
      narrow(t.type, values.data(), rows * t.columns, data.data() + static_cast<std::uint64_t>(first) * row_bytes);
    });
  });
}

void rewrite_model(const std::filesystem::path& from, const std::filesystem::path& path, StoredType type) {
  if (std::filesystem::is_directory(from)) return rewrite_folder(from, path, type);
  const MappedFile source(from);
  const GgufContents contents = parse_gguf(source.bytes(), from.string());
  GgufOutput file;
  for (const auto& [key, value] : contents.metadata.values()) file.set(key, value);
  set_type(file, type);
  file.set_u32("general.alignment", 32);
  const bool tied = std::none_of(contents.tensors.begin(), contents.tensors.end(),
                                 [](const StoredTensor& t) { return t.name == "output.weight"; });
  std::vector<StoredType> types;
  for (const StoredTensor& t : contents.tensors) {
    const bool head = t.name == (tied ? "token_embd.weight" : "output.weight");
    types.push_back(is_matrix(t) ? type_in_file(type, head, t.columns) : t.type);
    file.add_tensor(t.name, types.back(), t.rows == 1 ? 0 : t.rows, t.columns);
  }
  file.write(path, [&](std::size_t index, std::span<std::byte> data) {
    const StoredTensor& t = contents.tensors[index];
    if (types[index] == t.type) {
      std::copy(t.data.begin(), t.data.end(), data.begin());
      return;
    }
    const std::uint64_t from_bytes = stored_bytes(t.type, static_cast<std::uint64_t>(t.columns)),
                        to_bytes = stored_bytes(types[index], static_cast<std::uint64_t>(t.columns));
    std::vector<float> row(static_cast<std::size_t>(t.columns));
    for (std::uint64_t r = 0; r < static_cast<std::uint64_t>(t.rows); ++r) {
      widen(t.type, t.data.data() + r * from_bytes, t.columns, row.data());
      check_magnitudes(t.name, row, from.string());
      narrow(types[index], row.data(), t.columns, data.data() + r * to_bytes);
    }
  });
}

}  // namespace kvgauge::bench
