// tokenizer.json (Hugging Face tokenizers) to a TokenizerSpec. What is not supported is refused by name: an
// approximation would be a silent difference in every result.
#include <algorithm>
#include <unordered_map>

#include "core/cat.h"
#include "core/json.h"
#include "core/printable.h"
#include "kvgauge/error.h"
#include "text/pretokenizer.h"
#include "text/tokenizer.h"
#include "text/tokenizer_patterns.h"

namespace kvgauge {
namespace {

// Reads the two big members, model.vocab and model.merges, straight into vectors and everything else into a document:
// 3x the speed of a document of all, and duplicate keys are seen.
class Reader : public nlohmann::json_sax<Json> {
 public:
  explicit Reader(std::string_view where) : where_(where) {}

  Json document;
  std::vector<std::pair<std::string, std::int64_t>> vocab;
  std::vector<std::pair<std::string, std::string>> merges;
  bool has_vocab = false, has_merges = false;

  bool null() override { return value(nullptr); }
  bool boolean(bool v) override { return value(v); }
  bool number_float(double v, const std::string&) override { return value(v); }
  bool binary(Json::binary_t&) override { return value(nullptr); }
  bool number_integer(std::int64_t v) override { return mode_ == Mode::kVocab ? id(v) : value(v); }
  bool number_unsigned(std::uint64_t v) override {
    return mode_ == Mode::kVocab ? id(v > INT32_MAX ? -1 : static_cast<std::int64_t>(v)) : value(v);
  }
  bool string(std::string& v) override {
    if (mode_ == Mode::kMerges) return merge_text(v);
    if (mode_ == Mode::kPair) return merge_part(std::move(v));
    return value(std::move(v));
  }
  bool key(std::string& v) override {
    key_ = std::move(v);
    return true;
  }

  bool start_object(std::size_t) override {
    if (mode_ == Mode::kDocument && at_model() && key_ == "vocab") {
      if (has_vocab) throw FormatError(cat(where_, ": model.vocab is there twice"));
      has_vocab = true;
      mode_ = Mode::kVocab;
      return true;
    }
    return open(Json::object());
  }
  bool end_object() override {
    if (mode_ == Mode::kVocab)
      mode_ = Mode::kDocument;
    else
      close();
    return true;
  }
  bool start_array(std::size_t) override {
    if (mode_ == Mode::kMerges) {
      mode_ = Mode::kPair;
      parts_ = 0;
      return true;
    }
    if (mode_ == Mode::kDocument && at_model() && key_ == "merges") {
      if (has_merges) throw FormatError(cat(where_, ": model.merges is there twice"));
      has_merges = true;
      mode_ = Mode::kMerges;
      return true;
    }
    return open(Json::array());
  }
  bool end_array() override {
    if (mode_ == Mode::kPair) {
      if (parts_ != 2) malformed_merge("not 2 strings");
      mode_ = Mode::kMerges;
    } else if (mode_ == Mode::kMerges) {
      mode_ = Mode::kDocument;
    } else {
      close();
    }
    return true;
  }
  bool parse_error(std::size_t at, const std::string&, const nlohmann::detail::exception& error) override {
    std::string reason = error.what();
    if (const auto end = reason.find("] "); end != std::string::npos) reason.erase(0, end + 2);
    for (char& c : reason)
      if (static_cast<unsigned char>(c) < 0x20) c = ' ';
    throw FormatError(cat(where_, ": not valid JSON at byte ", at, ": ", reason));
  }

 private:
  enum class Mode { kDocument, kVocab, kMerges, kPair };
  struct Level {
    Json value;
    std::string key;  // under which the parent takes it
  };

  bool at_model() const { return levels_.size() == 2 && levels_[1].key == "model" && levels_[1].value.is_object(); }

