#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace kvgauge {

/// Token ids found by their text, in a table of our own because std::unordered_map's nodes cost a third of the load
/// time. The texts live elsewhere: text_of(id) gives them.
class TokenIndex {
 public:
  explicit TokenIndex(std::size_t capacity);
  /// @return the id that was there with the same text, else -1 after `id` was added
  template <class TextOf>
  std::int32_t add(std::int32_t id, const TextOf& text_of);
  template <class TextOf>
  std::int32_t find(std::string_view text, const TextOf& text_of) const;

 private:
  static std::size_t hash(std::string_view text) { return std::hash<std::string_view>()(text); }
  std::vector<std::int32_t> slots_;  // a power of two, at most half full; -1 is free
};

/// The merges of byte-pair encoding, over token ids.
class MergeTable {
 public:
  explicit MergeTable(std::size_t capacity);
  /// @return false if the pair is already there
  bool add(std::int32_t left, std::int32_t right, std::int32_t merged);

  /// Merges `symbols` in place: always the pair of lowest rank, of equals the leftmost, until no pair has a rank.
  /// O(n log n); short words take a quadratic path that is quicker below about 50 symbols.
  void merge(std::vector<std::int32_t>& symbols) const;

 private:
  struct Entry {
    std::uint64_t pair = kFree;
    std::int32_t rank = 0, merged = 0;
  };
  static constexpr std::uint64_t kFree = ~std::uint64_t{0};
  static std::uint64_t pair_of(std::int32_t left, std::int32_t right) {
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
  }
  const Entry* find(std::int32_t left, std::int32_t right) const;
  void merge_short(std::vector<std::int32_t>& symbols) const;
  void merge_long(std::vector<std::int32_t>& symbols) const;

  std::vector<Entry> entries_;
  int shift_ = 63;
  std::int32_t ranks_ = 0;
};

template <class TextOf>
std::int32_t TokenIndex::add(std::int32_t id, const TextOf& text_of) {
  const std::string_view text = text_of(id);
  for (std::size_t at = hash(text);; ++at) {
    std::int32_t& slot = slots_[at & (slots_.size() - 1)];
    if (slot < 0) {
      slot = id;
      return -1;
    }
    if (text_of(slot) == text) return slot;
  }
}

template <class TextOf>
std::int32_t TokenIndex::find(std::string_view text, const TextOf& text_of) const {
  for (std::size_t at = hash(text);; ++at) {
    const std::int32_t slot = slots_[at & (slots_.size() - 1)];
    if (slot < 0 || text_of(slot) == text) return slot;
  }
}

}  // namespace kvgauge
