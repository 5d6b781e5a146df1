#include "text/jinja_arithmetic.h"

#include <cmath>

namespace kvgauge::jinja {
namespace {

const char* symbol(ExprKind op) {
  switch (op) {
    case ExprKind::kAdd: return "+";
    case ExprKind::kSubtract: return "-";
    case ExprKind::kMultiply: return "*";
    case ExprKind::kDivide: return "/";
    case ExprKind::kFloorDivide: return "//";
    case ExprKind::kModulo: return "%";
    default: return "**";
  }
}

[[noreturn]] void overflow(Heap& heap) { heap.fail("found an integer of more than 64 bits, a smaller one was needed"); }

Value power(Heap& heap, std::int64_t base, std::int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) heap.fail("found 0 to a negative power, another base was needed");
    return std::pow(static_cast<double>(base), static_cast<double>(exponent));
  }
  std::int64_t result = 1;
  while (true) {
    if ((exponent & 1) && __builtin_mul_overflow(result, base, &result)) overflow(heap);
    exponent >>= 1;
    if (exponent == 0) return result;
    if (__builtin_mul_overflow(base, base, &base)) overflow(heap);
  }
}

Value apply_integers(Heap& heap, ExprKind op, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  switch (op) {
    case ExprKind::kAdd:
      if (__builtin_add_overflow(a, b, &result)) overflow(heap);
      return result;
    case ExprKind::kSubtract:
      if (__builtin_sub_overflow(a, b, &result)) overflow(heap);
      return result;
    case ExprKind::kMultiply:
      if (__builtin_mul_overflow(a, b, &result)) overflow(heap);
      return result;
    case ExprKind::kPower: return power(heap, a, b);
    default: break;
  }
  if (b == 0) heap.fail("found a division by zero, another divisor was needed");
  if (op == ExprKind::kDivide) return static_cast<double>(a) / static_cast<double>(b);
  if (b == -1) {  // INT64_MIN / -1 traps
    if (op == ExprKind::kModulo) return std::int64_t{0};
    if (__builtin_sub_overflow(std::int64_t{0}, a, &result)) overflow(heap);
    return result;
  }
  // Python rounds the quotient down; the remainder has the divisor's sign.
  const bool adjust = a % b != 0 && ((a % b < 0) != (b < 0));
  return op == ExprKind::kModulo ? a % b + (adjust ? b : 0) : a / b - (adjust ? 1 : 0);
}

Value apply_floats(Heap& heap, ExprKind op, double a, double b) {
  switch (op) {
    case ExprKind::kAdd: return a + b;
    case ExprKind::kSubtract: return a - b;
    case ExprKind::kMultiply: return a * b;
    case ExprKind::kPower:
      if (a == 0 && b < 0) heap.fail("found 0 to a negative power, another base was needed");
      if (a < 0 && std::floor(b) != b) heap.fail("found a root of a negative number, a number from 0 was needed");
      return std::pow(a, b);
    default: break;
  }
  if (b == 0) heap.fail("found a division by zero, another divisor was needed");
  if (op == ExprKind::kDivide) return a / b;
  double remainder = std::fmod(a, b);
  if (remainder != 0 && (remainder < 0) != (b < 0)) remainder += b;
  if (op == ExprKind::kModulo) return remainder == 0 ? std::copysign(0.0, b) : remainder;
  const double quotient = (a - remainder) / b;
  const double floored = std::floor(quotient);
  return quotient - floored > 0.5 ? floored + 1 : floored;  // quotient is an integer up to rounding
}

Value repeat(Heap& heap, const Value& value, std::int64_t count) {
  const auto times = static_cast<std::size_t>(count < 0 ? 0 : count);
  if (const auto* const text = value.get<std::string_view>()) {
    if (!text->empty() && times > heap.limits().heap_bytes / text->size())
      heap.fail("found a string repeated ", count, " times, fewer were needed");
    std::string out;
    out.reserve(text->size() * times);
    for (std::size_t i = 0; i < times && !text->empty(); ++i) out += *text;
    return heap.keep(std::move(out));
  }
  const Sequence& sequence = **value.get<Sequence*>();
  if (!sequence.items.empty() && times > heap.limits().heap_bytes / sizeof(Value) / sequence.items.size())
    heap.fail("found a list repeated ", count, " times, fewer were needed");
  heap.charge(sequence.items.size() * times * sizeof(Value));
  std::vector<Value> items;
  for (std::size_t i = 0; i < times && !sequence.items.empty(); ++i)
    items.insert(items.end(), sequence.items.begin(), sequence.items.end());
  return heap.list(std::move(items), sequence.flavor);
}

bool is_repeatable(const Value& value) {
  if (value.is<std::string_view>()) return true;
  const auto* const sequence = value.get<Sequence*>();
  return sequence &&
         ((*sequence)->flavor == Sequence::Flavor::kList || (*sequence)->flavor == Sequence::Flavor::kTuple);
}

}  // namespace

Value apply_operator(Heap& heap, ExprKind op, const Value& left, const Value& right) {
  require_defined(heap, left);
  require_defined(heap, right);
  std::int64_t storage_left = 0, storage_right = 0;
  const std::int64_t* const i = as_int(left, storage_left);
  const std::int64_t* const j = as_int(right, storage_right);
  if (i && j) return apply_integers(heap, op, *i, *j);
  if (is_number(left) && is_number(right)) return apply_floats(heap, op, as_double(left), as_double(right));
  if (op == ExprKind::kAdd) {
    const auto* const a = left.get<std::string_view>();
    const auto* const b = right.get<std::string_view>();
    if (a && b) {
      std::string text;
      text.reserve(a->size() + b->size());
      text += *a;
      text += *b;
      return heap.keep(std::move(text));
    }
    if (is_repeatable(left) && is_repeatable(right) && !a && !b) {
      const Sequence& x = **left.get<Sequence*>();
      const Sequence& y = **right.get<Sequence*>();
      if (x.flavor == y.flavor) {
        heap.charge((x.items.size() + y.items.size()) * sizeof(Value));
        std::vector<Value> items = x.items;
        items.insert(items.end(), y.items.begin(), y.items.end());
        return heap.list(std::move(items), x.flavor);
      }
    }
  }
  if (op == ExprKind::kMultiply && is_repeatable(left) && j) return repeat(heap, left, *j);
  if (op == ExprKind::kMultiply && i && is_repeatable(right)) return repeat(heap, right, *i);
  if (op == ExprKind::kModulo && left.is<std::string_view>())
    heap.fail("found % formatting of a string, which is not supported; + or ~ was needed");
  heap.fail("found ", type_name(left), " ", symbol(op), " ", type_name(right),
            ", operands that go together were needed");
}

Value apply_sign(Heap& heap, const Value& operand, bool negate) {
  require_defined(heap, operand);
  if (const auto* const number = operand.get<double>()) return negate ? -*number : *number;
  std::int64_t storage = 0;
  if (const std::int64_t* const number = as_int(operand, storage))
    return negate ? apply_integers(heap, ExprKind::kSubtract, 0, *number) : Value(*number);
  heap.fail("found a sign before a ", type_name(operand), ", a number was needed");
}

}  // namespace kvgauge::jinja
