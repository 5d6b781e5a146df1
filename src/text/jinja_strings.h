#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// Python's view of text: UTF-8 strings counted, cut and compared by code point. A byte that is not part of valid
// UTF-8 counts as one code point, so no input is out of range. kvgauge::jinja: the language's common nouns (Value,
// Token, Scope) would collide with the engine's.
namespace kvgauge::jinja {

/// The code point at `at` and its length in bytes (an invalid byte: itself, 1). Needs at < text.size().
struct CodePoint {
  std::uint32_t value;
  std::size_t bytes;
};
CodePoint code_point_at(std::string_view text, std::size_t at);
void append_code_point(std::string& out, std::uint32_t value);

/// Byte offset of the first malformed sequence, if there is one.
std::optional<std::size_t> find_invalid_utf8(std::string_view text);

std::size_t code_points(std::string_view text);  ///< len(text)
std::vector<std::string_view> split_code_points(std::string_view text);
bool is_space(std::uint32_t code_point);  ///< str.isspace of one character

/// str.lstrip / str.rstrip: removes white space, or any of the code points of `chars`.
std::string_view strip_left(std::string_view text, std::optional<std::string_view> chars = std::nullopt);
std::string_view strip_right(std::string_view text, std::optional<std::string_view> chars = std::nullopt);

enum class Case { kUpper, kLower, kTitle, kCapitalized, kSwapped };
std::string change_case(std::string_view text, Case to);  ///< one-to-one mappings only

enum class CharClass { kAlpha, kDigit, kAlnum, kSpace, kUpper, kLower };
bool is_all(std::string_view text, CharClass what);  ///< str.isalpha() and relations

/// Python's repr() of a string, quotes included.
void append_repr(std::string& out, std::string_view text);
/// json.dumps of a string.
void append_json_string(std::string& out, std::string_view text, bool ensure_ascii);
/// repr() of a float: the shortest digits that read back.
std::string float_repr(double value);

}  // namespace kvgauge::jinja
