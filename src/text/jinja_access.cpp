// Attributes, subscripts, slices, the binding of arguments and the global functions.
#include <chrono>
#include <ctime>

#include "text/jinja_builtins.h"
#include "text/jinja_strings.h"

namespace kvgauge::jinja {
namespace {

Value missing(Heap& heap, const Value& object, std::string_view name) {
  return Undefined{heap.keep(cat("'", type_name(object), "' object has no attribute '", name, "'"))};
}

Value integer(std::size_t value) { return static_cast<std::int64_t>(value); }

Value loop_attribute(Heap& heap, Loop* loop, std::string_view name) {
  if (name == "cycle" || name == "changed") {
    Callable made;
    made.name = name;
    made.loop = loop;
    return heap.callable(made);
  }
  if (!loop->items) heap.fail("found loop.", name, " after the end of the loop, its use inside was needed");
  const std::vector<Value>& items = *loop->items;
  if (name == "index") return integer(loop->index + 1);
  if (name == "index0") return integer(loop->index);
  if (name == "revindex") return integer(items.size() - loop->index);
  if (name == "revindex0") return integer(items.size() - loop->index - 1);
  if (name == "first") return loop->index == 0;
  if (name == "last") return loop->index + 1 == items.size();
  if (name == "length") return integer(items.size());
  if (name == "depth") return std::int64_t{1};
  if (name == "depth0") return std::int64_t{0};
  if (name == "previtem")
    return loop->index == 0 ? Value(Undefined{"there is no previous item"}) : items[loop->index - 1];
  if (name == "nextitem")
    return loop->index + 1 == items.size() ? Value(Undefined{"there is no next item"}) : items[loop->index + 1];
  return missing(heap, loop, name);
}

// Clamps slice bounds as Python's slice.indices does.
struct SliceRange {
  std::int64_t begin, end, step;
};

SliceRange slice_range(Heap& heap, std::int64_t size, const Value& begin, const Value& end, const Value& step) {
  const auto read = [&](const Value& value, std::int64_t fallback) {
    if (value.is<None>()) return fallback;
    std::int64_t storage = 0;
    const std::int64_t* const number = as_int(value, storage);
    if (!number) {
      require_defined(heap, value);
      heap.fail("found a ", type_name(value), " in a slice, an integer was needed");
    }
    return *number;
  };
  const std::int64_t by = read(step, 1);
  if (by == 0) heap.fail("found a slice of step 0, another step was needed");
  const std::int64_t low = by > 0 ? 0 : -1;
  const std::int64_t high = by > 0 ? size : size - 1;
  const auto clamp = [&](std::int64_t at) {
    if (at < 0) at = at < -size ? low : at + size;
    return at < low ? low : at > high ? high : at;
  };
  const std::int64_t first = begin.is<None>() ? (by > 0 ? 0 : size - 1) : clamp(read(begin, 0));
  const std::int64_t last = end.is<None>() ? (by > 0 ? size : -1) : clamp(read(end, 0));
  return {first, last, by};
}

// Calls `visit` for each index; the step cannot overflow because it is compared before it is added.
template <class Visit>
void for_each_index(const SliceRange& range, Visit visit) {
  for (std::int64_t at = range.begin; range.step > 0 ? at < range.end : at > range.end;) {
    visit(static_cast<std::size_t>(at));
    if (range.step > 0 ? range.step >= range.end - at : range.step <= range.end - at) return;
    at += range.step;
  }
}

Value raise_exception(Heap& heap, const Arguments& arguments) {
  const Slots slots = bind(heap, "raise_exception", "message", 1, arguments);
  heap.fail(to_text(heap, *slots[0]));
}

Value name_space(Heap& heap, const Arguments& arguments) {
  Namespace* const made = heap.name_space();
  for (const Value& given : arguments.positional) {
    const auto* const dict = given.get<Dict*>();
    if (!dict) heap.fail("namespace was given a ", type_name(given), ", a dict or keywords were needed");
    for (const auto& [key, value] : (*dict)->entries) made->attributes.emplace_back(to_text(heap, key), value);
  }
  for (const auto& [name, value] : arguments.named) made->attributes.emplace_back(name, value);
  return made;
}

Value dict(Heap& heap, const Arguments& arguments) {
  Dict* const made = heap.dict();
  if (arguments.positional.size() > 1)
    heap.fail("dict was given ", arguments.positional.size(), " arguments, at most 1 was needed");
  for (const Value& given : arguments.positional) {
    if (const auto* const source = given.get<Dict*>()) {
      for (const auto& [key, value] : (*source)->entries) heap.insert(*made, key, value);
      continue;
    }
    for (const Value& pair : iterate(heap, given)) {
      const std::vector<Value> parts = iterate(heap, pair);
      if (parts.size() != 2)
        heap.fail("dict was given an entry of ", parts.size(), " values, a key and a value were needed");
      heap.insert(*made, parts[0], parts[1]);
    }
  }
  for (const auto& [name, value] : arguments.named) heap.insert(*made, name, value);
  return made;
}

Value range(Heap& heap, const Arguments& arguments) {
  constexpr std::int64_t kMaxRange = 100'000;  // the sandbox's own bound
  const Slots slots = bind(heap, "range", "start,stop,step", 1, arguments);
  std::int64_t begin = int_argument(heap, "range", slots[0], 0);
  std::int64_t end = begin;
  if (slots[1])
    end = int_argument(heap, "range", slots[1], 0);
  else
    begin = 0;
  const std::int64_t step = int_argument(heap, "range", slots[2], 1);
  if (step == 0) heap.fail("range was given the step 0, another step was needed");
  std::vector<Value> items;
  for (std::int64_t at = begin; step > 0 ? at < end : at > end;) {
    if (static_cast<std::int64_t>(items.size()) == kMaxRange)
      heap.fail("range has more than ", kMaxRange, " items, at most that many are allowed");
    items.push_back(at);
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  heap.charge(items.size() * sizeof(Value));
  return heap.list(std::move(items), Sequence::Flavor::kRange);
}

// Local time, as datetime.now().strftime() of transformers; formats that say nothing to every C library are refused.
Value strftime_now(Heap& heap, const Arguments& arguments) {
  const Slots slots = bind(heap, "strftime_now", "format", 1, arguments);
  const std::string_view format = string_argument(heap, "strftime_now", *slots[0]);
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm local{};
  localtime_r(&now, &local);
  std::string out;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out += format[i];
      continue;
    }
    const char code = i + 1 < format.size() ? format[++i] : '\0';
    if (code == '\0' ||
        std::string_view("aAbBcdHIjmMpSUwWxXyYZzDeFhklnPrRstTuVGCg%").find(code) == std::string_view::npos)
      heap.fail("strftime_now found the code '%", std::string_view(&code, code ? 1 : 0),
                "', one of C's strftime was needed");
    const char one[] = {'%', code, '\0'};
    char buffer[128];
    out.append(buffer, std::strftime(buffer, sizeof buffer, one, &local));
  }
  return heap.keep(std::move(out));
}

constexpr Global kGlobals[] = {{"raise_exception", raise_exception},
                               {"namespace", name_space},
                               {"dict", dict},
                               {"range", range},
                               {"strftime_now", strftime_now}};

}  // namespace

