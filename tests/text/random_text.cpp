#include "text/random_text.h"

#include "text/utf8.h"

namespace kvgauge::testing {
namespace {

constexpr std::string_view kParts[] = {
    "a",
    "b",
    "ab",
    "S",
    "the",
    " the",
    " ",
    " ",
    "  ",
    "   ",
    "\t",
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    "\u00a0",
    "\u180e",
    "\u180e",
    "\u2028",
    "\u3000",
    "\u0085",
    "\u200b",
    "\ufeff",
    "\v",
    "\f",
    "\x1c",
    "'s",
    "'S",
    "'t",
    "'re",
    "'VE",
    "'m",
    "'lL",
    "'d",
    "'",
    "'\u017f",
    "'\u212a",
    "\u2019",
    "0",
    "7",
    "42",
    "1234",
    "\u0661",
    "\u00bd",
    "\u00b2",
    "\u2167",
    "\u4e00",
    "\u4e2d\u6587",
    "é",
    "e\u0301",
    "ß",
    "Я",
    "ж",
    "\u0928\u093c",
    "\u05e9\u05b8",
    "\ud55c",
    "\u1112\u1161",
    "\u0e33",
    "\U0001F600",
    "\U0001F468\u200d\U0001F469",
    "\U0001F1E9\U0001F1EA",
    "\u2764\ufe0f",
    ".",
    ",",
    "!",
    "?!",
    "--",
    "_",
    "<",
    ">",
    "<s>",
    "<s><s>",
    "#",
    "=",
    "\\",
    "/",
    "(",
    "\"",
};

char32_t random_code_point(Random& random) {
  constexpr std::uint32_t kLimits[] = {0x80, 0x800, 0x3000, 0x10000, 0x20000, 0x110000};
  for (;;) {
    const auto c = static_cast<char32_t>(random.below(random.pick(kLimits)));
    if (c < 0xD800 || c > 0xDFFF) return c;
  }
}

}  // namespace

std::string random_text(Random& random, int most) {
  std::string text;
  for (int i = random.below(static_cast<std::uint32_t>(most) + 1); i > 0; --i) {
    const int kind = random.below(20);
    if (kind < 2) {
      append_utf8(text, random_code_point(random));
    } else {
      const std::string_view part = random.pick(kParts);
      for (int n = kind == 2 ? 1 + random.below(12) : 1; n > 0; --n) text += part;
    }
  }
  return text;
}

std::string random_bytes(Random& random, int most) {
  std::string bytes = random_text(random, most);
  for (int i = random.below(4); i > 0 && !bytes.empty(); --i) {
    const auto at = static_cast<std::size_t>(random.below(static_cast<std::uint32_t>(bytes.size())));
    if (random.below(2))
      bytes[at] = static_cast<char>(random.below(256));
    else
      bytes.erase(at, 1 + static_cast<std::size_t>(random.below(3)));
  }
  return bytes;
}

}  // namespace kvgauge::testing
