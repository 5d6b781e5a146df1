#include "text/jinja_strings.h"

#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

namespace kvgauge::jinja {
namespace {

bool contains(std::string_view chars, std::string_view one) {
  for (std::size_t at = 0; at < chars.size();) {
    const std::size_t bytes = code_point_at(chars, at).bytes;
    if (chars.substr(at, bytes) == one) return true;
    at += bytes;
  }
  return false;
}

bool is_stripped(std::string_view one, std::optional<std::string_view> chars) {
  return chars ? contains(*chars, one) : is_space(code_point_at(one, 0).value);
}

utf8proc_category_t category(std::uint32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

bool is_cased(std::uint32_t c) {
  const auto kind = category(c);
  return kind == UTF8PROC_CATEGORY_LU || kind == UTF8PROC_CATEGORY_LL || kind == UTF8PROC_CATEGORY_LT;
}

std::uint32_t upper(std::uint32_t c) {
  return static_cast<std::uint32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c)));
}
std::uint32_t lower(std::uint32_t c) {
  return static_cast<std::uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}
std::uint32_t title(std::uint32_t c) {
  return static_cast<std::uint32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c)));
}

// str.isprintable: everything but separators other than the space, and the "other" categories.
bool is_printable(std::uint32_t c) {
  if (c == ' ') return true;
  switch (category(c)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return false;
    default: return true;
  }
}

void append_hex(std::string& out, std::uint32_t value, int digits) {
  constexpr char kDigits[] = "0123456789abcdef";
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) out += kDigits[(value >> shift) & 15];
}

// The escapes that repr() and JSON have in common: of the quote, the backslash and the white space that both name.
bool append_escape(std::string& out, std::uint32_t c, char quote) {
  const bool as_it_is = c == static_cast<unsigned char>(quote) || c == '\\';
  const char letter = as_it_is ? static_cast<char>(c) : c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\t' ? 't' : '\0';
  if (letter != '\0') (out += '\\') += letter;
  return letter != '\0';
}

bool has_class(std::uint32_t c, CharClass what) {
  const auto kind = category(c);
  const bool alpha = is_cased(c) || kind == UTF8PROC_CATEGORY_LM || kind == UTF8PROC_CATEGORY_LO;
  switch (what) {
    case CharClass::kAlpha: return alpha;
    case CharClass::kDigit: return kind == UTF8PROC_CATEGORY_ND;
    case CharClass::kAlnum:
      return alpha || kind == UTF8PROC_CATEGORY_ND || kind == UTF8PROC_CATEGORY_NL || kind == UTF8PROC_CATEGORY_NO;
    case CharClass::kSpace: return is_space(c);
    case CharClass::kUpper: return kind == UTF8PROC_CATEGORY_LU;
    case CharClass::kLower: return kind == UTF8PROC_CATEGORY_LL;
  }
  return false;
}

}  // namespace

CodePoint code_point_at(std::string_view text, std::size_t at) {
  utf8proc_int32_t value = -1;
  const auto bytes = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
                                      static_cast<utf8proc_ssize_t>(text.size() - at), &value);
  if (bytes <= 0 || value < 0) return {static_cast<unsigned char>(text[at]), 1};
  return {static_cast<std::uint32_t>(value), static_cast<std::size_t>(bytes)};
}

void append_code_point(std::string& out, std::uint32_t value) {
  utf8proc_uint8_t buffer[4];
  const auto bytes = utf8proc_encode_char(static_cast<utf8proc_int32_t>(value), buffer);
  out.append(reinterpret_cast<const char*>(buffer), static_cast<std::size_t>(bytes));
}

std::optional<std::size_t> find_invalid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      ++at;
      continue;
    }
    const CodePoint c = code_point_at(text, at);
    if (c.bytes == 1) return at;
    at += c.bytes;
  }
  return std::nullopt;
}

std::size_t code_points(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t at = 0; at < text.size(); ++count) at += code_point_at(text, at).bytes;
  return count;
}

std::vector<std::string_view> split_code_points(std::string_view text) {
  std::vector<std::string_view> parts;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t bytes = code_point_at(text, at).bytes;
    parts.push_back(text.substr(at, bytes));
    at += bytes;
  }
  return parts;
}

