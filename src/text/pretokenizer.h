#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace kvgauge {

/// A published split pattern (written for Oniguruma) as PCRE2 reads it: `\s`, `\S` and [:space:] become the explicit
/// White_Space list, because PCRE2 counts U+180E as a space and Oniguruma does not.
/// @throws ConfigError for a construct that the two engines read differently (`\w`, `\b`, `\h`, nested or intersected
/// classes)
std::string to_pcre2_pattern(std::string_view pattern, std::string_view where);

/// Escapes a text so that as a pattern it matches itself.
std::string literal_pattern(std::string_view text);

/// Cuts text into the pieces that BPE never merges across. Immutable, so any number of threads may split at once.
class Pretokenizer {
 public:
  /// @param patterns applied one after another, each to every piece of the one before; a match is a piece and so is
  /// what lies between
  /// @throws ConfigError if a pattern does not compile or is not supported
  Pretokenizer(const std::vector<std::string>& patterns, std::string_view where);
  Pretokenizer(Pretokenizer&&) noexcept;
  Pretokenizer& operator=(Pretokenizer&&) noexcept;
  ~Pretokenizer();

  /// Appends the pieces of `text` in order; together they are exactly `text`. None is empty.
  /// @param text well-formed UTF-8 (not checked again); the pieces point into it
  /// @throws RequestError if a pattern needs more steps than 100,000 + 64 per byte at one place
  void split(std::string_view text, std::vector<std::string_view>& pieces) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kvgauge
