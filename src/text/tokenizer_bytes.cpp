#include "text/tokenizer_bytes.h"

#include <array>

#include "text/utf8.h"

namespace kvgauge {
namespace {

struct Alphabet {
  std::array<char32_t, 256> character{};
  std::array<int, 0x144> byte{};  // -1: not in the alphabet
};

const Alphabet& alphabet() {
  static const Alphabet instance = [] {
    Alphabet a;
    a.byte.fill(-1);
    char32_t next = 0x100;
    for (int b = 0; b < 256; ++b) {
      const bool itself = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      const char32_t c = itself ? static_cast<char32_t>(b) : next++;
      a.character[static_cast<std::size_t>(b)] = c;
      a.byte[c] = b;
    }
    return a;
  }();
  return instance;
}

}  // namespace

std::string to_byte_alphabet(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) append_utf8(out, alphabet().character[static_cast<unsigned char>(c)]);
  return out;
}

std::string from_byte_alphabet(std::string_view token) {
  const Alphabet& a = alphabet();
  std::string out;
  for (std::size_t at = 0; at < token.size();) {
    const Utf8Step step = read_utf8(token.substr(at));
    if (step.kind != Utf8Step::kCharacter || step.code_point >= a.byte.size() || a.byte[step.code_point] < 0)
      return std::string(token);
    out.push_back(static_cast<char>(static_cast<unsigned char>(a.byte[step.code_point])));
    at += step.bytes;
  }
  return out;
}

}  // namespace kvgauge
