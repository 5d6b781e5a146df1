#include "text/jinja_interpreter.h"

#include <utility>

#include "text/jinja_arithmetic.h"
#include "text/jinja_builtins.h"

namespace kvgauge::jinja {
namespace {

enum class Flow { kNext, kBreak, kContinue };

class Interpreter {
 public:
  Interpreter(std::string_view where, const Limits& limits) : heap_(where, limits) {}

  std::string render(const Block& block, const OrderedJson& variables) {
    if (!variables.is_object()) heap_.fail("the variables are ", variables.type_name(), ", an object was needed");
    Scope* const given = heap_.scope(nullptr);
    for (const auto& [name, value] : variables.items()) given->names.emplace_back(name, heap_.from_json(value));
    scope_ = heap_.scope(given);
    run(block);
    return std::move(out_);
  }

 private:
  struct Depth {
    explicit Depth(Interpreter& interpreter) : depth(interpreter.depth_) {
      if (++depth > kMaxEvaluationDepth)
        interpreter.heap_.fail("rendering is nested deeper than ", kMaxEvaluationDepth,
                               " levels, at most that many are allowed");
      interpreter.heap_.step();
    }
    ~Depth() { --depth; }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;
    int& depth;
  };

  // ---- names ----

  Value look_up(std::string_view name) {
    for (const Scope* scope = scope_; scope; scope = scope->parent)
      for (const auto& entry : scope->names)
        if (entry.first == name) return entry.second;
    if (const Global* const global = find_global(name)) {
      Callable made;
      made.name = name;
      made.global = global;
      return heap_.callable(made);
    }
    return Undefined{heap_.keep(cat("'", name, "' is undefined"))};
  }

  void set(std::string_view name, const Value& value) {
    for (auto& entry : scope_->names)
      if (entry.first == name) {
        entry.second = value;
        return;
      }
    heap_.charge(sizeof(Value) + sizeof(name));
    scope_->names.emplace_back(name, value);
  }

  void assign(const Expr& target, const Value& value) {
    heap_.position = target.position;
    if (target.kind == ExprKind::kName) return set(target.text, value);
    if (target.kind == ExprKind::kAttribute) return assign_attribute(target, value);
    require_defined(heap_, value);
    const std::vector<Value> items = iterate(heap_, value);
    if (items.size() != target.operands.size())
      heap_.fail("found ", items.size(), " values to unpack, ", target.operands.size(), " were needed");
    for (std::size_t i = 0; i < items.size(); ++i) assign(*target.operands[i], items[i]);
  }

  void assign_attribute(const Expr& target, const Value& value) {
    const Value object = evaluate(*target.operands[0]);
    heap_.position = target.position;
    const auto* const names = object.get<Namespace*>();
    if (!names) heap_.fail("found an assignment to an attribute of a ", type_name(object), ", a namespace was needed");
    for (auto& entry : (*names)->attributes)
      if (entry.first == target.text) {
        entry.second = value;
        return;
      }
    heap_.charge(sizeof(Value) + sizeof(std::string_view));
    (*names)->attributes.emplace_back(target.text, value);
  }

  // ---- expressions ----

