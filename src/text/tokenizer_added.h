#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/tokenizer.h"

namespace kvgauge {

/// Finds added tokens in a text: from left to right the longest that begins at a place, as Hugging Face does.
class AddedTokenMatcher {
 public:
  struct Piece {
    std::string_view text;  ///< empty for an added token
    std::int32_t id = -1;   ///< -1: plain text between added tokens
  };

  /// `content` is what is looked for; it may differ from token.content when that is normalised.
  void add(const AddedToken& token, const std::string& content);
  bool empty() const { return tokens_.empty(); }

  /// Appends the pieces of `text` in order, without the spaces that lstrip or rstrip swallow. A token whose single_word
  /// is not met is plain text.
  void split(std::string_view text, std::vector<Piece>& pieces) const;

 private:
  struct Match {
    std::size_t bytes = 0;
    int token = -1;
  };
  Match longest_at(std::string_view text, std::size_t at) const;

  std::vector<AddedToken> tokens_;
  std::unordered_map<std::uint64_t, std::uint32_t> children_;  // (trie node << 8 | byte) -> node
  std::vector<int> token_of_node_{-1};
  bool first_byte_[256] = {};
};

}  // namespace kvgauge