bool is_space(std::uint32_t c) {
  return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

std::string_view strip_left(std::string_view text, std::optional<std::string_view> chars) {
  while (!text.empty()) {
    const std::size_t bytes = code_point_at(text, 0).bytes;
    if (!is_stripped(text.substr(0, bytes), chars)) break;
    text.remove_prefix(bytes);
  }
  return text;
}

std::string_view strip_right(std::string_view text, std::optional<std::string_view> chars) {
  while (!text.empty()) {
    // The last code point starts at most three continuation bytes back; otherwise the last byte stands alone.
    std::size_t start = text.size() - 1;
    for (std::size_t back = 1; back <= 4 && back <= text.size(); ++back) {
      if ((static_cast<unsigned char>(text[text.size() - back]) & 0xC0) == 0x80) continue;
      if (code_point_at(text, text.size() - back).bytes == back) start = text.size() - back;
      break;
    }
    if (!is_stripped(text.substr(start), chars)) break;
    text.remove_suffix(text.size() - start);
  }
  return text;
}

std::string change_case(std::string_view text, Case to) {
  std::string out;
  out.reserve(text.size());
  bool after_cased = false;
  bool first = true;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    if (c.bytes == 1 && c.value >= 0x80) {
      out += text[at++];
      continue;
    }
    std::uint32_t mapped = c.value;
    switch (to) {
      case Case::kUpper: mapped = upper(c.value); break;
      case Case::kLower: mapped = lower(c.value); break;
      case Case::kTitle: mapped = after_cased ? lower(c.value) : title(c.value); break;
      case Case::kCapitalized: mapped = first ? title(c.value) : lower(c.value); break;
      case Case::kSwapped: mapped = category(c.value) == UTF8PROC_CATEGORY_LU ? lower(c.value) : upper(c.value); break;
    }
    append_code_point(out, mapped);
    after_cased = is_cased(c.value);
    first = false;
    at += c.bytes;
  }
  return out;
}

bool is_all(std::string_view text, CharClass what) {
  bool found = false;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    at += c.bytes;
    const bool cased_query = what == CharClass::kUpper || what == CharClass::kLower;
    if (has_class(c.value, what))
      found = true;
    else if (!cased_query || is_cased(c.value))
      return false;
  }
  return found;
}

void append_repr(std::string& out, std::string_view text) {
  const char quote = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos ? '"' : '\'';
  out += quote;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    const std::string_view raw = text.substr(at, c.bytes);
    at += c.bytes;
    if (append_escape(out, c.value, quote)) continue;
    if (is_printable(c.value))
      out += raw;
    else if (c.value < 0x100)
      append_hex(out += "\\x", c.value, 2);
    else if (c.value < 0x10000)
      append_hex(out += "\\u", c.value, 4);
    else
      append_hex(out += "\\U", c.value, 8);
  }
  out += quote;
}

void append_json_string(std::string& out, std::string_view text, bool ensure_ascii) {
  out += '"';
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    const std::string_view raw = text.substr(at, c.bytes);
    at += c.bytes;
    if (append_escape(out, c.value, '"')) continue;
    if (c.value == '\b')
      out += "\\b";
    else if (c.value == '\f')
      out += "\\f";
    else if (c.value < 0x20 || (ensure_ascii && c.value >= 0x7F && c.value < 0x10000))
      append_hex(out += "\\u", c.value, 4);
    else if (ensure_ascii && c.value >= 0x10000) {
      append_hex(out += "\\u", 0xD800 + ((c.value - 0x10000) >> 10), 4);
      append_hex(out += "\\u", 0xDC00 + ((c.value - 0x10000) & 0x3FF), 4);
    } else {
      out += raw;
    }
  }
  out += '"';
}

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  const std::string_view text(buffer, static_cast<std::size_t>(end - buffer));
  const std::size_t e = text.find('e');
  int exponent = 0;
  const char* const exponent_begin = text.data() + e + (text[e + 1] == '+' ? 2 : 1);
  std::from_chars(exponent_begin, end, exponent);
  std::string out;
  std::string digits;
  for (const char c : text.substr(0, e)) {
    if (c == '-')
      out += c;
    else if (c != '.')
      digits += c;
  }
  // repr() writes exponents below -4 and from 16 up in scientific form, with at least two exponent digits.
  if (exponent < -4 || exponent >= 16) {
    out += digits[0];
    if (digits.size() > 1) (out += '.').append(digits, 1);
    out += exponent < 0 ? "e-" : "e+";
    if (std::abs(exponent) < 10) out += '0';
    return out += std::to_string(std::abs(exponent));
  }
  const auto zeros = [](int count) { return static_cast<std::size_t>(std::max(count, 0)); };
  if (exponent < 0) return (out += "0.").append(zeros(-exponent - 1), '0') += digits;
  const std::size_t whole = static_cast<std::size_t>(exponent) + 1;
  out.append(digits, 0, whole).append(zeros(exponent + 1 - static_cast<int>(digits.size())), '0') += '.';
  if (digits.size() > whole) return out.append(digits, whole);
  return out += '0';
}

}  // namespace kvgauge::jinja
