#include "text/jinja_value.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kvgauge/error.h"
#include "text/jinja_strings.h"

namespace kvgauge::jinja {

void Heap::fail_with(std::string message) const {
  for (char& c : message)
    if (c == '\n' || c == '\r') c = ' ';
  throw RequestError(cat(where_, ":", position.line, ":", position.column, ": ", message));
}

void Heap::out_of_steps() const {
  fail("rendering needs more than ", limits_.steps, " steps, at most that many are allowed");
}

void Heap::charge(std::size_t bytes) {
  step(bytes / 64 + 1);
  if (bytes > limits_.heap_bytes || bytes_ > limits_.heap_bytes - bytes)
    fail("rendering needs more than ", limits_.heap_bytes, " bytes of values, at most that many are allowed");
  bytes_ += bytes;
}

std::string_view Heap::keep(std::string text) {
  charge(text.size() + sizeof(std::string));
  return strings_.emplace_back(std::move(text));
}

Value Heap::list(std::vector<Value> items, Sequence::Flavor flavor) {
  charge(items.size() * sizeof(Value) + sizeof(Sequence));
  return &sequences_.emplace_back(Sequence{flavor, std::move(items)});
}

Dict* Heap::dict() {
  charge(sizeof(Dict));
  return &dicts_.emplace_back();
}

void Heap::insert(Dict& dict, const Value& key, const Value& value) {
  if (const Value* const old = find(*this, dict, key)) {
    const_cast<Value&>(*old) = value;
    return;
  }
  charge(2 * sizeof(Value));
  dict.entries.emplace_back(key, value);
}

Namespace* Heap::name_space() {
  charge(sizeof(Namespace));
  return &namespaces_.emplace_back();
}

Loop* Heap::loop() {
  charge(sizeof(Loop));
  return &loops_.emplace_back();
}

Scope* Heap::scope(const Scope* parent) {
  charge(sizeof(Scope) + 4 * sizeof(Value));
  return &scopes_.emplace_back(Scope{parent, {}});
}

Callable* Heap::callable(Callable made) {
  charge(sizeof(Callable));
  return &callables_.emplace_back(made);
}

Value Heap::from_json(const OrderedJson& json) {
  switch (json.type()) {
    case OrderedJson::value_t::null: return None{};
    case OrderedJson::value_t::boolean: return json.get<bool>();
    case OrderedJson::value_t::number_integer: return json.get<std::int64_t>();
    case OrderedJson::value_t::number_unsigned: {
      const auto number = json.get<std::uint64_t>();
      if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        fail("a variable holds the integer ", number, ", at most ", std::numeric_limits<std::int64_t>::max(),
             " was needed");
      return static_cast<std::int64_t>(number);
    }
    case OrderedJson::value_t::number_float: return json.get<double>();
    case OrderedJson::value_t::string: return std::string_view(json.get_ref<const std::string&>());
    case OrderedJson::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const auto& item : json) items.push_back(from_json(item));
      return list(std::move(items));
    }
    case OrderedJson::value_t::object: {
      Dict* const made = dict();
      charge(json.size() * 2 * sizeof(Value));
      for (const auto& [key, item] : json.items()) made->entries.emplace_back(std::string_view(key), Value());
      std::size_t i = 0;
      for (const auto& item : json) made->entries[i++].second = from_json(item);
      return made;
    }
    default: fail("a variable holds a ", json.type_name(), ", plain JSON was needed");
  }
}

const char* type_name(const Value& value) {
  if (value.is<Undefined>()) return "undefined";
  if (value.is<None>()) return "None";
  if (value.is<bool>()) return "bool";
  if (value.is<std::int64_t>()) return "int";
  if (value.is<double>()) return "float";
  if (value.is<std::string_view>()) return "str";
  if (value.is<Dict*>()) return "dict";
  if (value.is<Namespace*>()) return "namespace";
  if (value.is<Loop*>()) return "loop";
  if (value.is<Callable*>()) return "function";
  switch ((*value.get<Sequence*>())->flavor) {
    case Sequence::Flavor::kList: return "list";
    case Sequence::Flavor::kTuple: return "tuple";
    case Sequence::Flavor::kRange: return "range";
    case Sequence::Flavor::kIterator: return "generator";
    case Sequence::Flavor::kKeys: return "dict_keys";
    case Sequence::Flavor::kValues: return "dict_values";
    case Sequence::Flavor::kItems: return "dict_items";
  }
  return "value";
}

void require_defined(Heap& heap, const Value& value) {
  if (const auto* const undefined = value.get<Undefined>())
    heap.fail(undefined->what.empty() ? "the value is undefined" : undefined->what);
}