  bool open(Json&& empty) {
    if (mode_ == Mode::kVocab) throw FormatError(cat(where_, ": model.vocab: '", printable(key_), "' has no id"));
    if (mode_ != Mode::kDocument) malformed_merge("neither text nor a pair");
    constexpr std::size_t kMaxDepth = 64;
    if (levels_.size() == kMaxDepth) throw FormatError(cat(where_, ": JSON nested deeper than ", kMaxDepth, " levels"));
    levels_.push_back({std::move(empty), key_});
    return true;
  }
  void close() {
    Level done = std::move(levels_.back());
    levels_.pop_back();
    key_ = std::move(done.key);
    value(std::move(done.value));
  }
  template <class T>
  bool value(T&& v) {
    if (mode_ == Mode::kVocab)
      throw FormatError(cat(where_, ": model.vocab: the id of '", printable(key_), "' is not an integer"));
    if (mode_ != Mode::kDocument) malformed_merge("neither text nor a pair");
    if (levels_.empty())
      document = std::forward<T>(v);
    else if (levels_.back().value.is_array())
      levels_.back().value.push_back(std::forward<T>(v));
    else
      levels_.back().value[key_] = std::forward<T>(v);
    return true;
  }
  bool id(std::int64_t v) {
    vocab.emplace_back(std::move(key_), v);
    return true;
  }
  bool merge_text(const std::string& text) {
    const std::size_t space = text.find(' ');
    if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
      malformed_merge("not 2 parts with a space between");
    merges.emplace_back(text.substr(0, space), text.substr(space + 1));
    return true;
  }
  bool merge_part(std::string&& text) {
    if (parts_ == 0)
      merges.emplace_back(std::move(text), std::string());
    else if (parts_ == 1)
      merges.back().second = std::move(text);
    else
      malformed_merge("not 2 strings");
    ++parts_;
    return true;
  }
  [[noreturn]] void malformed_merge(const char* what) const {
    throw FormatError(cat(where_, ": model.merges: entry ", merges.size(), " is ", what));
  }

  std::string_view where_;
  Mode mode_ = Mode::kDocument;
  std::vector<Level> levels_;
  std::string key_;
  int parts_ = 0;
};

// Collects a spec from the document; `where` names the file in every message.
class Builder {
 public:
  Builder(Reader& reader, std::string_view where) : reader_(reader), document_(reader.document), where_(where) {}

  TokenizerSpec build() {
    if (!document_.is_object())
      throw FormatError(cat(where_, ": found ", document_.type_name(), ", an object was needed"));
    read_model();
    read_added();
    fill_tokens();
    if (const Json* const normalizer = component("normalizer")) read_normalizer(*normalizer);
    const Json* const pre = component("pre_tokenizer");
    if (!pre) throw ConfigError(cat(where_, ": pre_tokenizer is null, ByteLevel was needed"));
    read_pretokenizer(*pre);
    if (!byte_level_)
      throw ConfigError(cat(where_, ": pre_tokenizer has no ByteLevel: only byte-level BPE is supported"));
    if (const Json* const post = component("post_processor")) read_postprocessor(*post);
    const Json* const decoder = component("decoder");
    const std::string decoder_type = decoder ? type_of(*decoder, "decoder") : "null";
    if (decoder_type != "ByteLevel")
      throw ConfigError(cat(where_, ": decoder ", printable(decoder_type), " is not supported, ByteLevel was needed"));
    check_unknown_token();
    return std::move(spec_);
  }

 private:
  const Json* component(const char* key) const {
    const auto it = document_.find(key);
    return it == document_.end() || it->is_null() ? nullptr : &*it;
  }
  std::string type_of(const Json& object, std::string_view what) const {
    return get_string(object, "type", cat(where_, ": ", what));
  }
  [[noreturn]] void refuse(std::string_view what, std::string_view needed = "") const {
    throw ConfigError(cat(where_, ": ", printable(what), " is not supported",
                          needed.empty() ? std::string() : cat(", ", needed, " was needed")));
  }
  const Json& list(const Json& object, const char* key, std::string_view what) const {
    const Json& items = get_member(object, key, cat(where_, ": ", what));
    if (!items.is_array())
      throw FormatError(cat(where_, ": ", what, ".", key, " is ", items.type_name(), ", an array was needed"));
    return items;
  }
  bool flag(const Json& object, const char* key, bool fallback, std::string_view what) const {
    return find_bool(object, key, cat(where_, ": ", what)).value_or(fallback);
  }