  Value evaluate(const Expr& expr) {
    const Depth depth(*this);
    switch (expr.kind) {
      case ExprKind::kConstant: return expr.constant;
      case ExprKind::kName: return look_up(expr.text);
      case ExprKind::kAttribute: {
        const Value object = evaluate(*expr.operands[0]);
        heap_.position = expr.position;
        return get_attribute(heap_, object, expr.text);
      }
      case ExprKind::kItem: {
        const Value object = evaluate(*expr.operands[0]);
        const Value key = evaluate(*expr.operands[1]);
        heap_.position = expr.position;
        return get_item(heap_, object, key);
      }
      case ExprKind::kSlice: return evaluate_slice(expr);
      case ExprKind::kCall: return evaluate_call(expr, nullptr);
      case ExprKind::kFilter: return evaluate_filter(expr, evaluate(*expr.operands[0]));
      case ExprKind::kTest: {
        const Value subject = evaluate(*expr.operands[0]);
        const Arguments arguments = evaluate_arguments(expr);
        heap_.position = expr.position;
        return apply_test(heap_, *expr.test, subject, arguments) != expr.is_negated;
      }
      case ExprKind::kNot: return !truth(evaluate(*expr.operands[0]));
      case ExprKind::kAnd: {
        const Value left = evaluate(*expr.operands[0]);
        return truth(left) ? evaluate(*expr.operands[1]) : left;
      }
      case ExprKind::kOr: {
        const Value left = evaluate(*expr.operands[0]);
        return truth(left) ? left : evaluate(*expr.operands[1]);
      }
      case ExprKind::kConditional:
        if (truth(evaluate(*expr.operands[1]))) return evaluate(*expr.operands[0]);
        if (expr.operands[2]) return evaluate(*expr.operands[2]);
        return Undefined{"the inline if was false and has no else"};
      case ExprKind::kCompare: return evaluate_compare(expr);
      case ExprKind::kConcat: return evaluate_concat(expr);
      case ExprKind::kList: return heap_.list(evaluate_all(expr));
      case ExprKind::kTuple: return heap_.list(evaluate_all(expr), Sequence::Flavor::kTuple);
      case ExprKind::kDict: return evaluate_dict(expr);
      case ExprKind::kNegate:
      case ExprKind::kPlus: {
        const Value operand = evaluate(*expr.operands[0]);
        heap_.position = expr.position;
        return apply_sign(heap_, operand, expr.kind == ExprKind::kNegate);
      }
      default: {
        const Value left = evaluate(*expr.operands[0]);
        const Value right = evaluate(*expr.operands[1]);
        heap_.position = expr.position;
        return apply_operator(heap_, expr.kind, left, right);
      }
    }
  }

  std::vector<Value> evaluate_all(const Expr& expr) {
    std::vector<Value> values;
    values.reserve(expr.operands.size());
    for (const ExprPtr& operand : expr.operands) values.push_back(evaluate(*operand));
    return values;
  }

  Arguments evaluate_arguments(const Expr& expr) {
    Arguments arguments;
    const std::size_t first_named = expr.operands.size() - expr.names.size();
    for (std::size_t i = 1; i < expr.operands.size(); ++i) {
      const Value value = evaluate(*expr.operands[i]);
      if (i < first_named)
        arguments.positional.push_back(value);
      else
        arguments.named.emplace_back(expr.names[i - first_named], value);
    }
    return arguments;
  }

  Value evaluate_slice(const Expr& expr) {
    Value parts[4];
    for (std::size_t i = 0; i < 4; ++i) parts[i] = expr.operands[i] ? evaluate(*expr.operands[i]) : Value(None{});
    heap_.position = expr.position;
    return get_slice(heap_, parts[0], parts[1], parts[2], parts[3]);
  }

  Value evaluate_filter(const Expr& expr, const Value& subject) {
    const Arguments arguments = evaluate_arguments(expr);
    heap_.position = expr.position;
    return apply_filter(heap_, *expr.filter, subject, arguments);
  }

  Value evaluate_compare(const Expr& expr) {
    Value left = evaluate(*expr.operands[0]);
    for (std::size_t i = 0; i < expr.comparisons.size(); ++i) {
      const Value right = evaluate(*expr.operands[i + 1]);
      heap_.position = expr.position;
      if (!holds(expr.comparisons[i], left, right)) return false;
      left = right;
    }
    return true;
  }

  bool holds(Comparison comparison, const Value& a, const Value& b) {
    switch (comparison) {
      case Comparison::kEqual: return equal(heap_, a, b);
      case Comparison::kNotEqual: return !equal(heap_, a, b);
      case Comparison::kIn: return contains(heap_, b, a);
      case Comparison::kNotIn: return !contains(heap_, b, a);
      default: break;
    }
    const int order = compare(heap_, a, b);
    if (order == 2) return false;
    if (comparison == Comparison::kLess) return order < 0;
    if (comparison == Comparison::kLessEqual) return order <= 0;
    return comparison == Comparison::kGreater ? order > 0 : order >= 0;
  }

  Value evaluate_concat(const Expr& expr) {
    std::string text;
    for (const ExprPtr& operand : expr.operands) {
      const Value value = evaluate(*operand);
      heap_.position = expr.position;
      text += to_text(heap_, value);
    }
    return heap_.keep(std::move(text));
  }

  Value evaluate_dict(const Expr& expr) {
    Dict* const dict = heap_.dict();
    for (std::size_t i = 0; i < expr.operands.size(); i += 2) {
      const Value key = evaluate(*expr.operands[i]);
      const Value value = evaluate(*expr.operands[i + 1]);
      heap_.position = expr.position;
      heap_.insert(*dict, key, value);
    }
    return dict;
  }