bool truth(const Value& value) {
  if (value.is<Undefined>() || value.is<None>()) return false;
  if (const auto* const b = value.get<bool>()) return *b;
  if (const auto* const i = value.get<std::int64_t>()) return *i != 0;
  if (const auto* const d = value.get<double>()) return *d != 0;
  if (const auto* const s = value.get<std::string_view>()) return !s->empty();
  if (const auto* const s = value.get<Sequence*>())
    return (*s)->flavor == Sequence::Flavor::kIterator || !(*s)->items.empty();
  if (const auto* const d = value.get<Dict*>()) return !(*d)->entries.empty();
  return true;
}

const std::int64_t* as_int(const Value& value, std::int64_t& storage) {
  if (const auto* const i = value.get<std::int64_t>()) return i;
  if (const auto* const b = value.get<bool>()) {
    storage = *b ? 1 : 0;
    return &storage;
  }
  return nullptr;
}

bool is_number(const Value& value) { return value.is<bool>() || value.is<std::int64_t>() || value.is<double>(); }

double as_double(const Value& value) {
  if (const auto* const d = value.get<double>()) return *d;
  std::int64_t storage = 0;
  const std::int64_t* const i = as_int(value, storage);
  return i ? static_cast<double>(*i) : 0;
}

namespace {

void check_depth(Heap& heap, int depth) {
  if (depth > kMaxValueDepth)
    heap.fail("a value is nested deeper than ", kMaxValueDepth, " levels, at most that many are allowed");
}

// The items of a sequence whose contents Python compares; views and generators compare by identity.
const std::vector<Value>* comparable_items(const Value& value, Sequence::Flavor& flavor) {
  const auto* const sequence = value.get<Sequence*>();
  if (!sequence || !(*sequence)->is_indexable()) return nullptr;
  flavor = (*sequence)->flavor;
  return &(*sequence)->items;
}

int compare_numbers(const Value& a, const Value& b) {
  std::int64_t storage_a = 0, storage_b = 0;
  const std::int64_t* const i = as_int(a, storage_a);
  const std::int64_t* const j = as_int(b, storage_b);
  if (i && j) return *i < *j ? -1 : *i > *j ? 1 : 0;
  // Exact when the integer has at most 64 significant bits, as Python compares int and float by value.
  const long double x = i ? static_cast<long double>(*i) : static_cast<long double>(as_double(a));
  const long double y = j ? static_cast<long double>(*j) : static_cast<long double>(as_double(b));
  if (x != x || y != y) return 2;
  return x < y ? -1 : x > y ? 1 : 0;
}

}  // namespace

bool equal(Heap& heap, const Value& a, const Value& b, int depth) {
  heap.step();
  check_depth(heap, depth);
  if (is_number(a) && is_number(b)) return compare_numbers(a, b) == 0;
  if (const auto* const s = a.get<std::string_view>()) {
    const auto* const t = b.get<std::string_view>();
    if (!t || s->size() != t->size()) return false;
    heap.step(s->size() / 64);
    return *s == *t;
  }
  if (a.data.index() != b.data.index()) return false;
  if (a.is<Undefined>() || a.is<None>()) return true;
  Sequence::Flavor flavor_a{}, flavor_b{};
  const auto* const items = comparable_items(a, flavor_a);
  const auto* const others = comparable_items(b, flavor_b);
  if (items && others) {
    if (flavor_a != flavor_b || items->size() != others->size()) return false;
    for (std::size_t i = 0; i < items->size(); ++i)
      if (!equal(heap, (*items)[i], (*others)[i], depth + 1)) return false;
    return true;
  }
  if (const auto* const dict = a.get<Dict*>()) {
    const Dict& other = **b.get<Dict*>();
    if ((*dict)->entries.size() != other.entries.size()) return false;
    for (const auto& entry : (*dict)->entries) {
      const Value* const found = find(heap, other, entry.first);
      if (!found || !equal(heap, entry.second, *found, depth + 1)) return false;
    }
    return true;
  }
  if (const auto* const s = a.get<Sequence*>()) return *s == *b.get<Sequence*>();
  if (const auto* const n = a.get<Namespace*>()) return *n == *b.get<Namespace*>();
  if (const auto* const l = a.get<Loop*>()) return *l == *b.get<Loop*>();
  const auto* const c = a.get<Callable*>();
  return c && *c == *b.get<Callable*>();
}