const Global* find_global(std::string_view name) { return find_named(kGlobals, name); }

Slots bind(Heap& heap, std::string_view what, std::string_view parameters, std::size_t required,
           const Arguments& arguments) {
  std::vector<std::string_view> names;
  while (!parameters.empty()) {
    const std::size_t comma = parameters.find(',');
    names.push_back(parameters.substr(0, comma));
    parameters.remove_prefix(comma == std::string_view::npos ? parameters.size() : comma + 1);
  }
  if (arguments.positional.size() > names.size())
    heap.fail(what, " was given ", arguments.positional.size(), " arguments, at most ", names.size(), " were needed");
  Slots slots(arguments.positional.begin(), arguments.positional.end());
  slots.resize(names.size());
  for (const auto& [name, value] : arguments.named) {
    std::size_t at = 0;
    while (at < names.size() && names[at] != name) ++at;
    if (at == names.size()) heap.fail(what, " was given '", name, "', an argument of its own was needed");
    if (slots[at]) heap.fail(what, " was given '", name, "' twice, once was needed");
    slots[at] = value;
  }
  for (std::size_t at = 0; at < required; ++at)
    if (!slots[at]) heap.fail(what, " was not given '", names[at], "', which was needed");
  return slots;
}

Value get_attribute(Heap& heap, const Value& object, std::string_view name) {
  require_defined(heap, object);
  if (const auto* const names = object.get<Namespace*>()) {
    for (const auto& entry : (*names)->attributes)
      if (entry.first == name) return entry.second;
    return missing(heap, object, name);
  }
  if (const auto* const loop = object.get<Loop*>()) return loop_attribute(heap, *loop, name);
  if (is_mutating_method(object, name))
    heap.fail("found the method '", name, "' of a ", type_name(object),
              ", which would change it; values cannot change here");
  if (const Method* const method = find_method(object, name)) {
    Callable made;
    made.name = name;
    made.self = object;
    made.method = method;
    return heap.callable(made);
  }
  if (const auto* const dict = object.get<Dict*>())
    if (const Value* const value = find(heap, **dict, name)) return *value;
  return missing(heap, object, name);
}

