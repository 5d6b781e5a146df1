// Filters on texts and numbers, with tojson as transformers defines it.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "text/jinja_builtins.h"
#include "text/jinja_strings.h"

namespace kvgauge::jinja {
namespace {

// ---- text ----

Value trim(Heap& heap, const Value& subject, const Slots& slots) {
  return strip(heap, to_text(heap, subject), slots[0], true, true);
}

template <Case kTo>
Value with_case(Heap& heap, const Value& subject, const Slots&) {
  const std::string_view text = to_text(heap, subject);
  heap.step(text.size() / 4);
  return heap.keep(change_case(text, kTo));
}

// Words begin after white space and after - ( { [ <.
Value title(Heap& heap, const Value& subject, const Slots&) {
  const std::string_view text = to_text(heap, subject);
  heap.step(text.size() / 4);
  std::string out;
  bool starts_word = true;
  for (const std::string_view one : split_code_points(text)) {
    const bool splits = is_space(code_point_at(one, 0).value) ||
                        (one.size() == 1 && std::string_view("-({[<").find(one[0]) != std::string_view::npos);
    out += change_case(one, starts_word ? Case::kUpper : Case::kLower);
    starts_word = splits;
  }
  return heap.keep(std::move(out));
}

Value replace(Heap& heap, const Value& subject, const Slots& slots) {
  const std::int64_t count = is_given(slots[2]) ? int_argument(heap, "replace", slots[2], -1) : -1;
  return heap.keep(
      replace_all(heap, to_text(heap, subject), to_text(heap, *slots[0]), to_text(heap, *slots[1]), count));
}

// What begins a line: the text itself or a number of spaces.
std::string indentation(Heap& heap, std::string_view what, const std::optional<Value>& slot, std::int64_t fallback) {
  if (slot && slot->is<std::string_view>()) return std::string(*slot->get<std::string_view>());
  return std::string(
      static_cast<std::size_t>(std::clamp<std::int64_t>(int_argument(heap, what, slot, fallback), 0, 1000)), ' ');
}

Value indent(Heap& heap, const Value& subject, const Slots& slots) {
  const std::string_view text = to_text(heap, subject);
  const bool first = flag(slots[1], false), blank = flag(slots[2], false);
  const std::string prefix = indentation(heap, "indent", slots[0], 4);
  std::string out = first ? prefix : "";
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    if (at > 0) {
      heap.step(prefix.size() / 64 + 1);
      if (out.size() > heap.limits().heap_bytes)
        heap.fail("indent makes more than ", heap.limits().heap_bytes, " bytes, fewer were needed");
      out += '\n';
      if (blank || !line.empty()) out += prefix;
    }
    out += line;
    at = end + 1;
  }
  return heap.keep(std::move(out));
}

Value to_string(Heap& heap, const Value& subject, const Slots&) { return to_text(heap, subject); }
Value unchanged(Heap&, const Value& subject, const Slots&) { return subject; }

Value to_json(Heap& heap, const Value& subject, const Slots& slots) {
  JsonStyle style;
  style.ensure_ascii = flag(slots[0], false);
  style.sort_keys = flag(slots[3], false);
  if (is_given(slots[1])) {
    style.is_indented = true;
    style.item_separator.pop_back();  // ", " becomes ","
    style.indent = indentation(heap, "tojson", slots[1], 0);
  }
  if (is_given(slots[2])) {
    const std::vector<Value> separators = iterate(heap, *slots[2]);
    if (separators.size() != 2) heap.fail("tojson was given ", separators.size(), " separators, 2 were needed");
    style.item_separator = std::string(string_argument(heap, "tojson", separators[0]));
    style.key_separator = std::string(string_argument(heap, "tojson", separators[1]));
  }
  std::string out;
  append_json(heap, out, subject, style);
  return heap.keep(std::move(out));
}

// ---- numbers ----

std::optional<std::string> number_text(std::string_view text) {
  std::string digits;
  text = strip_left(strip_right(text));
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) {
    if (text[0] == '-') digits += '-';
    text.remove_prefix(1);
  }
  if (text.empty() || text[0] == '+' || text[0] == '-' || text[0] == '_' || text.back() == '_') return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '_' && text[i - 1] == '_') return std::nullopt;
    if (text[i] != '_') digits += text[i];
  }
  return digits;
}

std::optional<double> parse_float(std::string_view text) {
  const auto digits = number_text(text);
  if (!digits) return std::nullopt;
  double value = 0;
  const auto parsed = std::from_chars(digits->data(), digits->data() + digits->size(), value);
  if (parsed.ptr != digits->data() + digits->size() || parsed.ec != std::errc()) return std::nullopt;
  return value;
}

Value from_double(Heap& heap, double value, const Value& fallback) {
  if (std::isnan(value) || std::isinf(value)) return fallback;
  if (value >= 0x1p63 || value < -0x1p63)
    heap.fail("int found ", float_repr(value), ", a number of at most 64 bits was needed");
  return static_cast<std::int64_t>(value);
}

