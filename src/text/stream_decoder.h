#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace kvgauge {

/// Tokens in, text out, never half a UTF-8 character: the concatenation of all push() results and finish()
/// equals Tokenizer::decode of all tokens.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special = true)
      : tokenizer_(&tokenizer), skip_special_(skip_special) {}
  std::string push(std::int32_t token);
  std::string finish();  ///< what is left; incomplete bytes become U+FFFD

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  std::string pending_;  ///< fewer than 4 bytes: the start of a character
};

/// Finds the first stop string in a stream of text pieces, also when it straddles pieces: the one that is complete
/// first, of several that end at the same byte the longest. So the result does not depend on where the pieces are cut.
/// Cost: bytes * stops steps.
class StopMatcher {
 public:
  /// Empty strings are refused with UsageError.
  explicit StopMatcher(std::vector<std::string> stops);
  /// Feeds a piece. Text that may be the beginning of a stop string is held back.
  /// @return text that is safe to show; after a match, the text before the stop string and nothing later
  std::string push(std::string_view piece);
  std::string finish();  ///< the held text, when generation ended without a match
  bool matched() const { return matched_ >= 0; }
  const std::string& match() const { return stops_[static_cast<std::size_t>(matched_)]; }

 private:
  std::vector<std::string> stops_;
  std::vector<std::vector<int>> failure_;  ///< per stop string, Knuth-Morris-Pratt
  std::vector<int> progress_;              ///< per stop string: bytes of it that the text so far ends with
  std::string held_;
  int matched_ = -1;
};

}  // namespace kvgauge
