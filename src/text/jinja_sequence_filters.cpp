// Filters on lists and dicts, among them those that call other filters and tests.
#include <algorithm>
#include <charconv>

#include "text/jinja_arithmetic.h"
#include "text/jinja_builtins.h"
#include "text/jinja_strings.h"

namespace kvgauge::jinja {
namespace {

Value iterator(Heap& heap, std::vector<Value> items) {
  return heap.list(std::move(items), Sequence::Flavor::kIterator);
}

// "a.b.0" as the attribute argument of filters: each part an item of the one before; `missing` stands in for an
// undefined one.
Value follow(Heap& heap, Value value, const Value& path, const std::optional<Value>& missing = std::nullopt) {
  const auto or_missing = [&](const Value& found) {
    return found.is<Undefined>() && is_given(missing) ? *missing : found;
  };
  if (!path.is<std::string_view>()) return or_missing(get_item(heap, value, path));
  for (std::string_view rest = *path.get<std::string_view>();;) {
    const std::size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    std::int64_t index = 0;
    const auto parsed = std::from_chars(part.data(), part.data() + part.size(), index);
    if (!part.empty() && parsed.ec == std::errc() && parsed.ptr == part.data() + part.size())
      value = or_missing(get_item(heap, value, index));
    else
      value = or_missing(get_item(heap, value, part));
    if (dot == std::string_view::npos) return value;
    rest.remove_prefix(dot + 1);
  }
}

// The item, or what the attribute argument names of it.
Value part_of(Heap& heap, const Value& item, const std::optional<Value>& attribute) {
  return is_given(attribute) ? follow(heap, item, *attribute) : item;
}

// Sorting and comparing filters ignore case unless told otherwise.
Value sort_key(Heap& heap, const Value& item, const std::optional<Value>& attribute, bool case_sensitive) {
  const Value key = part_of(heap, item, attribute);
  const auto* const text = key.get<std::string_view>();
  if (!text || case_sensitive) return key;
  heap.step(text->size() / 4);
  return heap.keep(change_case(*text, Case::kLower));
}

Value count(Heap& heap, const Value& subject, const Slots&) { return length(heap, subject); }

Value first(Heap& heap, const Value& subject, const Slots&) {
  if (const auto* const sequence = subject.get<Sequence*>()) {
    Sequence& items = **sequence;
    if (items.consumed >= items.items.size()) return Undefined{"first found no item, the sequence was empty"};
    return items.items[items.flavor == Sequence::Flavor::kIterator ? items.consumed++ : 0];
  }
  const std::vector<Value> items = iterate(heap, subject);
  return items.empty() ? Value(Undefined{"first found no item, the sequence was empty"}) : items.front();
}

Value last(Heap& heap, const Value& subject, const Slots&) {
  require_defined(heap, subject);
  if (const auto* const sequence = subject.get<Sequence*>();
      sequence && (*sequence)->flavor == Sequence::Flavor::kIterator)
    heap.fail("last found a generator, a list was needed; add |list");
  const std::vector<Value> items = iterate(heap, subject);
  return items.empty() ? Value(Undefined{"last found no item, the sequence was empty"}) : items.back();
}

Value join(Heap& heap, const Value& subject, const Slots& slots) {
  std::vector<Value> items = iterate(heap, subject);
  for (Value& item : items) item = to_text(heap, part_of(heap, item, slots[1]));
  return heap.keep(join_strings(heap, slots[0] ? to_text(heap, *slots[0]) : std::string_view(), items));
}

Value to_list(Heap& heap, const Value& subject, const Slots&) { return heap.list(iterate(heap, subject)); }

Value dict_items(Heap& heap, const Value& subject, const Slots&) {
  if (subject.is<Undefined>()) return iterator(heap, {});
  const auto* const dict = subject.get<Dict*>();
  if (!dict) heap.fail("items found a ", type_name(subject), ", a dict was needed");
  std::vector<Value> items;
  for (const auto& entry : (*dict)->entries)
    items.push_back(heap.list({entry.first, entry.second}, Sequence::Flavor::kTuple));
  return iterator(heap, std::move(items));
}

Value dict_sort(Heap& heap, const Value& subject, const Slots& slots) {
  const auto* const dict = subject.get<Dict*>();
  if (!dict) heap.fail("dictsort found a ", type_name(subject), ", a dict was needed");
  const std::string_view by = string_argument(heap, "dictsort", slots[1], "key");
  if (by != "key" && by != "value") heap.fail("dictsort was given '", by, "', key or value was needed");
  std::vector<std::pair<Value, Value>> keyed;
  for (const auto& entry : (*dict)->entries)
    keyed.emplace_back(sort_key(heap, by == "key" ? entry.first : entry.second, std::nullopt, flag(slots[0], false)),
                       heap.list({entry.first, entry.second}, Sequence::Flavor::kTuple));
  const bool reverse = flag(slots[2], false);
  std::stable_sort(keyed.begin(), keyed.end(),
                   [&](const auto& a, const auto& b) { return compare(heap, a.first, b.first) == (reverse ? 1 : -1); });
  std::vector<Value> items;
  for (const auto& entry : keyed) items.push_back(entry.second);
  return heap.list(std::move(items));
}

// sort(reverse, case_sensitive, attribute); attribute may name several, with commas.
Value sort(Heap& heap, const Value& subject, const Slots& slots) {
  const bool reverse = flag(slots[0], false), case_sensitive = flag(slots[1], false);
  std::vector<std::pair<std::vector<Value>, Value>> keyed;
  for (const Value& item : iterate(heap, subject)) {
    std::vector<Value> keys;
    const auto* const names = slots[2] ? slots[2]->get<std::string_view>() : nullptr;
    if (!names) keys.push_back(sort_key(heap, item, slots[2], case_sensitive));
    for (std::string_view rest = names ? *names : std::string_view(); names;) {
      const std::size_t comma = rest.find(',');
      keys.push_back(sort_key(heap, item, Value(rest.substr(0, comma)), case_sensitive));
      if (comma == std::string_view::npos) break;
      rest.remove_prefix(comma + 1);
    }
    heap.charge(keys.size() * sizeof(Value));
    keyed.emplace_back(std::move(keys), item);
  }
  const auto before = [&](const auto& a, const auto& b) {
    for (std::size_t i = 0; i < std::min(a.first.size(), b.first.size()); ++i)
      if (!equal(heap, a.first[i], b.first[i])) return compare(heap, a.first[i], b.first[i]) == (reverse ? 1 : -1);
    return false;
  };
  std::stable_sort(keyed.begin(), keyed.end(), before);
  std::vector<Value> items;
  for (const auto& entry : keyed) items.push_back(entry.second);
  return heap.list(std::move(items));
}

Value unique(Heap& heap, const Value& subject, const Slots& slots) {
  std::vector<Value> keys, items;
  for (const Value& item : iterate(heap, subject)) {
    const Value key = sort_key(heap, item, slots[1], flag(slots[0], false));
    const bool is_known =
        std::any_of(keys.begin(), keys.end(), [&](const Value& known) { return equal(heap, known, key); });
    if (is_known) continue;
    keys.push_back(key);
    items.push_back(item);
  }
  return iterator(heap, std::move(items));
}

template <int kSign>
Value extreme(Heap& heap, const Value& subject, const Slots& slots) {
  const std::vector<Value> items = iterate(heap, subject);
  if (items.empty()) return Undefined{"there is no smallest or largest item, the sequence was empty"};
  std::size_t best = 0;
  Value best_key = sort_key(heap, items[0], slots[1], flag(slots[0], false));
  for (std::size_t i = 1; i < items.size(); ++i) {
    const Value key = sort_key(heap, items[i], slots[1], flag(slots[0], false));
    if (compare(heap, key, best_key) != kSign) continue;
    best = i;
    best_key = key;
  }
  return items[best];
}

Value reverse(Heap& heap, const Value& subject, const Slots&) {
  std::vector<Value> items = iterate(heap, subject);
  std::reverse(items.begin(), items.end());
  if (!subject.is<std::string_view>()) return iterator(heap, std::move(items));
  std::string out;
  for (const Value& item : items) out += *item.get<std::string_view>();
  return heap.keep(std::move(out));
}

// ---- filters that call filters and tests; None, 0 and the like count as empty ----

Arguments rest_of(const Arguments& arguments, std::size_t from) {
  Arguments rest;
  for (std::size_t i = from; i < arguments.positional.size(); ++i) rest.positional.push_back(arguments.positional[i]);
  rest.named = arguments.named;
  return rest;
}

Value map(Heap& heap, const Value& subject, const Arguments& arguments) {
  std::vector<Value> out;
  if (!truth(subject)) return iterator(heap, {});
  const std::vector<Value> items = iterate(heap, subject);
  if (arguments.positional.empty()) {
    const Slots slots = bind(heap, "map", "attribute,default", 1, arguments);
    for (const Value& item : items) out.push_back(follow(heap, item, *slots[0], slots[1]));
    return iterator(heap, std::move(out));
  }
  const std::string_view name = string_argument(heap, "map", arguments.positional[0]);
  const Filter* const filter = find_filter(name);
  if (!filter) heap.fail("map was given the filter '", name, "', one that is supported was needed");
  const Arguments rest = rest_of(arguments, 1);
  for (const Value& item : items) out.push_back(apply_filter(heap, *filter, item, rest));
  return iterator(heap, std::move(out));
}

template <bool kKeep, bool kByAttribute>
Value select(Heap& heap, const Value& subject, const Arguments& arguments) {
  constexpr std::size_t kTestAt = kByAttribute ? 1 : 0;
  if (!truth(subject)) return iterator(heap, {});
  if (kByAttribute && arguments.positional.empty())
    heap.fail("selectattr was not given an attribute, which was needed");
  const Test* test = nullptr;
  if (arguments.positional.size() > kTestAt) {
    const std::string_view name = string_argument(heap, "select", arguments.positional[kTestAt]);
    test = find_test(name);
    if (!test) heap.fail("select was given the test '", name, "', one that is supported was needed");
  }
  const Arguments rest = rest_of(arguments, kTestAt + 1);
  std::vector<Value> out;
  for (const Value& item : iterate(heap, subject)) {
    const Value tested = kByAttribute ? follow(heap, item, arguments.positional[0]) : item;
    if ((test ? apply_test(heap, *test, tested, rest) : truth(tested)) == kKeep) out.push_back(item);
  }
  return iterator(heap, std::move(out));
}

Value sum(Heap& heap, const Value& subject, const Slots& slots) {
  Value total = slots[1].value_or(std::int64_t{0});
  for (const Value& item : iterate(heap, subject))
    total = apply_operator(heap, ExprKind::kAdd, total, part_of(heap, item, slots[0]));
  return total;
}

constexpr Filter kFilters[] = {
    {"count", "", 0, count},
    {"dictsort", "case_sensitive,by,reverse", 0, dict_sort},
    {"first", "", 0, first},
    {"items", "", 0, dict_items},
    {"join", "d,attribute", 0, join},
    {"last", "", 0, last},
    {"length", "", 0, count},
    {"list", "", 0, to_list},
    {"map", "", 0, nullptr, map},
    {"max", "case_sensitive,attribute", 0, extreme<1>},
    {"min", "case_sensitive,attribute", 0, extreme<-1>},
    {"reject", "", 0, nullptr, select<false, false>},
    {"rejectattr", "", 0, nullptr, select<false, true>},
    {"reverse", "", 0, reverse},
    {"select", "", 0, nullptr, select<true, false>},
    {"selectattr", "", 0, nullptr, select<true, true>},
    {"sort", "reverse,case_sensitive,attribute", 0, sort},
    {"sum", "attribute,start", 0, sum},
    {"unique", "case_sensitive,attribute", 0, unique},
};

}  // namespace

const Filter* find_sequence_filter(std::string_view name) { return find_named(kFilters, name); }

}  // namespace kvgauge::jinja
