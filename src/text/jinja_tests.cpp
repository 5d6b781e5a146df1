// The tests of Jinja2 (`x is ...`).
#include <cmath>

#include "text/jinja_builtins.h"
#include "text/jinja_strings.h"

namespace kvgauge::jinja {
namespace {

using Values = std::vector<Value>;

bool is_whole(const Value& value) { return value.is<std::int64_t>(); }

bool is_mapping(Heap&, const Value& value, const Values&) { return value.is<Dict*>(); }

bool is_iterable(Heap&, const Value& value, const Values&) {
  return value.is<Undefined>() || value.is<std::string_view>() || value.is<Sequence*>() || value.is<Dict*>() ||
         value.is<Loop*>();
}

// Python's check: it has a length and can be indexed, so dicts pass and views of dicts do not.
bool is_sequence(Heap&, const Value& value, const Values&) {
  if (const auto* const sequence = value.get<Sequence*>()) return (*sequence)->is_indexable();
  return value.is<Undefined>() || value.is<std::string_view>() || value.is<Dict*>();
}

std::int64_t remainder_argument(Heap& heap, const Value& value, std::int64_t divisor) {
  require_defined(heap, value);
  std::int64_t storage = 0;
  const std::int64_t* const number = as_int(value, storage);
  if (!number) heap.fail("the test found a ", type_name(value), ", an integer was needed");
  if (divisor == 0) heap.fail("found a division by zero, another divisor was needed");
  return divisor == -1 ? 0 : *number % divisor;
}

bool is_divisible(Heap& heap, const Value& value, const Values& arguments) {
  return remainder_argument(heap, value, int_argument(heap, "divisibleby", arguments[0], 1)) == 0;
}

bool is_same(Heap&, const Value& value, const Values& arguments) {
  const Value& other = arguments[0];
  if (value.data.index() != other.data.index()) return false;
  if (value.is<None>()) return true;
  if (const auto* const b = value.get<bool>()) return *b == *other.get<bool>();
  if (const auto* const i = value.get<std::int64_t>()) return *i == *other.get<std::int64_t>();
  if (const auto* const s = value.get<std::string_view>()) return *s == *other.get<std::string_view>();
  if (const auto* const s = value.get<Sequence*>()) return *s == *other.get<Sequence*>();
  if (const auto* const d = value.get<Dict*>()) return *d == *other.get<Dict*>();
  if (const auto* const n = value.get<Namespace*>()) return *n == *other.get<Namespace*>();
  return false;
}

template <bool kLess, bool kOrEqual>
bool is_ordered(Heap& heap, const Value& value, const Values& arguments) {
  const int order = compare(heap, value, arguments[0]);
  return order != 2 && (order == (kLess ? -1 : 1) || (kOrEqual && order == 0));
}

bool is_equal(Heap& heap, const Value& value, const Values& arguments) { return equal(heap, value, arguments[0]); }
bool is_different(Heap& heap, const Value& value, const Values& arguments) { return !equal(heap, value, arguments[0]); }

constexpr Test kTests[] = {
    {"boolean", 0, [](Heap&, const Value& v, const Values&) { return v.is<bool>(); }},
    {"callable", 0, [](Heap&, const Value& v, const Values&) { return v.is<Callable*>() || v.is<Undefined>(); }},
    {"defined", 0, [](Heap&, const Value& v, const Values&) { return !v.is<Undefined>(); }},
    {"undefined", 0, [](Heap&, const Value& v, const Values&) { return v.is<Undefined>(); }},
    {"none", 0, [](Heap&, const Value& v, const Values&) { return v.is<None>(); }},
    {"string", 0, [](Heap&, const Value& v, const Values&) { return v.is<std::string_view>(); }},
    {"number", 0, [](Heap&, const Value& v, const Values&) { return is_number(v); }},
    {"integer", 0, [](Heap&, const Value& v, const Values&) { return is_whole(v); }},
    {"float", 0, [](Heap&, const Value& v, const Values&) { return v.is<double>(); }},
    {"true", 0, [](Heap&, const Value& v, const Values&) { return v.get<bool>() && *v.get<bool>(); }},
    {"false", 0, [](Heap&, const Value& v, const Values&) { return v.get<bool>() && !*v.get<bool>(); }},
    {"mapping", 0, is_mapping},
    {"iterable", 0, is_iterable},
    {"sequence", 0, is_sequence},
    {"odd", 0, [](Heap& heap, const Value& v, const Values&) { return remainder_argument(heap, v, 2) != 0; }},
    {"even", 0, [](Heap& heap, const Value& v, const Values&) { return remainder_argument(heap, v, 2) == 0; }},
    {"divisibleby", 1, is_divisible},
    {"lower", 0, [](Heap& heap, const Value& v, const Values&) { return is_all(to_text(heap, v), CharClass::kLower); }},
    {"upper", 0, [](Heap& heap, const Value& v, const Values&) { return is_all(to_text(heap, v), CharClass::kUpper); }},
    {"in", 1, [](Heap& heap, const Value& v, const Values& arguments) { return contains(heap, arguments[0], v); }},
    {"sameas", 1, is_same},
    {"==", 1, is_equal},
    {"eq", 1, is_equal},
    {"equalto", 1, is_equal},
    {"!=", 1, is_different},
    {"ne", 1, is_different},
    {"<", 1, is_ordered<true, false>},
    {"lt", 1, is_ordered<true, false>},
    {"lessthan", 1, is_ordered<true, false>},
    {"<=", 1, is_ordered<true, true>},
    {"le", 1, is_ordered<true, true>},
    {">", 1, is_ordered<false, false>},
    {"gt", 1, is_ordered<false, false>},
    {"greaterthan", 1, is_ordered<false, false>},
    {">=", 1, is_ordered<false, true>},
    {"ge", 1, is_ordered<false, true>},
};

}  // namespace

const Test* find_test(std::string_view name) { return find_named(kTests, name); }

bool apply_test(Heap& heap, const Test& test, const Value& subject, const Arguments& arguments) {
  heap.step();
  if (!arguments.named.empty())
    heap.fail("test '", test.name, "' was given '", arguments.named[0].first, "', a plain argument was needed");
  if (arguments.positional.size() != test.arguments)
    heap.fail("test '", test.name, "' was given ", arguments.positional.size(), " arguments, ", test.arguments,
              " were needed");
  return test.apply(heap, subject, arguments.positional);
}

}  // namespace kvgauge::jinja