Value get_item(Heap& heap, const Value& object, const Value& key) {
  require_defined(heap, object);
  const auto* const name = key.get<std::string_view>();
  if (const auto* const dict = object.get<Dict*>()) {
    if (const Value* const value = find(heap, **dict, key)) return *value;
    if (name) return get_attribute(heap, object, *name);
    return Undefined{"the dict has no such key"};
  }
  std::int64_t storage = 0;
  if (const std::int64_t* const index = as_int(key, storage)) {
    const auto* const text = object.get<std::string_view>();
    const auto* const sequence = object.get<Sequence*>();
    if (text || (sequence && (*sequence)->is_indexable())) {
      const std::int64_t size = length(heap, object);
      const std::int64_t at = *index < 0 ? *index + size : *index;
      if (at < 0 || at >= size)
        return Undefined{heap.keep(cat("'", type_name(object), "' object has no element ", *index))};
      if (sequence) return (*sequence)->items[static_cast<std::size_t>(at)];
      return split_code_points(*text)[static_cast<std::size_t>(at)];
    }
  }
  if (name) return get_attribute(heap, object, *name);
  return Undefined{heap.keep(cat("'", type_name(object), "' object has no such element"))};
}

Value get_slice(Heap& heap, const Value& object, const Value& begin, const Value& end, const Value& step) {
  require_defined(heap, object);
  if (const auto* const text = object.get<std::string_view>()) {
    heap.step(text->size() / 4);
    const std::vector<std::string_view> parts = split_code_points(*text);
    std::string out;
    for_each_index(slice_range(heap, static_cast<std::int64_t>(parts.size()), begin, end, step),
                   [&](std::size_t at) { out += parts[at]; });
    return heap.keep(std::move(out));
  }
  const auto* const sequence = object.get<Sequence*>();
  if (!sequence || !(*sequence)->is_indexable())
    return Undefined{heap.keep(cat("'", type_name(object), "' object cannot be sliced"))};
  const std::vector<Value>& items = (*sequence)->items;
  std::vector<Value> out;
  for_each_index(slice_range(heap, static_cast<std::int64_t>(items.size()), begin, end, step),
                 [&](std::size_t at) { out.push_back(items[at]); });
  return heap.list(std::move(out), (*sequence)->flavor);
}

std::int64_t int_argument(Heap& heap, std::string_view what, const std::optional<Value>& slot, std::int64_t fallback) {
  if (!slot) return fallback;
  std::int64_t storage = 0;
  const std::int64_t* const number = as_int(*slot, storage);
  if (!number) {
    require_defined(heap, *slot);
    heap.fail(what, " was given a ", type_name(*slot), ", an integer was needed");
  }
  return *number;
}

std::string_view string_argument(Heap& heap, std::string_view what, const Value& value) {
  require_defined(heap, value);
  const auto* const text = value.get<std::string_view>();
  if (!text) heap.fail(what, " was given a ", type_name(value), ", a string was needed");
  return *text;
}

}  // namespace kvgauge::jinja
