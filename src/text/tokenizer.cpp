#include "text/tokenizer.h"

#include <algorithm>
#include <array>

#include "core/cat.h"
#include "core/printable.h"
#include "kvgauge/error.h"
#include "text/pretokenizer.h"
#include "text/tokenizer_added.h"
#include "text/tokenizer_bpe.h"
#include "text/tokenizer_bytes.h"
#include "text/tokenizer_nfc.h"
#include "text/utf8.h"

namespace kvgauge {
namespace {

constexpr std::size_t kMaxAddedTokenBytes = 512;  // bounds the work of matching; published ones have at most 40
constexpr std::size_t kMaxTextBytes = std::size_t{1} << 30;

std::string shown(std::string_view text) { return printable(text, 60); }

std::vector<std::string> patterns_of(const TokenizerSpec& spec) {
  std::vector<std::string> patterns;
  for (const TokenizerSpec::Split& split : spec.splits) patterns.push_back(split.pattern);
  return patterns;
}

}  // namespace

struct Tokenizer::Impl {
  std::string where;
  bool nfc, ignore_merges;
  std::vector<AddedToken> added;
  std::vector<std::int32_t> prefix, suffix;

  std::vector<std::string> tokens;  // as in the vocabulary
  std::string bytes;                // what each token stands for, end to end
  std::vector<std::uint32_t> byte_ends;
  std::vector<std::uint8_t> is_added, is_special;
  TokenIndex by_text;
  TokenIndex by_bytes;  // the tokens that their own bytes encode to: one look-up instead of merging
  std::array<std::int32_t, 256>
      byte_token;  // -1: the vocabulary lacks the byte, and encoding drops it as Hugging Face does
  MergeTable merges;
  Pretokenizer pretokenizer;
  AddedTokenMatcher raw_added, normalized_added;

  Impl(TokenizerSpec spec, std::string_view name);
  void check_and_index_tokens();
  void add_added_tokens();
  void add_merges(const std::vector<std::pair<std::string, std::string>>& pairs);
  void index_words();

  std::string_view text_of(std::int32_t id) const { return tokens[static_cast<std::size_t>(id)]; }
  std::string_view bytes_of(std::int32_t id) const {
    const auto i = static_cast<std::size_t>(id);
    const std::size_t begin = i == 0 ? 0 : byte_ends[i - 1];
    return std::string_view(bytes).substr(begin, byte_ends[i] - begin);
  }
  bool has(std::int64_t id) const { return id >= 0 && id < static_cast<std::int64_t>(tokens.size()); }
  std::int32_t find(std::string_view text) const {
    return by_text.find(text, [this](std::int32_t id) { return text_of(id); });
  }