  void read_model() {
    const Json& model = get_member(document_, "model", where_);
    const std::string where = cat(where_, ": model");
    const std::string type = find_string(model, "type", where).value_or("BPE");  // files of before 2020 lack it
    if (type != "BPE") refuse(cat("model type ", type), "BPE");
    if (!reader_.has_vocab) throw FormatError(cat(where, ": 'vocab' is missing"));
    if (!reader_.has_merges) throw FormatError(cat(where, ": 'merges' is missing"));
    if (flag(model, "byte_fallback", false, "model")) refuse("model.byte_fallback");
    if (find_number(model, "dropout", where).value_or(0.0) != 0.0) refuse("model.dropout");
    if (!find_string(model, "continuing_subword_prefix", where).value_or("").empty())
      refuse("model.continuing_subword_prefix");
    if (!find_string(model, "end_of_word_suffix", where).value_or("").empty()) refuse("model.end_of_word_suffix");
    unknown_token_ = find_string(model, "unk_token", where).value_or("");
    spec_.ignore_merges = flag(model, "ignore_merges", false, "model");
    spec_.merges = std::move(reader_.merges);
  }

  void read_added() {
    const Json* const added = component("added_tokens");
    if (!added) return;
    if (!added->is_array())
      throw FormatError(cat(where_, ": added_tokens is ", added->type_name(), ", an array was needed"));
    for (const Json& item : *added) {
      const std::string where = cat(where_, ": added_tokens[", spec_.added.size(), "]");
      AddedToken token;
      const std::int64_t id = get_int(item, "id", where);
      if (id < 0 || id > INT32_MAX) throw FormatError(cat(where, ": id ", id, " is out of range"));
      token.id = static_cast<std::int32_t>(id);
      token.content = get_string(item, "content", where);
      token.special = find_bool(item, "special", where).value_or(false);
      token.lstrip = find_bool(item, "lstrip", where).value_or(false);
      token.rstrip = find_bool(item, "rstrip", where).value_or(false);
      token.single_word = find_bool(item, "single_word", where).value_or(false);
      token.normalized = find_bool(item, "normalized", where).value_or(!token.special);
      spec_.added.push_back(std::move(token));
    }
  }

  // id -> token from both lists. Ids must be exactly 0..n-1, which also bounds the table by the size of the file.
  void fill_tokens() {
    std::vector<std::pair<std::string, std::int64_t>>& vocab = reader_.vocab;
    std::int64_t ids = 0;
    for (const auto& [token, id] : vocab) ids = std::max(ids, id + 1);
    for (const AddedToken& token : spec_.added) ids = std::max<std::int64_t>(ids, token.id + std::int64_t{1});
    const auto most = static_cast<std::int64_t>(vocab.size() + spec_.added.size());
    if (ids > most)
      throw FormatError(
          cat(where_, ": the largest id is ", ids - 1, " but there are only ", most, " tokens: an id is missing"));
    spec_.tokens.resize(static_cast<std::size_t>(ids));
    for (auto& [token, id] : vocab) {
      if (id < 0) throw FormatError(cat(where_, ": model.vocab: the id of '", printable(token), "' is out of range"));
      if (token.empty()) throw FormatError(cat(where_, ": model.vocab: id ", id, " has an empty token"));
      std::string& slot = spec_.tokens[static_cast<std::size_t>(id)];
      if (!slot.empty())
        throw FormatError(
            cat(where_, ": model.vocab: id ", id, " is both '", printable(slot), "' and '", printable(token), "'"));
      slot = std::move(token);
    }
    for (const AddedToken& token : spec_.added) {
      std::string& slot = spec_.tokens[static_cast<std::size_t>(token.id)];
      if (slot.empty()) slot = token.content;  // the Tokenizer reports it if they differ
    }
  }

  void read_normalizer(const Json& object) {
    const std::string type = type_of(object, "normalizer");
    if (type == "NFC")
      spec_.nfc = true;
    else if (type == "Sequence")
      for (const Json& item : list(object, "normalizers", "normalizer")) read_normalizer(item);
    else
      refuse(cat("normalizer ", type), "NFC or none");
  }

  void read_pretokenizer(const Json& object) {
    const std::string type = type_of(object, "pre_tokenizer");
    if (type == "Sequence") {
      for (const Json& item : list(object, "pretokenizers", "pre_tokenizer")) read_pretokenizer(item);
      return;
    }
    if (byte_level_) refuse(cat("pre_tokenizer ", type, " after ByteLevel"));
    if (type == "Split") {
      read_split(object);
    } else if (type == "Digits") {
      spec_.splits.push_back(
          {std::string(flag(object, "individual_digits", false, "Digits") ? patterns::kDigit : patterns::kDigits)});
    } else if (type == "ByteLevel") {
      if (flag(object, "add_prefix_space", true, "ByteLevel")) refuse("pre_tokenizer ByteLevel with add_prefix_space");
      if (flag(object, "use_regex", true, "ByteLevel")) spec_.splits.push_back({std::string(patterns::kGpt2)});
      byte_level_ = true;
    } else {
      refuse(cat("pre_tokenizer ", type), "Split, Digits, ByteLevel or a Sequence of them");
    }
  }

