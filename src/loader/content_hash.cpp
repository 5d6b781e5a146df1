#include "loader/content_hash.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <thread>

#include "core/cat.h"
#include "core/sha256.h"

// SHA-256 runs at 200 MB/s and would dominate the start of a small job. Tensor bytes are first reduced in chunks, in
// parallel and at memory speed, by a mix of eight 64-bit lanes: lane <- rotate((lane xor word) * odd constant), a
// bijection of both lane and word, so one changed word always changes its lane; the 512-bit states then enter the
// SHA-256 listing. It is made to tell files apart, not to withstand forgery of weights.
namespace kvgauge {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{1} << 20;
using Lanes = std::array<std::uint64_t, 8>;

void mix(Lanes& lanes, const std::byte* block) {
  Lanes words;
  std::memcpy(words.data(), block, sizeof(words));
  for (std::size_t i = 0; i < 8; ++i) {
    const std::uint64_t product = (lanes[i] ^ words[i]) * 0x9e3779b97f4a7c15ull;
    lanes[i] = product << 29 | product >> 35;
  }
}

Lanes mixed(std::span<const std::byte> bytes) {
  Lanes lanes{0x243f6a8885a308d3, 0x13198a2e03707344, 0xa4093822299f31d0, 0x082efa98ec4e6c89,
              0x452821e638d01377, 0xbe5466cf34e90c6c, 0xc0ac29b7c97c50dd, 0x3f84d5b5b5470917};  // the fraction of pi
  const std::size_t whole = bytes.size() / sizeof(Lanes) * sizeof(Lanes);
  for (std::size_t i = 0; i < whole; i += sizeof(Lanes)) mix(lanes, bytes.data() + i);
  std::array<std::byte, sizeof(Lanes)> tail{};  // its length is in the listing
  std::copy(bytes.begin() + static_cast<std::ptrdiff_t>(whole), bytes.end(), tail.begin());
  mix(lanes, tail.data());
  return lanes;
}

struct Chunk {
  const MappedFile* file;
  std::span<const std::byte> bytes;
};

std::vector<Chunk> chunks_of(const OpenedFiles& opened) {
  std::vector<Chunk> chunks;
  for (std::size_t t = 0; t < opened.tensors.size(); ++t)
    for (auto rest = opened.tensors[t].data; !rest.empty();) {
      const auto part = rest.first(std::min(rest.size(), kChunkBytes));
      chunks.push_back({&opened.files[opened.file_of[t]], part});
      rest = rest.subspan(part.size());
    }
  return chunks;
}

std::vector<Lanes> mixed_chunks(const std::vector<Chunk>& chunks) {
  std::vector<Lanes> lanes(chunks.size());
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i = next++; i < chunks.size(); i = next++) {
      lanes[i] = mixed(chunks[i].bytes);
      chunks[i].file->drop(chunks[i].bytes);
    }
  };
  const std::size_t helpers =
      std::min<std::size_t>({std::max(1u, std::thread::hardware_concurrency()) - 1, chunks.size(), 7});
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < helpers; ++i) threads.emplace_back(work);
    work();
  }
  return lanes;
}

// Length-prefixed, so that no two different models give the same listing.
class Listing {
 public:
  void add(std::string_view text) { text_ += cat(text.size(), ":", text, "\n"); }
  void add(std::int64_t value) { text_ += cat(value, "\n"); }
  void add(double value) { text_ += cat(value, "\n"); }  // fmt writes the shortest text that reads back equal
  void add(const Lanes& lanes) { text_.append(reinterpret_cast<const char*>(lanes.data()), sizeof(lanes)); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

void add_config(Listing& listing, const ModelConfig& c) {
  listing.add(std::string_view(name(c.architecture)));
  for (const std::int64_t count :
       {c.layers, c.hidden, c.heads, c.kv_heads, c.head_dim, c.intermediate, c.vocab, c.max_positions})
    listing.add(count);
  listing.add(c.rms_norm_eps);
  listing.add(c.rope_theta);
  listing.add(std::int64_t{c.rope_scaling.has_value()});
  if (const auto& s = c.rope_scaling) {
    for (const double value : {s->factor, s->low_freq_factor, s->high_freq_factor}) listing.add(value);
    listing.add(s->original_max_position);
  }
  listing.add(static_cast<std::int64_t>(c.rope_factors.size()));
  for (const float factor : c.rope_factors) listing.add(static_cast<double>(factor));
  for (const bool flag : {c.qkv_bias, c.qk_norm, c.tied_head}) listing.add(std::int64_t{flag});
}

template <class Values>
void add_ids(Listing& listing, const Values& ids) {
  listing.add(static_cast<std::int64_t>(ids.size()));
  for (const auto id : ids) listing.add(static_cast<std::int64_t>(id));
}

void add_tokenizer(Listing& listing, const TokenizerSpec& spec) {
  for (const std::size_t count : {spec.tokens.size(), spec.merges.size(), spec.added.size(), spec.splits.size()})
    listing.add(static_cast<std::int64_t>(count));
  for (const std::string& token : spec.tokens) listing.add(token);
  for (const auto& merge : spec.merges) listing.add(merge.first), listing.add(merge.second);
  for (const AddedToken& token : spec.added) {
    listing.add(token.content);
    listing.add(std::int64_t{token.id});
    for (const bool flag : {token.special, token.lstrip, token.rstrip, token.single_word, token.normalized})
      listing.add(std::int64_t{flag});
  }
  for (const auto& split : spec.splits) listing.add(split.pattern);
  listing.add(std::int64_t{spec.nfc});
  listing.add(std::int64_t{spec.ignore_merges});
  add_ids(listing, spec.prefix);
  add_ids(listing, spec.suffix);
}

}  // namespace

std::string content_hash(const OpenedFiles& opened) {
  Listing listing;
  listing.add(std::string_view("kvgauge model content 1"));
  add_config(listing, opened.config);
  add_ids(listing, opened.generation.eos);
  add_tokenizer(listing, opened.tokenizer);
  for (const auto& text : {opened.chat_template.value_or(""), opened.bos_token, opened.eos_token}) listing.add(text);
  listing.add(std::int64_t{opened.interleaved_heads});
  for (const StoredTensor& tensor : opened.tensors) {
    listing.add(tensor.name);
    listing.add(std::string_view(name(tensor.type)));
    listing.add(tensor.rows);
    listing.add(tensor.columns);
  }
  for (const Lanes& lanes : mixed_chunks(chunks_of(opened))) listing.add(lanes);
  return sha256_hex(listing.text());
}

}  // namespace kvgauge
