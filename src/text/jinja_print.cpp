// How values become text: str(), repr() and json.dumps() of Python, character for character.
#include <algorithm>
#include <cmath>

#include "text/jinja_strings.h"
#include "text/jinja_value.h"

namespace kvgauge::jinja {
namespace {

void check_depth(Heap& heap, int depth) {
  if (depth > kMaxValueDepth)
    heap.fail("a value is nested deeper than ", kMaxValueDepth, " levels, at most that many are allowed");
}

// One list may hold another a thousand times: what is printed is bounded by what it becomes, not by what it holds.
void check_size(Heap& heap, const std::string& out) {
  heap.step();
  if (out.size() > heap.limits().output_bytes)
    heap.fail("a value prints as more than ", heap.limits().output_bytes, " bytes, at most that many are allowed");
}

void append_items(Heap& heap, std::string& out, const std::vector<Value>& items, int depth) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ", ";
    append_repr(heap, out, items[i], depth + 1);
  }
}

void append_sequence(Heap& heap, std::string& out, const Sequence& sequence, int depth) {
  switch (sequence.flavor) {
    case Sequence::Flavor::kIterator: heap.fail("found a generator to print, a list was needed; add |list");
    case Sequence::Flavor::kTuple:
      out += '(';
      append_items(heap, out, sequence.items, depth);
      out += sequence.items.size() == 1 ? ",)" : ")";
      return;
    case Sequence::Flavor::kRange: heap.fail("found a range to print, a list was needed; add |list");
    case Sequence::Flavor::kList:
      out += '[';
      append_items(heap, out, sequence.items, depth);
      out += ']';
      return;
    case Sequence::Flavor::kKeys: out += "dict_keys(["; break;
    case Sequence::Flavor::kValues: out += "dict_values(["; break;
    case Sequence::Flavor::kItems: out += "dict_items(["; break;
  }
  append_items(heap, out, sequence.items, depth);
  out += "])";
}

void append_scalar(std::string& out, const Value& value, bool as_json) {
  if (value.is<None>())
    out += as_json ? "null" : "None";
  else if (const auto* const b = value.get<bool>())
    out += as_json ? (*b ? "true" : "false") : (*b ? "True" : "False");
  else if (const auto* const i = value.get<std::int64_t>())
    out += std::to_string(*i);
  else if (const auto* const d = value.get<double>()) {
    if (as_json && std::isnan(*d))
      out += "NaN";
    else if (as_json && std::isinf(*d))
      out += *d < 0 ? "-Infinity" : "Infinity";
    else
      out += float_repr(*d);
  }
}

bool is_scalar(const Value& value) { return value.is<None>() || is_number(value); }

void append_newline(std::string& out, const JsonStyle& style, int depth) {
  if (!style.is_indented) return;
  out += '\n';
  for (int i = 0; i < depth; ++i) out += style.indent;
}

// A JSON object's keys are strings: Python writes None, booleans and numbers as their JSON text.
std::string json_key(Heap& heap, const Value& key) {
  if (const auto* const text = key.get<std::string_view>()) return std::string(*text);
  if (!is_scalar(key)) heap.fail("tojson found a ", type_name(key), " as a key, a string or a number was needed");
  std::string out;
  append_scalar(out, key, true);
  return out;
}

void append_json_dict(Heap& heap, std::string& out, const Dict& dict, const JsonStyle& style, int depth) {
  std::vector<const std::pair<Value, Value>*> entries;
  for (const auto& entry : dict.entries) entries.push_back(&entry);
  if (style.sort_keys)
    std::stable_sort(entries.begin(), entries.end(),
                     [&](const auto* a, const auto* b) { return compare(heap, a->first, b->first) < 0; });
  out += '{';
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (i > 0) out += style.item_separator;
    append_newline(out, style, depth + 1);
    append_json_string(out, json_key(heap, entries[i]->first), style.ensure_ascii);
    out += style.key_separator;
    append_json(heap, out, entries[i]->second, style, depth + 1);
  }
  if (!entries.empty()) append_newline(out, style, depth);
  out += '}';
}

}  // namespace

void append_repr(Heap& heap, std::string& out, const Value& value, int depth) {
  check_depth(heap, depth);
  check_size(heap, out);
  if (is_scalar(value)) return append_scalar(out, value, false);
  if (const auto* const text = value.get<std::string_view>()) {
    heap.step(text->size() / 16);
    return append_repr(out, *text);
  }
  if (const auto* const sequence = value.get<Sequence*>()) return append_sequence(heap, out, **sequence, depth);
  if (value.is<Undefined>()) {
    out += "Undefined";
  } else if (const auto* const dict = value.get<Dict*>()) {
    out += '{';
    for (std::size_t i = 0; i < (*dict)->entries.size(); ++i) {
      if (i > 0) out += ", ";
      append_repr(heap, out, (*dict)->entries[i].first, depth + 1);
      out += ": ";
      append_repr(heap, out, (*dict)->entries[i].second, depth + 1);
    }
    out += '}';
  } else if (const auto* const names = value.get<Namespace*>()) {
    out += "<Namespace {";
    for (std::size_t i = 0; i < (*names)->attributes.size(); ++i) {
      if (i > 0) out += ", ";
      append_repr(out, (*names)->attributes[i].first);
      out += ": ";
      append_repr(heap, out, (*names)->attributes[i].second, depth + 1);
    }
    out += "}>";
  } else {
    heap.fail("found a ", type_name(value), " to print, a value was needed");
  }
}

std::string_view to_text(Heap& heap, const Value& value) {
  if (const auto* const text = value.get<std::string_view>()) return *text;
  if (value.is<Undefined>()) return {};
  std::string out;
  append_repr(heap, out, value);
  return heap.keep(std::move(out));
}

void append_json(Heap& heap, std::string& out, const Value& value, const JsonStyle& style, int depth) {
  check_depth(heap, depth);
  check_size(heap, out);
  if (is_scalar(value)) return append_scalar(out, value, true);
  if (const auto* const text = value.get<std::string_view>()) {
    heap.step(text->size() / 16);
    return append_json_string(out, *text, style.ensure_ascii);
  }
  if (const auto* const dict = value.get<Dict*>()) return append_json_dict(heap, out, **dict, style, depth);
  const auto* const sequence = value.get<Sequence*>();
  if (!sequence || ((*sequence)->flavor != Sequence::Flavor::kList && (*sequence)->flavor != Sequence::Flavor::kTuple))
    heap.fail("tojson found a ", type_name(value), ", a value that JSON has was needed");
  out += '[';
  const auto& items = (*sequence)->items;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += style.item_separator;
    append_newline(out, style, depth + 1);
    append_json(heap, out, items[i], style, depth + 1);
  }
  if (!items.empty()) append_newline(out, style, depth);
  out += ']';
}

}  // namespace kvgauge::jinja