int compare(Heap& heap, const Value& a, const Value& b, int depth) {
  heap.step();
  check_depth(heap, depth);
  require_defined(heap, a);
  require_defined(heap, b);
  if (is_number(a) && is_number(b)) return compare_numbers(a, b);
  const auto* const s = a.get<std::string_view>();
  const auto* const t = b.get<std::string_view>();
  if (s && t) {
    heap.step(std::min(s->size(), t->size()) / 64);
    const int order = s->compare(*t);  // UTF-8 sorts as its code points do
    return order < 0 ? -1 : order > 0 ? 1 : 0;
  }
  Sequence::Flavor flavor_a{}, flavor_b{};
  const auto* const items = comparable_items(a, flavor_a);
  const auto* const others = comparable_items(b, flavor_b);
  if (!items || !others || flavor_a != flavor_b || flavor_a == Sequence::Flavor::kRange)
    heap.fail("found an order between ", type_name(a), " and ", type_name(b),
              ", two numbers, strings or lists were needed");
  for (std::size_t i = 0; i < std::min(items->size(), others->size()); ++i)
    if (!equal(heap, (*items)[i], (*others)[i], depth + 1)) return compare(heap, (*items)[i], (*others)[i], depth + 1);
  return items->size() < others->size() ? -1 : items->size() > others->size() ? 1 : 0;
}

bool contains(Heap& heap, const Value& container, const Value& item) {
  if (const auto* const text = container.get<std::string_view>()) {
    const auto* const part = item.get<std::string_view>();
    if (!part) heap.fail("found 'in' with a ", type_name(item), " and a string, a string on its left was needed");
    heap.step(text->size() / 16 + text->size() / 64 * (part->size() / 64));
    return text->find(*part) != std::string_view::npos;
  }
  if (const auto* const dict = container.get<Dict*>()) return find(heap, **dict, item) != nullptr;
  if (const auto* const sequence = container.get<Sequence*>();
      sequence && (*sequence)->flavor != Sequence::Flavor::kIterator) {
    for (const Value& one : (*sequence)->items)
      if (equal(heap, one, item)) return true;
    return false;
  }
  for (const Value& one : iterate(heap, container))
    if (equal(heap, one, item)) return true;
  return false;
}

const Value* find(Heap& heap, const Dict& dict, const Value& key) {
  if (key.is<Dict*>()) heap.fail("found a dict as a key, a string or another unchanging value was needed");
  if (const auto* const s = key.get<Sequence*>(); s && (*s)->flavor == Sequence::Flavor::kList)
    heap.fail("found a list as a key, a string or another unchanging value was needed");
  const auto* const text = key.get<std::string_view>();
  heap.step(dict.entries.size() / 16 + 1);
  for (const auto& entry : dict.entries) {
    if (text) {
      const auto* const other = entry.first.get<std::string_view>();
      if (other && *other == *text) return &entry.second;
    } else if (equal(heap, entry.first, key)) {
      return &entry.second;
    }
  }
  return nullptr;
}

std::vector<Value> iterate(Heap& heap, const Value& value) {
  std::vector<Value> items;
  if (value.is<Undefined>()) return items;
  if (const auto* const text = value.get<std::string_view>()) {
    heap.charge(text->size() * sizeof(Value));
    for (const std::string_view one : split_code_points(*text)) items.push_back(one);
    return items;
  }
  if (const auto* const sequence = value.get<Sequence*>()) {
    Sequence& source = **sequence;
    heap.charge(source.items.size() * sizeof(Value));
    if (source.flavor != Sequence::Flavor::kIterator) return source.items;
    items.assign(source.items.begin() + static_cast<std::ptrdiff_t>(source.consumed), source.items.end());
    source.consumed = source.items.size();
    return items;
  }
  if (const auto* const dict = value.get<Dict*>()) {
    heap.charge((*dict)->entries.size() * sizeof(Value));
    for (const auto& entry : (*dict)->entries) items.push_back(entry.first);
    return items;
  }
  heap.fail("found a ", type_name(value), " to go through, a list, dict or string was needed");
}

std::int64_t length(Heap& heap, const Value& value) {
  if (value.is<Undefined>()) return 0;
  if (const auto* const text = value.get<std::string_view>()) {
    heap.step(text->size() / 16);
    return static_cast<std::int64_t>(code_points(*text));
  }
  if (const auto* const sequence = value.get<Sequence*>();
      sequence && (*sequence)->flavor != Sequence::Flavor::kIterator)
    return static_cast<std::int64_t>((*sequence)->items.size());
  if (const auto* const dict = value.get<Dict*>()) return static_cast<std::int64_t>((*dict)->entries.size());
  heap.fail("found the length of a ", type_name(value), ", a list, dict or string was needed");
}

}  // namespace kvgauge::jinja
