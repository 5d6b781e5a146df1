#pragma once
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>

namespace kvgauge::testing {

/// splitmix64, so that a seed means the same text everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15ULL;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
    return z ^ z >> 31;
  }
  std::int32_t below(std::uint32_t n) { return n == 0 ? 0 : static_cast<std::int32_t>(next() % n); }
  template <class List>
  const auto& pick(const List& list) {
    return list[static_cast<std::size_t>(below(static_cast<std::uint32_t>(std::size(list))))];
  }

 private:
  std::uint64_t state_;
};

/// Up to `most` parts: characters that the split patterns tell apart, special tokens, and any code points of Unicode.
std::string random_text(Random& random, int most);
/// Bytes that are often almost UTF-8.
std::string random_bytes(Random& random, int most);

}  // namespace kvgauge::testing