  // Scratch of one encode call, so that words allocate nothing.
  struct Work {
    std::vector<std::string_view> pieces;
    std::vector<std::int32_t> symbols;
  };
  void encode_added(std::string_view text, bool parse_added, Work& work, std::vector<std::int32_t>& ids) const;
  void encode_plain(std::string_view text, Work& work, std::vector<std::int32_t>& ids) const;
  void encode_word(std::string_view word, std::vector<std::int32_t>& symbols) const;
};

Tokenizer::Impl::Impl(TokenizerSpec spec, std::string_view name)
    : where(name),
      nfc(spec.nfc),
      ignore_merges(spec.ignore_merges),
      added(std::move(spec.added)),
      prefix(std::move(spec.prefix)),
      suffix(std::move(spec.suffix)),
      tokens(std::move(spec.tokens)),
      is_added(tokens.size(), 0),
      is_special(tokens.size(), 0),
      by_text(tokens.size()),
      by_bytes(tokens.size()),
      merges(spec.merges.size()),
      pretokenizer(patterns_of(spec), name) {
  if (tokens.empty()) throw FormatError(cat(where, ": the vocabulary is empty, at least one token was needed"));
  if (tokens.size() > static_cast<std::size_t>(INT32_MAX))
    throw FormatError(cat(where, ": ", tokens.size(), " tokens, at most ", INT32_MAX, " are possible"));
  add_added_tokens();
  check_and_index_tokens();
  add_merges(spec.merges);
  index_words();
  for (const auto* list : {&prefix, &suffix})
    for (const std::int32_t id : *list)
      if (!has(id))
        throw FormatError(
            cat(where, ": the post-processor adds id ", id, ", ids below ", tokens.size(), " were needed"));
}

void Tokenizer::Impl::add_added_tokens() {
  for (const AddedToken& token : added) {
    const auto id = static_cast<std::size_t>(token.id);
    if (!has(token.id))
      throw FormatError(cat(where, ": added token '", shown(token.content), "' has id ", token.id, ", an id below ",
                            tokens.size(), " was needed"));
    if (token.content.empty() || token.content.size() > kMaxAddedTokenBytes)
      throw FormatError(cat(where, ": added token ", token.id, " has ", token.content.size(), " bytes, 1 to ",
                            kMaxAddedTokenBytes, " were needed"));
    if (find_ill_formed_utf8(token.content) != std::string_view::npos)
      throw FormatError(cat(where, ": added token ", token.id, ": found ill-formed UTF-8, text was needed"));
    if (is_added[id]) throw FormatError(cat(where, ": two added tokens have id ", token.id));
    if (tokens[id] != token.content)
      throw FormatError(cat(where, ": added token '", shown(token.content), "' has id ", token.id,
                            ", which the vocabulary gives to '", shown(tokens[id]), "'"));
    is_added[id] = 1;
    is_special[id] = token.special;
    // HF keeps `normalized` tokens apart even where there is no normaliser: they are looked for after the others.
    if (token.normalized)
      normalized_added.add(token, nfc ? to_nfc(token.content) : token.content);
    else
      raw_added.add(token, token.content);
  }
}

void Tokenizer::Impl::check_and_index_tokens() {
  byte_ends.reserve(tokens.size());
  std::string decoded;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto id = static_cast<std::int32_t>(i);
    if (tokens[i].empty())
      throw FormatError(cat(where, ": id ", id, " has no token, every id below ", tokens.size(), " was needed"));
    if (const std::int32_t other = by_text.add(id, [this](std::int32_t t) { return text_of(t); }); other >= 0)
      throw FormatError(cat(where, ": ids ", other, " and ", id, " are both '", shown(tokens[i]), "'"));
    decoded = is_added[i] ? tokens[i] : from_byte_alphabet(tokens[i]);
    bytes += decoded;
    if (bytes.size() > UINT32_MAX) throw FormatError(cat(where, ": the tokens have more than ", UINT32_MAX, " bytes"));
    byte_ends.push_back(static_cast<std::uint32_t>(bytes.size()));
  }
  for (int b = 0; b < 256; ++b) {
    const char c = static_cast<char>(static_cast<unsigned char>(b));
    byte_token[static_cast<std::size_t>(b)] = find(to_byte_alphabet({&c, 1}));
  }
}

void Tokenizer::Impl::add_merges(const std::vector<std::pair<std::string, std::string>>& pairs) {
  std::string joined;
  std::int64_t rank = 0;
  for (const auto& [left, right] : pairs) {
    joined = left;
    joined += right;
    const std::int32_t a = find(left), b = find(right), merged = find(joined);
    const std::string_view missing = a < 0 ? left : b < 0 ? right : joined;
    if (a < 0 || b < 0 || merged < 0)
      throw FormatError(cat(where, ": merge ", rank, " ('", shown(left), "' '", shown(right), "') needs the token '",
                            shown(missing), "', which the vocabulary lacks"));
    if (!merges.add(a, b, merged))
      throw FormatError(cat(where, ": merge ", rank, " ('", shown(left), "' '", shown(right), "') is there twice"));
    ++rank;
  }
}

void Tokenizer::Impl::index_words() {
  std::vector<std::int32_t> symbols;
  const auto bytes_of_id = [this](std::int32_t t) { return bytes_of(t); };
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto id = static_cast<std::int32_t>(i);
    if (is_added[i]) continue;  // reached through parse_added only, so that plain text never becomes a control token
    if (!ignore_merges) {
      symbols.clear();
      encode_word(bytes_of(id), symbols);
      if (symbols.size() != 1 || symbols[0] != id) continue;
    } else if (to_byte_alphabet(bytes_of(id)) != tokens[i]) {
      continue;  // not spelled in the alphabet: no word is looked up by this text
    }
    by_bytes.add(id, bytes_of_id);
  }
}

