#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/cat.h"
#include "core/json.h"

namespace kvgauge::jinja {

struct Position {
  int line = 1;
  int column = 1;  ///< in code points, from 1
};

/// What one template and one render may use; beyond it the template is refused or the render ends.
struct Limits {
  std::size_t source_bytes = std::size_t{1} << 20;
  std::size_t output_bytes = std::size_t{16} << 20;
  std::size_t heap_bytes = std::size_t{256} << 20;  ///< everything a render creates, nothing is freed before its end
  std::uint64_t steps = 20'000'000;                 ///< nodes evaluated, elements visited, blocks of 64 bytes copied
};
inline constexpr int kMaxSyntaxDepth = 200;       ///< nesting of expressions and blocks in the source
inline constexpr int kMaxEvaluationDepth = 1000;  ///< the same while rendering, macro calls included
inline constexpr int kMaxValueDepth = 600;        ///< lists in lists; above what core/json.h lets in

struct Sequence;
struct Dict;
struct Namespace;
struct Loop;
struct Callable;
struct Method;  // jinja_builtins.h
struct Global;  // jinja_builtins.h
struct Stmt;    // jinja_ast.h

struct Undefined {
  std::string_view what;  ///< completes "... is undefined" or says more; for the error if it is used
};
struct None {};

/// A Python value as a template sees it. Non-owning: what it points to lives in the Heap of the render, in the
/// template or in the caller's variables. Values never change once made (transformers renders in an immutable
/// sandbox); namespaces are the one exception.
struct Value {
  using Variant = std::variant<Undefined, None, bool, std::int64_t, double, std::string_view, Sequence*, Dict*,
                               Namespace*, Loop*, Callable*>;
  Variant data;

  Value() = default;
  Value(Undefined v) : data(v) {}
  Value(None v) : data(v) {}
  Value(bool v) : data(v) {}
  Value(std::int64_t v) : data(v) {}
  Value(double v) : data(v) {}
  Value(std::string_view v) : data(v) {}
  Value(Sequence* v) : data(v) {}
  Value(Dict* v) : data(v) {}
  Value(Namespace* v) : data(v) {}
  Value(Loop* v) : data(v) {}
  Value(Callable* v) : data(v) {}
  Value(const char*) = delete;  // would silently become bool

  template <class T>
  bool is() const {
    return std::holds_alternative<T>(data);
  }
  template <class T>
  const T* get() const {
    return std::get_if<T>(&data);
  }
};

struct Sequence {
  enum class Flavor { kList, kTuple, kRange, kIterator, kKeys, kValues, kItems };
  Flavor flavor = Flavor::kList;
  std::vector<Value> items;
  std::size_t consumed = 0;  ///< kIterator only: a second pass over a Python generator finds it empty
  bool is_indexable() const { return flavor == Flavor::kList || flavor == Flavor::kTuple || flavor == Flavor::kRange; }
};

struct Dict {
  std::vector<std::pair<Value, Value>> entries;  ///< in order of insertion, keys distinct
};

struct Namespace {
  std::vector<std::pair<std::string_view, Value>> attributes;
};

struct Loop {
  const std::vector<Value>* items = nullptr;
  std::size_t index = 0;
  int depth = 0;
  std::vector<Value> last_changed;
  bool has_changed = false;
};

struct Scope {
  const Scope* parent = nullptr;
  std::vector<std::pair<std::string_view, Value>> names;
};

/// Exactly one of global, method (with self), macro (with closure) and loop (with name cycle or changed) is set.
struct Callable {
  std::string_view name;
  Value self;
  const Global* global = nullptr;
  const Method* method = nullptr;
  const Stmt* macro = nullptr;
  const Scope* closure = nullptr;
  Loop* loop = nullptr;
};

/// The memory, the budget and the place of one render.
class Heap {
 public:
  Heap(std::string_view where, const Limits& limits) : where_(where), limits_(limits) {}
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  const Limits& limits() const { return limits_; }
  Position position;  ///< of the operation at work; errors name it

  /// @throws RequestError "where:line:column: ..." in one line
  template <class... Parts>
  [[noreturn]] void fail(const Parts&... parts) const {
    fail_with(cat(parts...));
  }

  void step(std::uint64_t count = 1) {
    steps_ += count;
    if (steps_ > limits_.steps) out_of_steps();
  }
  void charge(std::size_t bytes);                       ///< counts memory about to be used
  void release(std::size_t bytes) { bytes_ -= bytes; }  ///< of what was charged and is gone

  std::string_view keep(std::string text);
  Value list(std::vector<Value> items, Sequence::Flavor flavor = Sequence::Flavor::kList);
  Dict* dict();
  void insert(Dict& dict, const Value& key, const Value& value);  ///< replaces an equal key's value
  Namespace* name_space();
  Loop* loop();
  Scope* scope(const Scope* parent);
  Callable* callable(Callable made);

  /// A view of the caller's JSON as a value; strings are not copied.
  Value from_json(const OrderedJson& json);

 private:
  [[noreturn]] void fail_with(std::string message) const;
  [[noreturn]] void out_of_steps() const;

  std::string where_;
  Limits limits_;
  std::uint64_t steps_ = 0;
  std::size_t bytes_ = 0;
  std::deque<std::string> strings_;
  std::deque<Sequence> sequences_;
  std::deque<Dict> dicts_;
  std::deque<Namespace> namespaces_;
  std::deque<Loop> loops_;
  std::deque<Scope> scopes_;
  std::deque<Callable> callables_;
};

/// Python's type name of a value, for messages.
const char* type_name(const Value& value);
/// Ends the render with the reason why the value is undefined, if it is.
void require_defined(Heap& heap, const Value& value);

bool truth(const Value& value);
bool equal(Heap& heap, const Value& a, const Value& b, int depth = 0);
/// -1, 0 or 1; 2 if unordered (a NaN). @throws RequestError for types that Python does not order
int compare(Heap& heap, const Value& a, const Value& b, int depth = 0);
bool contains(Heap& heap, const Value& container, const Value& item);
const Value* find(Heap& heap, const Dict& dict, const Value& key);

/// str(value), repr(value)
std::string_view to_text(Heap& heap, const Value& value);
void append_repr(Heap& heap, std::string& out, const Value& value, int depth = 0);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  bool is_indented = false;
  std::string indent;
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
void append_json(Heap& heap, std::string& out, const Value& value, const JsonStyle& style, int depth = 0);

/// What a for loop, a filter or an unpacking visits; a generator is used up by it.
std::vector<Value> iterate(Heap& heap, const Value& value);
std::int64_t length(Heap& heap, const Value& value);

/// bool counts as int, as in Python.
const std::int64_t* as_int(const Value& value, std::int64_t& storage);
bool is_number(const Value& value);
double as_double(const Value& value);

}  // namespace kvgauge::jinja
