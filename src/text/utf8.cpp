#include "text/utf8.h"

#include <cstring>

namespace kvgauge {
namespace {

// Length of the run of ASCII bytes at the front.
std::size_t ascii_run(std::string_view text) {
  std::size_t at = 0;
  for (; at + 8 <= text.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + at, 8);
    if (word & 0x8080808080808080ULL) break;
  }
  while (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) ++at;
  return at;
}

}  // namespace

Utf8Step read_utf8(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {Utf8Step::kCharacter, 1, lead};
  if (lead < 0xC2 || lead > 0xF4) return {Utf8Step::kIllFormed, 1, 0};
  const unsigned length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // The second byte alone excludes overlong forms, surrogates and what lies above U+10FFFF.
  const unsigned second_low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned second_high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  char32_t code_point = lead & (0xFFU >> (length + 1));
  for (unsigned i = 1; i < length; ++i) {
    if (i == text.size()) return {Utf8Step::kIncomplete, static_cast<std::uint8_t>(i), 0};
    const unsigned next = byte(i);
    if (next < (i == 1 ? second_low : 0x80) || next > (i == 1 ? second_high : 0xBF))
      return {Utf8Step::kIllFormed, static_cast<std::uint8_t>(i), 0};
    code_point = code_point << 6 | (next & 0x3F);
  }
  return {Utf8Step::kCharacter, static_cast<std::uint8_t>(length), code_point};
}

std::size_t find_ill_formed_utf8(std::string_view text) {
  for (std::size_t at = 0;;) {
    at += ascii_run(text.substr(at));
    if (at == text.size()) return std::string_view::npos;
    const Utf8Step step = read_utf8(text.substr(at));
    if (step.kind != Utf8Step::kCharacter) return at;
    at += step.bytes;
  }
}

std::size_t append_replacing_ill_formed(std::string& out, std::string_view text) {
  for (std::size_t at = 0;;) {
    const std::size_t run = ascii_run(text.substr(at));
    out.append(text, at, run);
    at += run;
    if (at == text.size()) return at;
    const Utf8Step step = read_utf8(text.substr(at));
    if (step.kind == Utf8Step::kIncomplete) return at;
    if (step.kind == Utf8Step::kCharacter)
      out.append(text, at, step.bytes);
    else
      out.append(kReplacementCharacter);
    at += step.bytes;
  }
}

void append_utf8(std::string& out, char32_t c) {
  const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(static_cast<unsigned char>(byte))); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

}  // namespace kvgauge
