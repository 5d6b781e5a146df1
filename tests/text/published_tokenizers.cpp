#include "text/published_tokenizers.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <unordered_map>

#include "support/paths.h"
#include "text/tokenizer_bytes.h"

namespace kvgauge::testing {
namespace {

class Bytes {
 public:
  explicit Bytes(std::string data) : data_(std::move(data)) {}
  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string take(std::size_t count) {
    if (count > data_.size() - at_) throw std::runtime_error("file ends early");
    at_ += count;
    return data_.substr(at_ - count, count);
  }
  bool at_end() const { return at_ == data_.size(); }

 private:
  std::string data_;
  std::size_t at_ = 0;
};

// Just enough of GGUF v3 for the tokenizer's metadata; the product's loader is not used, so that the two check each
// other.
Json gguf_value(Bytes& in, std::uint32_t type) {
  switch (type) {
    case 0: return in.number<std::uint8_t>();
    case 1: return in.number<std::int8_t>();
    case 2: return in.number<std::uint16_t>();
    case 3: return in.number<std::int16_t>();
    case 4: return in.number<std::uint32_t>();
    case 5: return in.number<std::int32_t>();
    case 6: return in.number<float>();
    case 7: return in.number<std::uint8_t>() != 0;
    case 8: return in.take(in.number<std::uint64_t>());
    case 9: {
      const auto item = in.number<std::uint32_t>();
      const auto count = in.number<std::uint64_t>();
      Json list = Json::array();
      for (std::uint64_t i = 0; i < count; ++i) list.push_back(gguf_value(in, item));
      return list;
    }
    case 10: return in.number<std::uint64_t>();
    case 11: return in.number<std::int64_t>();
    case 12: return in.number<double>();
    default: throw std::runtime_error("unknown GGUF type");
  }
}

std::string base64(const std::string& text) {
  static const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  unsigned bits = 0, count = 0;
  for (const char c : text) {
    if (c == '=') break;
    bits = bits << 6 | static_cast<unsigned>(digits.find(c));
    if ((count += 6) >= 8) out.push_back(static_cast<char>(bits >> (count -= 8) & 0xFF));
  }
  return out;
}

void put(std::vector<std::string>& tokens, std::size_t id, std::string token) {
  if (tokens.size() <= id) tokens.resize(id + 1);
  tokens[id] = std::move(token);
}

using Ranks = std::unordered_map<std::string, std::size_t>;

Ranks rank_tokens(const std::vector<std::string>& ranked) {
  Ranks rank_of;
  for (std::size_t i = 0; i < ranked.size(); ++i) rank_of[ranked[i]] = i;
  return rank_of;
}

// What a published merges.txt has: the two parts of each token that merging its bytes by rank, below its own, leaves.
void add_one_split(TokenizerSpec& spec, const std::vector<std::string>& ranked) {
  const Ranks rank_of = rank_tokens(ranked);
  for (std::size_t rank = 0; rank < ranked.size(); ++rank) {
    std::vector<std::string> parts;
    for (const char c : ranked[rank]) parts.emplace_back(1, c);
    if (parts.size() < 2) continue;
    while (parts.size() > 2) {
      std::size_t best = rank, where = 0;
      for (std::size_t i = 0; i + 1 < parts.size(); ++i)
        if (const auto it = rank_of.find(parts[i] + parts[i + 1]); it != rank_of.end() && it->second < best)
          best = it->second, where = i;
      if (best == rank) throw std::runtime_error("a token that merges do not reach");
      parts[where] += parts[where + 1];
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(where) + 1);
    }
    spec.merges.emplace_back(to_byte_alphabet(parts[0]), to_byte_alphabet(parts[1]));
  }
}

// What Llama-3's tokenizer.json has: every cut of each token in two tokens, of one token by the ranks of the parts.
void add_all_splits(TokenizerSpec& spec, const std::vector<std::string>& ranked) {
  const Ranks rank_of = rank_tokens(ranked);
  for (const std::string& token : ranked) {
    std::vector<std::pair<std::size_t, std::size_t>> cuts;
    for (std::size_t i = 1; i < token.size(); ++i) {
      const auto left = rank_of.find(token.substr(0, i)), right = rank_of.find(token.substr(i));
      if (left != rank_of.end() && right != rank_of.end()) cuts.emplace_back(left->second, right->second);
    }
    std::sort(cuts.begin(), cuts.end());
    for (const auto& [left, right] : cuts)
      spec.merges.emplace_back(to_byte_alphabet(ranked[left]), to_byte_alphabet(ranked[right]));
  }
}

// special: count, then id (u32), length (u16), text
void add_specials(TokenizerSpec& spec, const std::filesystem::path& path, std::int32_t last_special) {
  Bytes in(read_file(path));
  const auto count = in.number<std::uint32_t>();
  for (std::uint32_t i = 0; i < count; ++i) {
    AddedToken token;
    token.id = static_cast<std::int32_t>(in.number<std::uint32_t>());
    token.content = in.take(in.number<std::uint16_t>());
    token.special = token.id <= last_special;
    put(spec.tokens, static_cast<std::size_t>(token.id), token.content);
    spec.added.push_back(token);
  }
}

void add_tokens(TokenizerSpec& spec, const std::vector<std::string>& ranked) {
  for (const std::string& token : ranked) spec.tokens.push_back(to_byte_alphabet(token));
}

}  // namespace