  // ---- calls ----

  Value evaluate_call(const Expr& expr, Callable* caller) {
    const Value callee = evaluate(*expr.operands[0]);
    const Arguments arguments = evaluate_arguments(expr);
    heap_.position = expr.position;
    require_defined(heap_, callee);
    const auto* const callable = callee.get<Callable*>();
    if (!callable) heap_.fail("found a call of a ", type_name(callee), ", a function was needed");
    return call(**callable, arguments, caller);
  }

  Value call(const Callable& callable, const Arguments& arguments, Callable* caller) {
    if (callable.global) return callable.global->apply(heap_, arguments);
    if (callable.macro) return call_macro(callable, arguments, caller);
    if (callable.loop) return call_loop(callable, arguments);
    return callable.method->apply(
        heap_, callable.self,
        bind(heap_, callable.name, callable.method->parameters, callable.method->required, arguments));
  }

  Value call_loop(const Callable& callable, const Arguments& arguments) {
    Loop& loop = *callable.loop;
    const auto& values = arguments.positional;
    if (callable.name == "cycle") {
      if (values.empty()) heap_.fail("found loop.cycle without a value, at least one was needed");
      return values[loop.index % values.size()];
    }
    bool is_same = loop.has_changed && loop.last_changed.size() == values.size();
    for (std::size_t i = 0; is_same && i < values.size(); ++i) is_same = equal(heap_, loop.last_changed[i], values[i]);
    loop.has_changed = true;
    loop.last_changed = values;
    return !is_same;
  }

  Value call_macro(const Callable& callable, const Arguments& arguments, Callable* caller) {
    const Depth depth(*this);
    const Stmt& macro = *callable.macro;
    if (arguments.positional.size() > macro.parameters.size())
      heap_.fail("macro '", callable.name, "' was given ", arguments.positional.size(), " arguments, at most ",
                 macro.parameters.size(), " were needed");
    Scope* const outer = std::exchange(scope_, heap_.scope(callable.closure));
    for (std::size_t i = 0; i < arguments.positional.size(); ++i) set(macro.parameters[i], arguments.positional[i]);
    for (const auto& [name, value] : arguments.named) set_named(callable, name, value);
    if (caller) set("caller", caller);
    const std::size_t first_default = macro.parameters.size() - macro.defaults.size();
    for (std::size_t i = arguments.positional.size(); i < macro.parameters.size(); ++i) {
      if (is_set_here(macro.parameters[i])) continue;
      if (i >= first_default)
        set(macro.parameters[i], evaluate(*macro.defaults[i - first_default]));
      else
        set(macro.parameters[i], Undefined{heap_.keep(cat("parameter '", macro.parameters[i], "' was not given"))});
    }
    const Value text = capture(macro.body);
    scope_ = outer;
    return text;
  }

  void set_named(const Callable& callable, std::string_view name, const Value& value) {
    for (const std::string& parameter : callable.macro->parameters) {
      if (parameter != name) continue;
      if (is_set_here(name)) heap_.fail("macro '", callable.name, "' was given '", name, "' twice, once was needed");
      return set(parameter, value);
    }
    heap_.fail("macro '", callable.name, "' has no parameter '", name, "', one of its own was needed");
  }

  bool is_set_here(std::string_view name) const {
    for (const auto& entry : scope_->names)
      if (entry.first == name) return true;
    return false;
  }

  // ---- statements ----

  void print(std::string_view text) {
    heap_.step(text.size() / 64);
    if (text.size() > heap_.limits().output_bytes || out_.size() > heap_.limits().output_bytes - text.size())
      heap_.fail("the output is larger than ", heap_.limits().output_bytes, " bytes, at most that many are allowed");
    out_ += text;
  }

  // What the block prints, as a value.
  Value capture(const Block& block) {
    std::string outer = std::exchange(out_, {});
    run(block);
    return heap_.keep(std::exchange(out_, std::move(outer)));
  }

  Flow run_in(Scope* scope, const Block& block) {
    Scope* const outer = std::exchange(scope_, scope);
    const Flow flow = run(block);
    scope_ = outer;
    return flow;
  }

  Flow run(const Block& block) {
    const Depth depth(*this);
    for (const auto& stmt : block)
      if (const Flow flow = run(*stmt); flow != Flow::kNext) return flow;
    return Flow::kNext;
  }

