#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja_value.h"

namespace kvgauge::jinja {

/// Arguments of one call before they meet parameters.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string_view, Value>> named;
};
using Slots = std::vector<std::optional<Value>>;  ///< one per parameter; empty where none was given

/// Fills the comma-separated `parameters`, of which the first `required` must be given; ends the render if it does not
/// fit.
Slots bind(Heap& heap, std::string_view what, std::string_view parameters, std::size_t required,
           const Arguments& arguments);

/// Filters whose arguments are themselves a filter or test call (map, select, ...) take `apply_raw` instead.
struct Filter {
  std::string_view name;
  std::string_view parameters;
  std::size_t required;
  Value (*apply)(Heap&, const Value& subject, const Slots&);
  Value (*apply_raw)(Heap&, const Value& subject, const Arguments&) = nullptr;
};
const Filter* find_filter(std::string_view name);           ///< all of them
const Filter* find_sequence_filter(std::string_view name);  ///< those of jinja_sequence_filters.cpp
Value apply_filter(Heap& heap, const Filter& filter, const Value& subject, const Arguments& arguments);

struct Test {
  std::string_view name;
  std::size_t arguments;  ///< besides the subject
  bool (*apply)(Heap&, const Value& subject, const std::vector<Value>&);
};
const Test* find_test(std::string_view name);
bool apply_test(Heap& heap, const Test& test, const Value& subject, const Arguments& arguments);

struct Method {
  std::string_view name;
  std::string_view parameters;
  std::size_t required;
  Value (*apply)(Heap&, const Value& self, const Slots&);
};
/// The method of a string, list, tuple or dict, if it has one of that name.
const Method* find_method(const Value& self, std::string_view name);
/// Whether any type has a method of that name, one that only raises included: other names are refused at load.
bool is_method_name(std::string_view name);
/// Methods that would change a list or dict: the immutable sandbox of transformers refuses them.
bool is_mutating_method(const Value& self, std::string_view name);

struct Global {
  std::string_view name;
  Value (*apply)(Heap&, const Arguments&);
};
const Global* find_global(std::string_view name);

/// object.name and object[key] as Jinja2 resolves them: undefined if there is no such thing.
Value get_attribute(Heap& heap, const Value& object, std::string_view name);
Value get_item(Heap& heap, const Value& object, const Value& key);
Value get_slice(Heap& heap, const Value& object, const Value& begin, const Value& end, const Value& step);

/// Helpers that filters and methods share.
inline bool is_given(const std::optional<Value>& slot) { return slot && !slot->is<None>(); }
inline bool flag(const std::optional<Value>& slot, bool fallback) { return slot ? truth(*slot) : fallback; }
std::int64_t int_argument(Heap& heap, std::string_view what, const std::optional<Value>& slot, std::int64_t fallback);
std::string_view string_argument(Heap& heap, std::string_view what, const Value& value);
inline std::string_view string_argument(Heap& heap, std::string_view what, const std::optional<Value>& slot,
                                        std::string_view fallback) {
  return slot ? string_argument(heap, what, *slot) : fallback;
}
/// The entry of a table of filters, tests or globals.
template <class Entry, std::size_t kCount>
const Entry* find_named(const Entry (&table)[kCount], std::string_view name) {
  for (const Entry& entry : table)
    if (entry.name == name) return &entry;
  return nullptr;
}
Value strip(Heap& heap, std::string_view text, const std::optional<Value>& chars, bool left, bool right);
std::string replace_all(Heap& heap, std::string_view text, std::string_view from, std::string_view to,
                        std::int64_t count);
/// @throws RequestError unless every element is a string
std::string join_strings(Heap& heap, std::string_view separator, const std::vector<Value>& items);

}  // namespace kvgauge::jinja