void Tokenizer::Impl::encode_word(std::string_view word, std::vector<std::int32_t>& symbols) const {
  for (const char c : word)
    if (const std::int32_t id = byte_token[static_cast<unsigned char>(c)]; id >= 0) symbols.push_back(id);
  merges.merge(symbols);
}

void Tokenizer::Impl::encode_plain(std::string_view text, Work& work, std::vector<std::int32_t>& ids) const {
  work.pieces.clear();
  pretokenizer.split(text, work.pieces);
  for (const std::string_view word : work.pieces) {
    const std::int32_t whole = by_bytes.find(word, [this](std::int32_t id) { return bytes_of(id); });
    if (whole >= 0) {
      ids.push_back(whole);
      continue;
    }
    work.symbols.clear();
    encode_word(word, work.symbols);
    ids.insert(ids.end(), work.symbols.begin(), work.symbols.end());
  }
}

// HF's order: raw added tokens in the text as given, then normalisation, then the `normalized` added tokens, then the
// words.
void Tokenizer::Impl::encode_added(std::string_view text, bool parse_added, Work& work,
                                   std::vector<std::int32_t>& ids) const {
  std::vector<AddedTokenMatcher::Piece> outer, inner;
  if (parse_added && !raw_added.empty())
    raw_added.split(text, outer);
  else
    outer.push_back({text, -1});
  for (const AddedTokenMatcher::Piece& piece : outer) {
    if (piece.id >= 0) {
      ids.push_back(piece.id);
      continue;
    }
    std::string normalized;
    std::string_view plain = piece.text;
    if (nfc && !is_trivially_nfc(plain)) plain = normalized = to_nfc(plain);
    if (!parse_added || normalized_added.empty()) {
      encode_plain(plain, work, ids);
      continue;
    }
    inner.clear();
    normalized_added.split(plain, inner);
    for (const AddedTokenMatcher::Piece& part : inner) {
      if (part.id >= 0)
        ids.push_back(part.id);
      else
        encode_plain(part.text, work, ids);
    }
  }
}

Tokenizer::Tokenizer(TokenizerSpec spec, std::string_view where)
    : impl_(std::make_unique<Impl>(std::move(spec), where)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  if (text.size() > kMaxTextBytes)
    throw RequestError(cat("text: ", text.size(), " bytes, at most ", kMaxTextBytes, " are tokenized"));
  if (const std::size_t at = find_ill_formed_utf8(text); at != std::string_view::npos)
    throw RequestError(cat("text: found ill-formed UTF-8 at byte ", at, ", UTF-8 was needed"));
  std::vector<std::int32_t> ids;
  ids.reserve(text.size() / 3 + 8);
  Impl::Work work;
  if (options.add_special) ids = impl_->prefix;
  impl_->encode_added(text, options.parse_added, work, ids);
  if (options.add_special) ids.insert(ids.end(), impl_->suffix.begin(), impl_->suffix.end());
  return ids;
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, bool skip_special) const {
  std::string bytes;
  for (const std::int32_t id : ids)
    if (!skip_special || !is_special(id)) bytes += token_bytes(id);
  std::string text;
  text.reserve(bytes.size());
  if (append_replacing_ill_formed(text, bytes) < bytes.size()) text += kReplacementCharacter;
  return text;
}

std::string_view Tokenizer::token_bytes(std::int32_t id) const {
  return impl_->has(id) ? impl_->bytes_of(id) : std::string_view();
}
std::int32_t Tokenizer::size() const { return static_cast<std::int32_t>(impl_->tokens.size()); }
bool Tokenizer::is_special(std::int32_t id) const {
  return impl_->has(id) && impl_->is_special[static_cast<std::size_t>(id)];
}
const std::vector<AddedToken>& Tokenizer::added() const { return impl_->added; }

std::optional<std::int32_t> Tokenizer::find(std::string_view content) const {
  const std::int32_t id = impl_->find(content);
  return id < 0 ? std::nullopt : std::optional(id);
}

}  // namespace kvgauge