  Flow run(const Stmt& stmt) {
    heap_.position = stmt.position;
    heap_.step();
    switch (stmt.kind) {
      case StmtKind::kText: print(stmt.text); break;
      case StmtKind::kOutput: {
        const Value value = evaluate(*stmt.value);
        heap_.position = stmt.position;
        print(to_text(heap_, value));
        break;
      }
      case StmtKind::kIf:
        for (const Branch& branch : stmt.branches)
          if (truth(evaluate(*branch.condition))) return run(branch.body);
        return run(stmt.otherwise);
      case StmtKind::kFor: return run_for(stmt);
      case StmtKind::kSet: assign(*stmt.target, evaluate(*stmt.value)); break;
      case StmtKind::kSetBlock: {
        Value text = capture_apart(stmt.body);
        if (stmt.value) text = apply_chain(*stmt.value, text);
        assign(*stmt.target, text);
        break;
      }
      case StmtKind::kFilterBlock: {
        const Value text = apply_chain(*stmt.value, capture_apart(stmt.body));
        print(to_text(heap_, text));
        break;
      }
      case StmtKind::kWith: {
        std::vector<Value> values;
        for (const ExprPtr& value : stmt.defaults) values.push_back(evaluate(*value));
        Scope* const inner = heap_.scope(scope_);
        for (std::size_t i = 0; i < values.size(); ++i) inner->names.emplace_back(stmt.parameters[i], values[i]);
        return run_in(inner, stmt.body);
      }
      case StmtKind::kScope: return run_in(heap_.scope(scope_), stmt.body);
      case StmtKind::kMacro: set(stmt.text, make_macro(stmt)); break;
      case StmtKind::kCallBlock: {
        const Value text = evaluate_call(*stmt.value, make_macro(stmt));
        print(to_text(heap_, text));
        break;
      }
      case StmtKind::kBreak: return Flow::kBreak;
      case StmtKind::kContinue: return Flow::kContinue;
    }
    return Flow::kNext;
  }

  Callable* make_macro(const Stmt& stmt) {
    Callable made;
    made.name = stmt.text;
    made.macro = &stmt;
    made.closure = scope_;
    return heap_.callable(made);
  }

  Value capture_apart(const Block& block) {
    Scope* const outer = std::exchange(scope_, heap_.scope(scope_));
    const Value text = capture(block);
    scope_ = outer;
    return text;
  }

  // Filters of a block: the innermost one has no subject of its own and takes the text.
  Value apply_chain(const Expr& expr, const Value& text) {
    const Depth depth(*this);
    return evaluate_filter(expr, expr.operands[0] ? apply_chain(*expr.operands[0], text) : text);
  }

  Flow run_for(const Stmt& stmt) {
    const Value iterable = evaluate(*stmt.value);
    heap_.position = stmt.value->position;
    std::vector<Value> items = iterate(heap_, iterable);
    const std::size_t charged = items.size() * sizeof(Value);
    if (stmt.condition) items = select(stmt, items);
    if (items.empty()) {
      heap_.release(charged);
      return run_in(heap_.scope(scope_), stmt.otherwise);
    }
    Scope* const outer = scope_;
    Loop* const loop = heap_.loop();
    loop->items = &items;
    for (loop->index = 0; loop->index < items.size(); ++loop->index) {
      scope_ = heap_.scope(outer);
      set("loop", loop);
      assign(*stmt.target, items[loop->index]);
      if (run(stmt.body) == Flow::kBreak) break;
    }
    heap_.release(charged);
    loop->items = nullptr;  // a loop kept in a namespace outlives its items
    scope_ = outer;
    return Flow::kNext;
  }

  std::vector<Value> select(const Stmt& stmt, const std::vector<Value>& items) {
    std::vector<Value> selected;
    Scope* const outer = scope_;
    for (const Value& item : items) {
      scope_ = heap_.scope(outer);
      assign(*stmt.target, item);
      if (truth(evaluate(*stmt.condition))) selected.push_back(item);
    }
    scope_ = outer;
    return selected;
  }

  Heap heap_;
  Scope* scope_ = nullptr;
  std::string out_;
  int depth_ = 0;
};

}  // namespace

std::string render_template(const Block& block, const OrderedJson& variables, std::string_view where,
                            const Limits& limits) {
  return Interpreter(where, limits).render(block, variables);
}

}  // namespace kvgauge::jinja
