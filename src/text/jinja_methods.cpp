// Methods of str, list, tuple and dict, as Python has them.
#include <algorithm>

#include "text/jinja_builtins.h"
#include "text/jinja_strings.h"

namespace kvgauge::jinja {
namespace {

std::string_view text_of(const Value& self) { return *self.get<std::string_view>(); }

// std::string_view::find compares up to the whole part at every place.
void charge_search(Heap& heap, std::string_view text, std::string_view part) {
  heap.step(text.size() / 16 + text.size() / 64 * (part.size() / 64));
}

Value strip_both(Heap& heap, const Value& self, const Slots& slots) {
  return strip(heap, text_of(self), slots[0], true, true);
}
Value strip_start(Heap& heap, const Value& self, const Slots& slots) {
  return strip(heap, text_of(self), slots[0], true, false);
}
Value strip_end(Heap& heap, const Value& self, const Slots& slots) {
  return strip(heap, text_of(self), slots[0], false, true);
}

template <Case kTo>
Value with_case(Heap& heap, const Value& self, const Slots&) {
  heap.step(text_of(self).size() / 4);
  return heap.keep(change_case(text_of(self), kTo));
}

template <CharClass kWhat>
Value is_all_of(Heap& heap, const Value& self, const Slots&) {
  heap.step(text_of(self).size() / 4);
  return is_all(text_of(self), kWhat);
}

// The part of self that [start, end) of a search names, as byte offsets; nullopt where start lies behind the end.
struct Window {
  std::size_t offset;
  std::string_view text;
};
std::optional<Window> window(Heap& heap, const Value& self, const std::optional<Value>& start,
                             const std::optional<Value>& end) {
  const std::string_view text = text_of(self);
  if (!is_given(start) && !is_given(end)) return Window{0, text};
  heap.step(text.size() / 4);
  const auto parts = split_code_points(text);
  const auto size = static_cast<std::int64_t>(parts.size());
  const auto clamp = [&](std::int64_t at) {
    return std::clamp<std::int64_t>(at < 0 ? (at < -size ? 0 : at + size) : at, 0, size);
  };
  const std::int64_t raw_start = is_given(start) ? int_argument(heap, "the start", start, 0) : 0;
  if (raw_start > size) return std::nullopt;
  const std::int64_t from = clamp(raw_start);
  const std::int64_t to = is_given(end) ? clamp(int_argument(heap, "the end", end, size)) : size;
  if (from > to) return std::nullopt;
  const auto byte = [&](std::int64_t at) {
    return at == size ? text.size()
                      : static_cast<std::size_t>(parts[static_cast<std::size_t>(at)].data() - text.data());
  };
  return Window{byte(from), text.substr(byte(from), byte(to) - byte(from))};
}

template <bool kStart>
Value has_affix(Heap& heap, const Value& self, const Slots& slots) {
  const auto part = window(heap, self, slots[1], slots[2]);
  const auto fits = [&](const Value& affix) {
    const std::string_view text = string_argument(heap, kStart ? "startswith" : "endswith", affix);
    if (!part || text.size() > part->text.size()) return false;
    heap.step(text.size() / 64);
    return kStart ? part->text.substr(0, text.size()) == text
                  : part->text.substr(part->text.size() - text.size()) == text;
  };
  if (const auto* const tuple = slots[0]->get<Sequence*>(); tuple && (*tuple)->flavor == Sequence::Flavor::kTuple) {
    for (const Value& affix : (*tuple)->items)
      if (fits(affix)) return true;
    return false;
  }
  return fits(*slots[0]);
}

template <bool kLast, bool kMustExist>
Value find_text(Heap& heap, const Value& self, const Slots& slots) {
  const std::string_view part = string_argument(heap, "find", *slots[0]);
  charge_search(heap, text_of(self), part);
  if (const auto in = window(heap, self, slots[1], slots[2])) {
    const std::size_t at = kLast ? in->text.rfind(part) : in->text.find(part);
    if (at != std::string_view::npos)
      return static_cast<std::int64_t>(code_points(text_of(self).substr(0, in->offset + at)));
  }
  if (kMustExist) heap.fail("index found no such part, one that is there was needed");
  return std::int64_t{-1};
}

Value count_text(Heap& heap, const Value& self, const Slots& slots) {
  const std::string_view part = string_argument(heap, "count", *slots[0]);
  const auto in = window(heap, self, slots[1], slots[2]);
  if (!in) return std::int64_t{0};
  charge_search(heap, in->text, part);
  if (part.empty()) return static_cast<std::int64_t>(code_points(in->text)) + 1;
  std::int64_t count = 0;
  for (std::size_t at = in->text.find(part); at != std::string_view::npos; at = in->text.find(part, at + part.size()))
    ++count;
  return count;
}

Value replace_text(Heap& heap, const Value& self, const Slots& slots) {
  return heap.keep(replace_all(heap, text_of(self), string_argument(heap, "replace", *slots[0]),
                               string_argument(heap, "replace", *slots[1]),
                               int_argument(heap, "replace", slots[2], -1)));
}

// split() without a separator: runs of white space, none at the ends; what the limit leaves whole keeps its far end.
std::vector<Value> split_words(std::string_view text, std::int64_t limit) {
  std::vector<Value> parts;
  for (text = strip_left(text); !text.empty(); text = strip_left(text)) {
    if (limit >= 0 && static_cast<std::int64_t>(parts.size()) == limit) {
      parts.push_back(text);
      break;
    }
    std::size_t end = 0;
    while (end < text.size()) {
      const CodePoint c = code_point_at(text, end);
      if (is_space(c.value)) break;
      end += c.bytes;
    }
    parts.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return parts;
}

std::vector<Value> split_words_from_end(std::string_view text, std::int64_t limit) {
  std::vector<Value> words = split_words(text, -1);
  if (limit < 0 || static_cast<std::int64_t>(words.size()) <= limit) return words;
  const std::size_t kept = words.size() - static_cast<std::size_t>(limit);
  const std::string_view last = text_of(words[kept - 1]);
  std::vector<Value> parts;
  parts.push_back(text.substr(0, static_cast<std::size_t>(last.data() - text.data()) + last.size()));
  parts.insert(parts.end(), words.begin() + static_cast<std::ptrdiff_t>(kept), words.end());
  return parts;
}

template <bool kFromEnd>
Value split_text(Heap& heap, const Value& self, const Slots& slots) {
  std::string_view text = text_of(self);
  const std::int64_t limit = int_argument(heap, "split", slots[1], -1);
  heap.charge(text.size());
  if (!is_given(slots[0])) return heap.list(kFromEnd ? split_words_from_end(text, limit) : split_words(text, limit));
  const std::string_view separator = string_argument(heap, "split", *slots[0]);
  if (separator.empty()) heap.fail("split was given an empty separator, a longer one was needed");
  charge_search(heap, text, separator);
  std::vector<Value> parts;
  while (limit < 0 || static_cast<std::int64_t>(parts.size()) < limit) {
    const std::size_t at = kFromEnd ? text.rfind(separator) : text.find(separator);
    if (at == std::string_view::npos) break;
    if (kFromEnd) {
      parts.push_back(text.substr(at + separator.size()));
      text = text.substr(0, at);
    } else {
      parts.push_back(text.substr(0, at));
      text.remove_prefix(at + separator.size());
    }
  }
  parts.push_back(text);
  if (kFromEnd) std::reverse(parts.begin(), parts.end());
  return heap.list(std::move(parts));
}

bool is_line_end(std::uint32_t c) {
  return (c >= 10 && c <= 13) || (c >= 28 && c <= 30) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

Value split_lines(Heap& heap, const Value& self, const Slots& slots) {
  const std::string_view text = text_of(self);
  const bool keeps_ends = slots[0] && truth(*slots[0]);
  heap.charge(text.size());
  std::vector<Value> lines;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    std::size_t next = at + c.bytes;
    if (is_line_end(c.value)) {
      if (c.value == '\r' && next < text.size() && text[next] == '\n') ++next;
      lines.push_back(text.substr(begin, (keeps_ends ? next : at) - begin));
      begin = next;
    }
    at = next;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return heap.list(std::move(lines));
}

template <bool kLast>
Value partition_text(Heap& heap, const Value& self, const Slots& slots) {
  const std::string_view text = text_of(self);
  const std::string_view separator = string_argument(heap, "partition", *slots[0]);
  if (separator.empty()) heap.fail("partition was given an empty separator, a longer one was needed");
  charge_search(heap, text, separator);
  const std::size_t at = kLast ? text.rfind(separator) : text.find(separator);
  const std::string_view none;
  std::vector<Value> parts;
  if (at != std::string_view::npos)
    parts = {text.substr(0, at), separator, text.substr(at + separator.size())};
  else if (kLast)
    parts = {none, none, text};
  else
    parts = {text, none, none};
  return heap.list(std::move(parts), Sequence::Flavor::kTuple);
}

Value join_items(Heap& heap, const Value& self, const Slots& slots) {
  return heap.keep(join_strings(heap, text_of(self), iterate(heap, *slots[0])));
}

Value remove_prefix(Heap& heap, const Value& self, const Slots& slots) {
  const std::string_view text = text_of(self), prefix = string_argument(heap, "removeprefix", *slots[0]);
  return text.substr(0, prefix.size()) == prefix ? text.substr(prefix.size()) : text;
}

Value remove_suffix(Heap& heap, const Value& self, const Slots& slots) {
  const std::string_view text = text_of(self), suffix = string_argument(heap, "removesuffix", *slots[0]);
  const bool fits = text.size() >= suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
  return fits ? text.substr(0, text.size() - suffix.size()) : text;
}

constexpr Method kStringMethods[] = {
    {"strip", "chars", 0, strip_both},
    {"lstrip", "chars", 0, strip_start},
    {"rstrip", "chars", 0, strip_end},
    {"upper", "", 0, with_case<Case::kUpper>},
    {"lower", "", 0, with_case<Case::kLower>},
    {"title", "", 0, with_case<Case::kTitle>},
    {"capitalize", "", 0, with_case<Case::kCapitalized>},
    {"swapcase", "", 0, with_case<Case::kSwapped>},
    {"startswith", "prefix,start,end", 1, has_affix<true>},
    {"endswith", "suffix,start,end", 1, has_affix<false>},
    {"find", "sub,start,end", 1, find_text<false, false>},
    {"rfind", "sub,start,end", 1, find_text<true, false>},
    {"index", "sub,start,end", 1, find_text<false, true>},
    {"rindex", "sub,start,end", 1, find_text<true, true>},
    {"count", "sub,start,end", 1, count_text},
    {"replace", "old,new,count", 2, replace_text},
    {"split", "sep,maxsplit", 0, split_text<false>},
    {"rsplit", "sep,maxsplit", 0, split_text<true>},
    {"splitlines", "keepends", 0, split_lines},
    {"partition", "sep", 1, partition_text<false>},
    {"rpartition", "sep", 1, partition_text<true>},
    {"join", "iterable", 1, join_items},
    {"removeprefix", "prefix", 1, remove_prefix},
    {"removesuffix", "suffix", 1, remove_suffix},
    {"isalpha", "", 0, is_all_of<CharClass::kAlpha>},
    {"isdigit", "", 0, is_all_of<CharClass::kDigit>},
    {"isalnum", "", 0, is_all_of<CharClass::kAlnum>},
    {"isspace", "", 0, is_all_of<CharClass::kSpace>},
    {"isupper", "", 0, is_all_of<CharClass::kUpper>},
    {"islower", "", 0, is_all_of<CharClass::kLower>},
};

Value dict_get(Heap& heap, const Value& self, const Slots& slots) {
  const Value* const value = find(heap, **self.get<Dict*>(), *slots[0]);
  return value ? *value : slots[1] ? *slots[1] : Value(None{});
}

template <Sequence::Flavor kFlavor>
Value dict_view(Heap& heap, const Value& self, const Slots&) {
  const auto& entries = (*self.get<Dict*>())->entries;
  std::vector<Value> items;
  heap.charge(entries.size() * sizeof(Value));
  for (const auto& entry : entries) {
    if (kFlavor == Sequence::Flavor::kKeys)
      items.push_back(entry.first);
    else if (kFlavor == Sequence::Flavor::kValues)
      items.push_back(entry.second);
    else
      items.push_back(heap.list({entry.first, entry.second}, Sequence::Flavor::kTuple));
  }
  return heap.list(std::move(items), kFlavor);
}

Value same(Heap&, const Value& self, const Slots&) { return self; }

constexpr Method kDictMethods[] = {
    {"get", "key,default", 1, dict_get},
    {"items", "", 0, dict_view<Sequence::Flavor::kItems>},
    {"keys", "", 0, dict_view<Sequence::Flavor::kKeys>},
    {"values", "", 0, dict_view<Sequence::Flavor::kValues>},
    {"copy", "", 0, same},
};

Value list_index(Heap& heap, const Value& self, const Slots& slots) {
  const auto& items = (*self.get<Sequence*>())->items;
  for (std::size_t i = 0; i < items.size(); ++i)
    if (equal(heap, items[i], *slots[0])) return static_cast<std::int64_t>(i);
  heap.fail("index found no such element, one that is there was needed");
}

Value list_count(Heap& heap, const Value& self, const Slots& slots) {
  std::int64_t count = 0;
  for (const Value& item : (*self.get<Sequence*>())->items) count += equal(heap, item, *slots[0]) ? 1 : 0;
  return count;
}

constexpr Method kListMethods[] = {
    {"index", "value", 1, list_index}, {"count", "value", 1, list_count}, {"copy", "", 0, same}};

constexpr std::string_view kListMutators[] = {"append", "clear",  "extend",  "insert",
                                              "pop",    "remove", "reverse", "sort"};
constexpr std::string_view kDictMutators[] = {"clear", "pop", "popitem", "setdefault", "update"};

bool is_list(const Value& value) {
  const auto* const sequence = value.get<Sequence*>();
  return sequence && (*sequence)->is_indexable();
}

template <class Table>
const Method* find_in(const Table& table, std::string_view name) {
  for (const Method& method : table)
    if (method.name == name) return &method;
  return nullptr;
}

template <class Table>
bool has(const Table& table, std::string_view name) {
  return std::find(std::begin(table), std::end(table), name) != std::end(table);
}

}  // namespace

const Method* find_method(const Value& self, std::string_view name) {
  if (self.is<std::string_view>()) return find_in(kStringMethods, name);
  if (self.is<Dict*>()) return find_in(kDictMethods, name);
  return is_list(self) ? find_in(kListMethods, name) : nullptr;
}

bool is_method_name(std::string_view name) {
  return find_in(kStringMethods, name) || find_in(kDictMethods, name) || find_in(kListMethods, name) ||
         has(kListMutators, name) || has(kDictMutators, name) || name == "cycle" || name == "changed";
}

bool is_mutating_method(const Value& self, std::string_view name) {
  if (self.is<Dict*>()) return has(kDictMutators, name);
  const auto* const sequence = self.get<Sequence*>();
  return sequence && (*sequence)->flavor == Sequence::Flavor::kList && has(kListMutators, name);
}

Value strip(Heap& heap, std::string_view text, const std::optional<Value>& chars, bool left, bool right) {
  std::optional<std::string_view> set;
  if (is_given(chars)) set = string_argument(heap, "strip", *chars);
  heap.step(text.size() / 64 * (set ? set->size() / 8 + 1 : 1));
  if (left) text = strip_left(text, set);
  if (right) text = strip_right(text, set);
  return text;
}

std::string replace_all(Heap& heap, std::string_view text, std::string_view from, std::string_view to,
                        std::int64_t count) {
  std::string out;
  std::size_t at = 0;
  const auto check = [&] {
    heap.step(to.size() / 64 + 1);
    if (out.size() > heap.limits().heap_bytes)
      heap.fail("replace makes more than ", heap.limits().heap_bytes, " bytes, fewer were needed");
  };
  charge_search(heap, text, from);
  for (std::int64_t done = 0; count < 0 || done < count; ++done) {
    if (from.empty()) {  // before each character and at the end
      check();
      out += to;
      if (at >= text.size()) return out;
      const std::size_t bytes = code_point_at(text, at).bytes;
      out += text.substr(at, bytes);
      at += bytes;
      continue;
    }
    const std::size_t found = text.find(from, at);
    if (found == std::string_view::npos) break;
    check();
    out += text.substr(at, found - at);
    out += to;
    at = found + from.size();
  }
  out += text.substr(at);
  return out;
}

std::string join_strings(Heap& heap, std::string_view separator, const std::vector<Value>& items) {
  std::string out;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += separator;
    out += string_argument(heap, "join", items[i]);
    heap.step(out.size() / (1 << 20) + 1);
    if (out.size() > heap.limits().heap_bytes)
      heap.fail("join makes more than ", heap.limits().heap_bytes, " bytes, fewer were needed");
  }
  return out;
}

}  // namespace kvgauge::jinja
