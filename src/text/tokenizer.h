#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kvgauge {

/// A token that is matched in the text before pre-tokenisation ("<|im_start|>", "<think>").
struct AddedToken {
  std::int32_t id = -1;
  std::string content;
  bool special = false;  ///< dropped by decode(skip_special); "<think>" of Qwen3 is added but not special
  bool lstrip = false, rstrip = false, single_word = false, normalized = false;
};

/// Everything that defines a byte-level BPE tokenizer, from tokenizer.json or from GGUF metadata.
struct TokenizerSpec {
  struct Split {
    std::string pattern;  ///< PCRE syntax as published; `\s` is rewritten to White_Space by the tokenizer
  };
  std::vector<std::string> tokens;  ///< id -> token in the byte-level alphabet ("Ġthe"); added tokens as plain text
  std::vector<std::pair<std::string, std::string>> merges;  ///< in rank order
  std::vector<AddedToken> added;
  std::vector<Split> splits;  ///< applied one after another, each "Isolated"
  bool nfc = false;
  bool ignore_merges = false;                ///< Llama-3: a whole pre-token that is in the vocabulary is one token
  std::vector<std::int32_t> prefix, suffix;  ///< what the post-processor adds around a text (BOS, EOS)
};

/// @throws FormatError / ConfigError naming `where` and the component that is malformed or not supported
TokenizerSpec parse_tokenizer_json(std::string_view text, std::string_view where);
/// The splits that llama.cpp's `tokenizer.ggml.pre` names (smollm, llama-bpe, qwen2, deepseek-r1-qwen, gpt-2, ...).
/// Fills splits, nfc and ignore_merges. @throws ConfigError for an unknown name, listing those known
void apply_gguf_pretokenizer(TokenizerSpec& spec, std::string_view pre, std::string_view where);

/// Byte-level BPE. Immutable after construction, so any number of threads may encode and decode at once.
class Tokenizer {
 public:
  /// @throws FormatError if the spec is inconsistent (a merge of unknown tokens, an id out of range, duplicates)
  explicit Tokenizer(TokenizerSpec spec, std::string_view where = "tokenizer");
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  struct EncodeOptions {
    bool parse_added = true;   ///< match added tokens inside the text
    bool add_special = false;  ///< put the post-processor's prefix and suffix around
  };
  /// @throws RequestError if the text is not valid UTF-8
  std::vector<std::int32_t> encode(std::string_view text, EncodeOptions options) const;
  std::vector<std::int32_t> encode(std::string_view text) const { return encode(text, EncodeOptions{}); }

  /// Whole sequence to text; bytes that form no UTF-8 become U+FFFD. Ids outside the vocabulary give nothing.
  std::string decode(std::span<const std::int32_t> ids, bool skip_special = false) const;
  /// The raw bytes of one token (may be part of a UTF-8 character).
  std::string_view token_bytes(std::int32_t id) const;

  std::int32_t size() const;                                         ///< one more than the largest id
  std::optional<std::int32_t> find(std::string_view content) const;  ///< exact token text or added token
  bool is_special(std::int32_t id) const;
  const std::vector<AddedToken>& added() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kvgauge