Value to_int(Heap& heap, const Value& subject, const Slots& slots) {
  require_defined(heap, subject);
  const Value fallback = slots[0].value_or(std::int64_t{0});
  const std::int64_t base = int_argument(heap, "int", slots[1], 10);
  if (base != 10 && base != 2 && base != 8 && base != 16)
    heap.fail("int was given the base ", base, ", 2, 8, 10 or 16 was needed");
  if (const auto* const text = subject.get<std::string_view>()) {
    if (auto digits = number_text(*text)) {
      std::int64_t value = 0;
      const char* const letters = base == 16 ? "xX" : base == 8 ? "oO" : "bB";
      const std::size_t sign = (*digits)[0] == '-' ? 1 : 0;
      if (base != 10 && digits->size() > sign + 2 && (*digits)[sign] == '0' &&
          std::string_view(letters).find((*digits)[sign + 1]) != std::string_view::npos)
        digits->erase(sign, 2);
      const auto parsed =
          std::from_chars(digits->data(), digits->data() + digits->size(), value, static_cast<int>(base));
      if (parsed.ptr == digits->data() + digits->size()) {
        if (parsed.ec == std::errc()) return value;
        if (parsed.ec == std::errc::result_out_of_range)
          heap.fail("int found ", *text, ", a number of at most 64 bits was needed");
      }
    }
    const auto number = parse_float(*text);
    return number ? from_double(heap, *number, fallback) : fallback;
  }
  std::int64_t storage = 0;
  if (const std::int64_t* const number = as_int(subject, storage)) return *number;
  if (const auto* const number = subject.get<double>()) return from_double(heap, *number, fallback);
  return fallback;
}

Value to_float(Heap& heap, const Value& subject, const Slots& slots) {
  require_defined(heap, subject);
  const Value fallback = slots[0].value_or(0.0);
  if (is_number(subject)) return as_double(subject);
  const auto* const text = subject.get<std::string_view>();
  const auto number = text ? parse_float(*text) : std::nullopt;
  return number ? Value(*number) : fallback;
}

Value absolute(Heap& heap, const Value& subject, const Slots&) {
  require_defined(heap, subject);
  if (const auto* const number = subject.get<double>()) return std::fabs(*number);
  std::int64_t storage = 0;
  const std::int64_t* const number = as_int(subject, storage);
  if (!number || *number == INT64_MIN)
    heap.fail("abs found a ", type_name(subject), ", a number of at most 64 bits was needed");
  return *number < 0 ? -*number : *number;
}

// An integer stays one; to tens and more it goes to the nearest, ties to the even multiple.
Value round_integer(Heap& heap, std::int64_t value, std::int64_t precision) {
  if (precision >= 0) return value;
  if (precision < -18) return std::int64_t{0};
  std::int64_t unit = 1;
  for (; precision < 0; ++precision) unit *= 10;
  const std::int64_t half = unit / 2, rest = value % unit, low = value / unit;
  const bool up = std::abs(rest) > half || (std::abs(rest) == half && low % 2 != 0);
  std::int64_t rounded = 0;
  if (__builtin_mul_overflow(low + (!up ? 0 : value < 0 ? -1 : 1), unit, &rounded))
    heap.fail("round found ", value, ", a smaller number was needed");
  return rounded;
}

Value round(Heap& heap, const Value& subject, const Slots& slots) {
  require_defined(heap, subject);
  if (!is_number(subject)) heap.fail("round found a ", type_name(subject), ", a number was needed");
  const std::int64_t precision = int_argument(heap, "round", slots[0], 0);
  if (precision < -300 || precision > 300)
    heap.fail("round was given the precision ", precision, ", one between -300 and 300 was needed");
  const std::string_view method = string_argument(heap, "round", slots[1], "common");
  const double value = as_double(subject);
  if (method == "ceil" || method == "floor") {
    const double scale = std::pow(10.0, static_cast<double>(precision));
    return (method == "ceil" ? std::ceil(value * scale) : std::floor(value * scale)) / scale;
  }
  if (method != "common") heap.fail("round was given the method '", method, "', common, ceil or floor was needed");
  std::int64_t storage = 0;
  if (const std::int64_t* const whole = as_int(subject, storage)) return round_integer(heap, *whole, precision);
  if (!std::isfinite(value)) return value;
  if (precision < 0) {
    const double scale = std::pow(10.0, static_cast<double>(-precision));
    return std::nearbyint(value / scale) * scale;
  }
  // printf rounds the exact binary value, ties to even, as Python's round does. 309 digits, point, sign, precision.
  char buffer[640];
  std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(precision), value);
  return std::strtod(buffer, nullptr);
}

Value fallback(Heap&, const Value& subject, const Slots& slots) {
  const bool use = subject.is<Undefined>() || (flag(slots[1], false) && !truth(subject));
  return use ? slots[0].value_or(std::string_view()) : subject;
}

constexpr Filter kFilters[] = {
    {"abs", "", 0, absolute},
    {"capitalize", "", 0, with_case<Case::kCapitalized>},
    {"d", "default_value,boolean", 0, fallback},
    {"default", "default_value,boolean", 0, fallback},
    {"float", "default", 0, to_float},
    {"indent", "width,first,blank", 0, indent},
    {"int", "default,base", 0, to_int},
    {"lower", "", 0, with_case<Case::kLower>},
    {"replace", "old,new,count", 2, replace},
    {"round", "precision,method", 0, round},
    {"safe", "", 0, unchanged},
    {"string", "", 0, to_string},
    {"title", "", 0, title},
    {"tojson", "ensure_ascii,indent,separators,sort_keys", 0, to_json},
    {"trim", "chars", 0, trim},
    {"upper", "", 0, with_case<Case::kUpper>},
};

}  // namespace

const Filter* find_filter(std::string_view name) {
  const Filter* const filter = find_named(kFilters, name);
  return filter ? filter : find_sequence_filter(name);
}

Value apply_filter(Heap& heap, const Filter& filter, const Value& subject, const Arguments& arguments) {
  heap.step();
  if (filter.apply_raw) return filter.apply_raw(heap, subject, arguments);
  return filter.apply(heap, subject, bind(heap, filter.name, filter.parameters, filter.required, arguments));
}

}  // namespace kvgauge::jinja