TokenizerSpec smollm2_spec(const std::filesystem::path& gguf) {
  Bytes in(read_file(gguf).substr(0, 4 << 20));
  if (in.take(4) != "GGUF" || in.number<std::uint32_t>() != 3) throw std::runtime_error("not GGUF version 3");
  in.number<std::uint64_t>();  // tensors
  const auto entries = in.number<std::uint64_t>();
  Json metadata;
  for (std::uint64_t i = 0; i < entries; ++i) {
    const std::string key = in.take(in.number<std::uint64_t>());
    metadata[key] = gguf_value(in, in.number<std::uint32_t>());
  }
  TokenizerSpec spec;
  spec.tokens = metadata.at("tokenizer.ggml.tokens").get<std::vector<std::string>>();
  const Json& kinds = metadata.at("tokenizer.ggml.token_type");
  for (std::size_t id = 0; id < spec.tokens.size(); ++id)
    if (kinds[id] == 3) spec.added.push_back({static_cast<std::int32_t>(id), spec.tokens[id], true});
  for (const Json& merge : metadata.at("tokenizer.ggml.merges")) {
    const auto text = merge.get<std::string>();
    spec.merges.emplace_back(text.substr(0, text.find(' ')), text.substr(text.find(' ') + 1));
  }
  apply_gguf_pretokenizer(spec, metadata.at("tokenizer.ggml.pre").get<std::string>(), "smollm2");
  return spec;
}

TokenizerSpec qwen3_spec(const std::filesystem::path& tiktoken, const std::filesystem::path& special) {
  const std::string text = read_file(tiktoken);  // a line each: base64 of the token, a space, its rank
  std::vector<std::string> ranked;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t space = text.find(' ', at), end = text.find('\n', at);
    put(ranked, std::stoul(text.substr(space + 1, end - space - 1)), base64(text.substr(at, space - at)));
    at = end + 1;
  }
  TokenizerSpec spec;
  add_tokens(spec, ranked);
  add_one_split(spec, ranked);
  add_specials(spec, special, 151656);  // from <tool_call> on they are added, not special
  apply_gguf_pretokenizer(spec, "qwen2", "qwen3");
  return spec;
}

TokenizerSpec llama3_spec(const std::filesystem::path& vocab, const std::filesystem::path& special) {
  Bytes in(read_file(vocab));  // count, then length (u16), bytes, rank (u32)
  std::vector<std::string> ranked;
  const auto count = in.number<std::uint32_t>();
  for (std::uint32_t i = 0; i < count; ++i) {
    std::string token = in.take(in.number<std::uint16_t>());
    put(ranked, in.number<std::uint32_t>(), std::move(token));
  }
  TokenizerSpec spec;
  add_tokens(spec, ranked);
  add_all_splits(spec, ranked);
  add_specials(spec, special, INT32_MAX);
  apply_gguf_pretokenizer(spec, "llama-bpe", "llama3");
  spec.prefix = {128000};
  return spec;
}

std::string to_tokenizer_json(const TokenizerSpec& spec, bool merges_as_pairs) {
  Json json;
  Json& added = json["added_tokens"] = Json::array();
  std::vector<bool> is_added(spec.tokens.size());
  for (const AddedToken& token : spec.added) {
    is_added[static_cast<std::size_t>(token.id)] = true;
    added.push_back({{"id", token.id},
                     {"content", token.content},
                     {"special", token.special},
                     {"lstrip", token.lstrip},
                     {"rstrip", token.rstrip},
                     {"single_word", token.single_word},
                     {"normalized", token.normalized}});
  }
  if (spec.nfc) json["normalizer"] = {{"type", "NFC"}};
  Json steps = Json::array();
  for (const TokenizerSpec::Split& split : spec.splits)
    steps.push_back(
        {{"type", "Split"}, {"pattern", {{"Regex", split.pattern}}}, {"behavior", "Isolated"}, {"invert", false}});
  steps.push_back({{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}});
  json["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", steps}};
  json["decoder"] = {{"type", "ByteLevel"}};
  Json vocab = Json::object(), merges = Json::array();
  for (std::size_t id = 0; id < spec.tokens.size(); ++id)
    if (!is_added[id]) vocab[spec.tokens[id]] = id;
  for (const auto& [left, right] : spec.merges)
    merges.push_back(merges_as_pairs ? Json{left, right} : Json(left + " " + right));
  json["model"] = {{"type", "BPE"}, {"ignore_merges", spec.ignore_merges}, {"vocab", vocab}, {"merges", merges}};
  if (!spec.prefix.empty()) {
    json["post_processor"] = {{"type", "TemplateProcessing"},
                              {"single", {{{"SpecialToken", {{"id", "first"}}}}, {{"Sequence", {{"id", "A"}}}}}},
                              {"special_tokens", {{"first", {{"ids", spec.prefix}}}}}};
  }
  return json.dump();
}

}  // namespace kvgauge::testing
