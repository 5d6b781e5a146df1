#include "core/json.h"

#include <set>
#include <vector>

#include "core/cat.h"
#include "core/printable.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace {

constexpr int kMaxDepth = 512;

// nlohmann's parser is iterative but its destructor and our walkers recurse: refuse absurd nesting before building it.
void check_depth(std::string_view text, std::string_view where) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxDepth)
        throw FormatError(cat(where, ": JSON nested deeper than ", kMaxDepth, " levels at byte ", i));
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
}

// nlohmann's message has the position and the cause; its "[json.exception...]" prefix and quoted input do not help a
// user.
std::string reason(const nlohmann::json::exception& error) {
  std::string text = error.what();
  if (const auto end = text.find("] "); end != std::string::npos) text.erase(0, end + 2);
  for (char& c : text)
    if (c == '\n' || c == '\r') c = ' ';
  return text;
}

template <class J>
J parse(std::string_view text, std::string_view where) {
  check_depth(text, where);
  try {
    return J::parse(text.begin(), text.end());
  } catch (const nlohmann::json::exception& error) {
    throw FormatError(cat(where, ": not valid JSON: ", reason(error)));
  }
}

const Json* find(const Json& object, const char* key, std::string_view where) {
  if (!object.is_object())
    throw FormatError(cat(where, ": found ", object.type_name(), ", an object with '", key, "' was needed"));
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

FormatError wrong_type(const Json& value, const char* key, const char* needed, std::string_view where) {
  return FormatError(cat(where, ": '", key, "' is ", value.type_name(), ", ", needed, " was needed"));
}

template <class T>
T required(std::optional<T> value, const char* key, std::string_view where) {
  if (!value) throw FormatError(cat(where, ": '", key, "' is missing"));
  return *std::move(value);
}

}  // namespace

Json parse_json(std::string_view text, std::string_view where) { return parse<Json>(text, where); }
Json parse_json_unique(std::string_view text, std::string_view where) {
  check_depth(text, where);
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  const auto refuse_twice = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second)
      throw FormatError(
          cat(where, ": the key '", printable(parsed.get<std::string>()), "' is there twice, once was needed"));
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), refuse_twice);
  } catch (const nlohmann::json::exception& error) {
    throw FormatError(cat(where, ": not valid JSON: ", reason(error)));
  }
}
OrderedJson parse_ordered_json(std::string_view text, std::string_view where) {
  return parse<OrderedJson>(text, where);
}

const Json& get_member(const Json& object, const char* key, std::string_view where) {
  const Json* const value = find(object, key, where);
  if (!value) throw FormatError(cat(where, ": '", key, "' is missing"));
  return *value;
}

std::optional<std::int64_t> find_int(const Json& object, const char* key, std::string_view where) {
  const Json* const value = find(object, key, where);
  if (!value) return std::nullopt;
  if (!value->is_number_integer()) throw wrong_type(*value, key, "an integer", where);
  if (value->is_number_unsigned() && value->get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX))
    throw FormatError(
        cat(where, ": '", key, "' is ", value->get<std::uint64_t>(), ", at most ", INT64_MAX, " was needed"));
  return value->get<std::int64_t>();
}

std::optional<double> find_number(const Json& object, const char* key, std::string_view where) {
  const Json* const value = find(object, key, where);
  if (!value) return std::nullopt;
  if (!value->is_number()) throw wrong_type(*value, key, "a number", where);
  return value->get<double>();
}

std::optional<bool> find_bool(const Json& object, const char* key, std::string_view where) {
  const Json* const value = find(object, key, where);
  if (!value) return std::nullopt;
  if (!value->is_boolean()) throw wrong_type(*value, key, "true or false", where);
  return value->get<bool>();
}

std::optional<std::string> find_string(const Json& object, const char* key, std::string_view where) {
  const Json* const value = find(object, key, where);
  if (!value) return std::nullopt;
  if (!value->is_string()) throw wrong_type(*value, key, "a string", where);
  return value->get<std::string>();
}

std::int64_t get_int(const Json& object, const char* key, std::string_view where) {
  return required(find_int(object, key, where), key, where);
}
double get_number(const Json& object, const char* key, std::string_view where) {
  return required(find_number(object, key, where), key, where);
}
std::string get_string(const Json& object, const char* key, std::string_view where) {
  return required(find_string(object, key, where), key, where);
}

}  // namespace kvgauge
