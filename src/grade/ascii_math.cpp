#include "grade/ascii_math.h"

namespace kvgauge::math {
namespace {

struct Spelling {
  std::string_view unicode;
  const char* ascii;
};

constexpr Spelling kSpellings[] = {
    {"\xe2\x88\x92", "-"},             // U+2212
    {"\xe2\x80\x93", "-"},             // U+2013
    {"\xe2\x80\x94", "-"},             // U+2014
    {"\xe2\x80\x90", "-"},             // U+2010
    {"\xe2\x80\x91", "-"},             // U+2011
    {"\xc3\x97", "\\times "},          // U+00D7
    {"\xe2\x8b\x85", "\\cdot "},       // U+22C5
    {"\xc2\xb7", "\\cdot "},           // U+00B7
    {"\xe2\x88\x99", "\\cdot "},       // U+2219
    {"\xc3\xb7", "\\div "},            // U+00F7
    {"\xe2\x89\xa4", "\\le "},         // U+2264
    {"\xe2\x89\xa5", "\\ge "},         // U+2265
    {"\xe2\xa9\xbd", "\\le "},         // U+2A7D
    {"\xe2\xa9\xbe", "\\ge "},         // U+2A7E
    {"\xe2\x89\xa0", "\\ne "},         // U+2260
    {"\xe2\x89\x88", "\\approx "},     // U+2248
    {"\xe2\x89\xa1", "\\equiv "},      // U+2261
    {"\xc2\xb1", "\\pm "},             // U+00B1
    {"\xe2\x88\x93", "\\mp "},         // U+2213
    {"\xe2\x88\x9e", "\\infty "},      // U+221E
    {"\xe2\x88\xaa", "\\cup "},        // U+222A
    {"\xe2\x88\xa9", "\\cap "},        // U+2229
    {"\xe2\x88\x88", "\\in "},         // U+2208
    {"\xe2\x88\x96", "\\setminus "},   // U+2216
    {"\xe2\x88\x9a", "\\sqrt "},       // U+221A
    {"\xe2\x88\x9b", "cbrt "},         // U+221B
    {"\xcf\x80", "\\pi "},             // U+03C0
    {"\xce\xb8", "\\theta "},          // U+03B8
    {"\xce\xb1", "\\alpha "},          // U+03B1
    {"\xce\xb2", "\\beta "},           // U+03B2
    {"\xce\xb3", "\\gamma "},          // U+03B3
    {"\xce\xb4", "\\delta "},          // U+03B4
    {"\xce\xbb", "\\lambda "},         // U+03BB
    {"\xce\xbc", "\\mu "},             // U+03BC
    {"\xcf\x83", "\\sigma "},          // U+03C3
    {"\xcf\x86", "\\phi "},            // U+03C6
    {"\xcf\x89", "\\omega "},          // U+03C9
    {"\xe2\x88\x85", "\\emptyset "},   // U+2205
    {"\xe2\x84\x9d", "\\mathbb{R}"},   // U+211D
    {"\xe2\x84\xa4", "\\mathbb{Z}"},   // U+2124
    {"\xe2\x84\x9a", "\\mathbb{Q}"},   // U+211A
    {"\xe2\x84\x95", "\\mathbb{N}"},   // U+2115
    {"\xe2\x84\x82", "\\mathbb{C}"},   // U+2102
    {"\xe2\x86\x92", "\\to "},         // U+2192
    {"\xe2\x80\xa6", "..."},           // U+2026
    {"\xe2\x8b\xaf", "..."},           // U+22EF
    {"\xe2\x80\xb2", "'"},             // U+2032
    {"\xe2\x80\x99", "'"},             // U+2019
    {"\xe2\x80\x9c", ""},              // U+201C
    {"\xe2\x80\x9d", ""},              // U+201D
    {"\xe2\x80\x98", "'"},             // U+2018
    {"\xc2\xb0", "\\degree "},         // U+00B0
    {"\xc2\xba", "\\degree "},         // U+00BA
    {"\xc2\xbd", "\\frac{1}{2}"},      // U+00BD
    {"\xc2\xbc", "\\frac{1}{4}"},      // U+00BC
    {"\xc2\xbe", "\\frac{3}{4}"},      // U+00BE
    {"\xe2\x85\x93", "\\frac{1}{3}"},  // U+2153
    {"\xe2\x85\x94", "\\frac{2}{3}"},  // U+2154
    {"\xe2\x85\x9b", "\\frac{1}{8}"},  // U+215B
    {"\xe2\x85\x9c", "\\frac{3}{8}"},  // U+215C
    {"\xe2\x85\x9d", "\\frac{5}{8}"},  // U+215D
    {"\xe2\x85\x9e", "\\frac{7}{8}"},  // U+215E
    {"\xe2\x85\x95", "\\frac{1}{5}"},  // U+2155
    {"\xe2\x85\x96", "\\frac{2}{5}"},  // U+2156
    {"\xe2\x85\x97", "\\frac{3}{5}"},  // U+2157
    {"\xe2\x85\x98", "\\frac{4}{5}"},  // U+2158
    {"\xe2\x85\x99", "\\frac{1}{6}"},  // U+2159
    {"\xe2\x85\x9a", "\\frac{5}{6}"},  // U+215A
    {"\xe2\x81\x84", "/"},             // U+2044
    {"\xe2\x82\xac", ""},              // U+20AC
    {"\xc2\xa3", ""},                  // U+00A3
    {"\xc2\xa5", ""},                  // U+00A5
    {"\xe2\x82\xb9", ""},              // U+20B9
    {"\xc2\xa0", " "},                 // U+00A0
    {"\xe2\x80\xaf", " "},             // U+202F
    {"\xe2\x80\x89", " "},             // U+2009
    {"\xe2\x80\x82", " "},             // U+2002
    {"\xe2\x80\x83", " "},             // U+2003
    {"\xe2\x80\x8b", ""},              // U+200B
    {"\xe2\x81\xa0", ""},              // U+2060
    {"\xef\xbb\xbf", ""},              // U+FEFF
    {"\xef\xbc\x8c", ","},             // U+FF0C
    {"\xef\xbc\x88", "("},             // U+FF08
    {"\xef\xbc\x89", ")"},             // U+FF09
    {"\xef\xbc\x9a", ":"},             // U+FF1A
    {"\xef\xbc\x9d", "="},             // U+FF1D
    {"\xe3\x80\x82", ". "},            // U+3002
    {"\xe2\x9f\xa8", "("},             // U+27E8
    {"\xe2\x9f\xa9", ")"},             // U+27E9
    {"\xe2\x8c\x8a", "\\lfloor "},     // U+230A
    {"\xe2\x8c\x8b", "\\rfloor "},     // U+230B
    {"\xe2\x8c\x88", "\\lceil "},      // U+2308
    {"\xe2\x8c\x89", "\\rceil "},      // U+2309
    {"\xe2\x88\xa3", "|"},             // U+2223
    {"\xef\xbc\x85", "%"},             // U+FF05
    {"\xe2\x88\xa7", "\\land "},       // U+2227
    {"\xe2\x88\xa8", "\\lor "},        // U+2228
};

// Raised and lowered characters, in the order of kSmall.
constexpr std::string_view kSmall = "0123456789+-n";
constexpr std::string_view kRaised[] = {"\xe2\x81\xb0", "\xc2\xb9",     "\xc2\xb2",     "\xc2\xb3",     "\xe2\x81\xb4",
                                        "\xe2\x81\xb5", "\xe2\x81\xb6", "\xe2\x81\xb7", "\xe2\x81\xb8", "\xe2\x81\xb9",
                                        "\xe2\x81\xba", "\xe2\x81\xbb", "\xe2\x81\xbf"};
constexpr std::string_view kLowered[] = {"\xe2\x82\x80", "\xe2\x82\x81", "\xe2\x82\x82", "\xe2\x82\x83", "\xe2\x82\x84",
                                         "\xe2\x82\x85", "\xe2\x82\x86", "\xe2\x82\x87", "\xe2\x82\x88", "\xe2\x82\x89",
                                         "\xe2\x82\x8a", "\xe2\x82\x8b", "\xe2\x82\x99"};

// The plain character of the raised or lowered one at `at`; `used` bytes long.
template <std::size_t n>
char small(const std::string_view (&forms)[n], std::string_view text, std::size_t at, std::size_t& used) {
  for (std::size_t i = 0; i < n; ++i)
    if (forms[i][0] == text[at] && text.compare(at, forms[i].size(), forms[i]) == 0) {
      used = forms[i].size();
      return kSmall[i];
    }
  return 0;
}

// A run of raised characters as ^{..}, of lowered ones as _{..}; 0 bytes where there is none.
template <std::size_t n>
std::size_t small_run(const std::string_view (&forms)[n], const char* open, std::string_view text, std::size_t at,
                      std::string& out) {
  std::size_t end = at, used = 0;
  std::string run;
  for (char c = 0; end < text.size() && (c = small(forms, text, end, used)) != 0; end += used) run += c;
  if (end == at) return 0;
  out += open;
  out += run;
  out += '}';
  return end - at;
}

}  // namespace

std::string ascii_math(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      out += text[at++];
      continue;
    }
    std::size_t used = small_run(kRaised, "^{", text, at, out);
    if (used == 0) used = small_run(kLowered, "_{", text, at, out);
    for (const Spelling& spelling : kSpellings) {
      if (used > 0) break;
      if (spelling.unicode[0] != text[at] || text.compare(at, spelling.unicode.size(), spelling.unicode) != 0) continue;
      out += spelling.ascii;
      used = spelling.unicode.size();
    }
    if (used == 0) {
      out += text[at];
      used = 1;
    }
    at += used;
  }
  return out;
}

}  // namespace kvgauge::math
