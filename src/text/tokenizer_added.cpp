#include "text/tokenizer_added.h"

#include <algorithm>

#include "text/tokenizer_nfc.h"
#include "text/utf8.h"

namespace kvgauge {
namespace {

// The character that ends at `end`.
char32_t character_before(std::string_view text, std::size_t end) {
  std::size_t begin = end - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  return read_utf8(text.substr(begin)).code_point;
}

bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
  return (begin == 0 || !is_word_character(character_before(text, begin))) &&
         (end == text.size() || !is_word_character(read_utf8(text.substr(end)).code_point));
}

std::size_t skip_spaces_back(std::string_view text, std::size_t end) {
  while (end > 0) {
    const char32_t c = character_before(text, end);
    if (!is_white_space(c)) break;
    end -= c < 0x80 ? 1 : c < 0x800 ? 2 : 3;  // all of White_Space lies below U+10000
  }
  return end;
}

std::size_t skip_spaces(std::string_view text, std::size_t begin) {
  while (begin < text.size()) {
    const Utf8Step step = read_utf8(text.substr(begin));
    if (!is_white_space(step.code_point)) break;
    begin += step.bytes;
  }
  return begin;
}

}  // namespace

void AddedTokenMatcher::add(const AddedToken& token, const std::string& content) {
  if (content.empty()) return;
  std::uint32_t node = 0;
  for (const char c : content) {
    const auto [child, is_new] = children_.try_emplace(std::uint64_t{node} << 8 | static_cast<unsigned char>(c),
                                                       static_cast<std::uint32_t>(token_of_node_.size()));
    if (is_new) token_of_node_.push_back(-1);
    node = child->second;
  }
  if (token_of_node_[node] >= 0) return;  // two contents that normalise to one: the first stays
  first_byte_[static_cast<unsigned char>(content.front())] = true;
  token_of_node_[node] = static_cast<int>(tokens_.size());
  tokens_.push_back(token);
}

AddedTokenMatcher::Match AddedTokenMatcher::longest_at(std::string_view text, std::size_t at) const {
  Match best;
  std::uint32_t node = 0;
  for (std::size_t i = at; i < text.size(); ++i) {
    const auto child = children_.find(std::uint64_t{node} << 8 | static_cast<unsigned char>(text[i]));
    if (child == children_.end()) break;
    node = child->second;
    if (token_of_node_[node] >= 0) best = {i + 1 - at, token_of_node_[node]};
  }
  return best;
}

void AddedTokenMatcher::split(std::string_view text, std::vector<Piece>& pieces) const {
  std::size_t done = 0;  // text before it is in a piece
  for (std::size_t at = 0; at < text.size();) {
    if (!first_byte_[static_cast<unsigned char>(text[at])]) {
      ++at;
      continue;
    }
    const Match match = longest_at(text, at);
    if (match.token < 0) {
      ++at;
      continue;
    }
    std::size_t begin = at, end = at + match.bytes;
    at = end;  // also past a token that is not taken: matches never overlap
    const AddedToken& token = tokens_[static_cast<std::size_t>(match.token)];
    if (token.single_word && !stands_alone(text, begin, end)) continue;
    if (token.lstrip) begin = std::max(skip_spaces_back(text, begin), done);  // not what the token before has swallowed
    if (token.rstrip) end = skip_spaces(text, end);
    if (done < begin) pieces.push_back({text.substr(done, begin - done), -1});
    pieces.push_back({{}, token.id});
    done = end;  // may go back into spaces that the token before swallowed: Hugging Face does so too
  }
  if (done < text.size()) pieces.push_back({text.substr(done), -1});
}

}  // namespace kvgauge