  void read_split(const Json& object) {
    const std::string where = cat(where_, ": pre_tokenizer Split");
    const std::string behavior = get_string(object, "behavior", where);
    if (behavior != "Isolated") refuse(cat("pre_tokenizer Split with behavior ", behavior), "Isolated");
    if (flag(object, "invert", false, "Split")) refuse("pre_tokenizer Split with invert");
    const Json& pattern = get_member(object, "pattern", where);
    if (const auto regex = find_string(pattern, "Regex", where))
      spec_.splits.push_back({*regex});
    else
      spec_.splits.push_back({literal_pattern(get_string(pattern, "String", where))});
  }

  void read_postprocessor(const Json& object) {
    const std::string type = type_of(object, "post_processor");
    if (type == "Sequence") {
      for (const Json& item : list(object, "processors", "post_processor")) read_postprocessor(item);
    } else if (type == "TemplateProcessing") {
      read_template(object);
    } else if (type != "ByteLevel") {  // ByteLevel only moves offsets
      refuse(cat("post_processor ", type), "TemplateProcessing or ByteLevel");
    }
  }

  void read_template(const Json& object) {
    const std::string where = cat(where_, ": post_processor TemplateProcessing");
    std::vector<std::int32_t> prefix, suffix;
    bool seen_text = false;
    for (const Json& item : list(object, "single", "post_processor")) {
      if (!item.is_object())
        throw FormatError(cat(where, ": found ", item.type_name(), " in 'single', an object was needed"));
      if (item.contains("Sequence")) {
        if (seen_text) refuse("post_processor TemplateProcessing that repeats the text");
        seen_text = true;
        continue;
      }
      const std::string name = get_string(get_member(item, "SpecialToken", where), "id", where);
      const Json& special = get_member(get_member(object, "special_tokens", where), name.c_str(), where);
      for (const Json& id : list(special, "ids", "post_processor")) {
        if (!id.is_number_integer() || id < 0 || id > INT32_MAX)
          throw FormatError(cat(where, ": an id of '", printable(name), "' is not an id"));
        (seen_text ? suffix : prefix).push_back(id.get<std::int32_t>());
      }
    }
    if (!seen_text) throw FormatError(cat(where, ": 'single' has no Sequence, the text would be lost"));
    spec_.prefix.insert(spec_.prefix.begin(), prefix.begin(), prefix.end());  // a later processor stands further out
    spec_.suffix.insert(spec_.suffix.end(), suffix.begin(), suffix.end());
  }

  // unk_token acts only on bytes that the vocabulary lacks.
  void check_unknown_token() const {
    if (unknown_token_.empty()) return;
    std::size_t single = 0;
    for (const std::string& token : spec_.tokens)
      if (token.size() <= 2 && is_byte_spelling(token)) ++single;
    if (single < 256)
      refuse(cat("model.unk_token '", unknown_token_, "' with a vocabulary that lacks ", 256 - single, " bytes"));
  }
  static bool is_byte_spelling(const std::string& token) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned>(static_cast<unsigned char>(token[i])); };
    const unsigned c = token.size() == 1 ? byte(0) : (byte(0) & 0x1F) << 6 | (byte(1) & 0x3F);
    if (token.size() == 2 && byte(0) < 0xC2) return false;
    return (c >= 0x21 && c <= 0x7E) || (c >= 0xA1 && c <= 0xAC) || (c >= 0xAE && c <= 0x143);
  }

  Reader& reader_;
  const Json& document_;
  std::string_view where_;
  TokenizerSpec spec_;
  std::string unknown_token_;
  bool byte_level_ = false;
};

}  // namespace

TokenizerSpec parse_tokenizer_json(std::string_view text, std::string_view where) {
  Reader reader(where);
  Json::sax_parse(text.begin(), text.end(), &reader);
  return Builder(reader, where).build();
}

}  // namespace kvgauge
