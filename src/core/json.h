#pragma once
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace kvgauge {

using Json = nlohmann::json;  ///< sorted keys; the only choice for big objects (ordered_json is quadratic)
using OrderedJson = nlohmann::ordered_json;  ///< for messages, tools and result rows, where order is seen

/// Parses a whole text. @throws FormatError "where: ... at byte N" on malformed JSON, invalid UTF-8 or nesting over 512
/// levels
Json parse_json(std::string_view text, std::string_view where);
/// As parse_json, and refuses an object that has a key twice (where a file's reader and a checker could see different
/// values).
Json parse_json_unique(std::string_view text, std::string_view where);
OrderedJson parse_ordered_json(std::string_view text, std::string_view where);

/// Typed access to one member of an object. `where` is the file or line for the message.
/// get_* throw FormatError if the member is absent or of another type; find_* return nullopt when absent or null.
const Json& get_member(const Json& object, const char* key, std::string_view where);
std::optional<std::int64_t> find_int(const Json& object, const char* key, std::string_view where);
std::optional<double> find_number(const Json& object, const char* key, std::string_view where);
std::optional<bool> find_bool(const Json& object, const char* key, std::string_view where);
std::optional<std::string> find_string(const Json& object, const char* key, std::string_view where);
std::int64_t get_int(const Json& object, const char* key, std::string_view where);
double get_number(const Json& object, const char* key, std::string_view where);
std::string get_string(const Json& object, const char* key, std::string_view where);

}  // namespace kvgauge
