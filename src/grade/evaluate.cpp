#include "grade/evaluate.h"

#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <string_view>

#include "grade/value_arithmetic.h"

namespace kvgauge::math {
namespace {

using Complex = std::complex<double>;
constexpr double kEps = std::numeric_limits<double>::epsilon();

std::uint64_t mixed(std::uint64_t x) {  // splitmix64
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

Value symbol_at(std::string_view name, int point, bool with_negatives) {
  std::uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  hash = mixed(hash + static_cast<std::uint64_t>(point) * 0x632be59bd9b4e019u);
  Value v;
  v.is_exact = v.is_defined = true;
  v.residue = each_prime([&](std::size_t k, std::uint64_t prime) { return mixed(hash + k + 1) % prime; });
  const double unit = static_cast<double>(hash >> 11) * 0x1p-53;
  v.z = 0.4 + 1.3 * unit;
  if (with_negatives && point >= 6 && (hash & 1)) v.z = -v.z;
  return v;
}

// The principal value of an elementary function; nullptr-like false for no such function.
bool elementary(std::string_view name, Complex z, Complex& out) {
  if (name == "sin")
    out = std::sin(z);
  else if (name == "cos")
    out = std::cos(z);
  else if (name == "tan")
    out = std::tan(z);
  else if (name == "cot")
    out = 1.0 / std::tan(z);
  else if (name == "sec")
    out = 1.0 / std::cos(z);
  else if (name == "csc")
    out = 1.0 / std::sin(z);
  else if (name == "arcsin")
    out = std::asin(z);
  else if (name == "arccos")
    out = std::acos(z);
  else if (name == "arctan")
    out = std::atan(z);
  else if (name == "arccot")
    out = std::atan(1.0 / z);
  else if (name == "arcsec")
    out = std::acos(1.0 / z);
  else if (name == "arccsc")
    out = std::asin(1.0 / z);
  else if (name == "sinh")
    out = std::sinh(z);
  else if (name == "cosh")
    out = std::cosh(z);
  else if (name == "tanh")
    out = std::tanh(z);
  else if (name == "coth")
    out = 1.0 / std::tanh(z);
  else if (name == "sech")
    out = 1.0 / std::cosh(z);
  else if (name == "csch")
    out = 1.0 / std::sinh(z);
  else if (name == "arcsinh")
    out = std::asinh(z);
  else if (name == "arccosh")
    out = std::acosh(z);
  else if (name == "arctanh")
    out = std::atanh(z);
  else if (name == "exp")
    out = std::exp(z);
  else if (name == "cis")
    out = std::exp(Complex(0, 1) * z);
  else if (name == "ln" || name == "log" || name == "lg")
    out = std::log(z);
  else
    return false;
  return true;
}

class Evaluator {
 public:
  Evaluator(int point, const Reading& reading, bool with_negatives, Budget& budget)
      : point_(point), reading_(reading), with_negatives_(with_negatives), budget_(budget) {}

  Value of(const Expr& e) {
    if (!budget_.spend(1)) return undefined();
    switch (e.kind) {
      case Kind::kNumber:
        return budget_.spend(static_cast<std::int64_t>(e.text.size() / 32)) ? decimal(e) : undefined();
      case Kind::kSymbol: return symbol_at(e.text, point_, with_negatives_);
      case Kind::kPi: return inexact(std::numbers::pi, 0);
      case Kind::kEuler: return inexact(std::numbers::e, 0);
      case Kind::kImaginary: return inexact(Complex(0, 1), 0);
      case Kind::kInfinity: return infinite();
      case Kind::kSum: return sum_of(e);
      case Kind::kNegative: return negative(of(e.parts[0]));
      case Kind::kProduct: return product_of(e);
      case Kind::kQuotient: return quotient(of(e.parts[0]), of(e.parts[1]));
      case Kind::kPower: return budget_.spend(8) ? power(of(e.parts[0]), of(e.parts[1])) : undefined();
      case Kind::kRoot: return budget_.spend(8) ? root(of(e.parts[0]), of(e.parts[1])) : undefined();
      case Kind::kFunction: return function(e);
      case Kind::kFactorial: return factorial(of(e.parts[0]), e.text.size(), budget_);
      case Kind::kBinomial: return binomial(of(e.parts[0]), of(e.parts[1]), budget_);
      case Kind::kPercent: return reading_.percent_is_hundredth ? quotient(of(e.parts[0]), exact(100)) : of(e.parts[0]);
      case Kind::kDegree: return degrees(e);
      case Kind::kRatio: return e.parts.size() == 2 ? quotient(of(e.parts[0]), of(e.parts[1])) : undefined();
      default: return undefined();
    }
  }

 private:
  static Value infinite() {
    Value v;
    v.is_defined = true;
    v.infinity = 1;
    return v;
  }

  Value sum_of(const Expr& e) {
    Value total = of(e.parts[0]);
    for (std::size_t i = 1; i < e.parts.size(); ++i) total = sum(total, of(e.parts[i]));
    return total;
  }

  Value product_of(const Expr& e) {
    Value total = of(e.parts[0]);
    for (std::size_t i = 1; i < e.parts.size(); ++i) total = product(total, of(e.parts[i]));
    return total;
  }

  Value degrees(const Expr& e) {
    const Value v = of(e.parts[0]);
    return reading_.degree_is_angle || in_argument_ > 0 ? product(v, inexact(std::numbers::pi / 180, 0)) : v;
  }

  Value function(const Expr& e) {
    if (e.text == "det") return determinant(e.parts[0]);
    if (e.parts[0].kind == Kind::kBracket || e.parts[0].kind == Kind::kSet) return of_several(e);
    ++in_argument_;
    const Value x = of(e.parts[0]);
    --in_argument_;
    if (!x.is_defined || x.infinity != 0 || !x.is_finite) return undefined();
    if (e.text == "abs") return absolute(x);
    if (e.text == "floor" || e.text == "ceil") return rounded(e.text, x);
    if (e.text == "cbrt") return root(x, exact(3));
    if (e.text == "re") return inexact(x.z.real(), x.error);
    if (e.text == "im") return inexact(x.z.imag(), x.error);
    const bool is_logarithm = e.text == "ln" || e.text == "log" || e.text == "lg";
    if (is_logarithm && std::abs(x.z) <= 4 * x.error) return undefined();
    Complex z;
    if (!elementary(e.text, x.z, z)) return undefined();
    // The derivative's size is not known in general; near a pole the result is large and rounds as it does.
    const double size = std::abs(z), slope = is_logarithm ? 1 / std::abs(x.z) : 1 + size * size;
    const Value y = inexact(z, x.error * slope + 4 * kEps * (1 + size));
    if (!y.is_finite || size > 1e15) return undefined();
    if (!is_logarithm || e.text == "ln") return y;
    if (e.parts.size() == 2) return quotient(y, logarithm(of(e.parts[1])));
    return e.text == "lg" || reading_.log_is_decimal ? quotient(y, inexact(std::numbers::ln10, 0)) : y;
  }

  static Value logarithm(const Value& base) {
    if (!base.is_defined || base.infinity != 0 || !base.is_finite || std::abs(base.z) <= 4 * base.error)
      return undefined();
    return inexact(std::log(base.z), base.error / std::abs(base.z));
  }

  static Value absolute(const Value& x) {
    if (x.is_exact && x.z.imag() == 0) {
      // A symbol's residue does not tell its sign, so that only its double counts.
      std::int64_t n = 0;
      if (is_integer(x, n)) return exact(std::abs(n));
      return inexact(std::abs(x.z), x.error);
    }
    return inexact(std::abs(x.z), x.error);
  }

  static Value rounded(std::string_view name, const Value& x) {
    if (std::abs(x.z.imag()) > 4 * x.error || std::abs(x.z) > 1e15) return undefined();
    const double nearest = std::nearbyint(x.z.real());
    const double value = std::abs(x.z.real() - nearest) <= 4 * x.error ? nearest
                         : name == "floor"                             ? std::floor(x.z.real())
                                                                       : std::ceil(x.z.real());
    return exact(static_cast<std::int64_t>(value));
  }

  // gcd(a, b), max(a, b, ..)
  Value of_several(const Expr& e) {
    Value total;
    for (const Expr& part : e.parts[0].parts) {
      const Value v = of(part);
      if (&part == &e.parts[0].parts.front()) {
        total = v;
        continue;
      }
      std::int64_t a = 0, b = 0;
      const bool are_integers = is_integer(total, a) && is_integer(v, b);
      if (e.text == "gcd" && are_integers)
        total = exact(std::gcd(a, b));
      else if (e.text == "lcm" && are_integers && std::abs(a) < (1 << 26) && std::abs(b) < (1 << 26))
        total = exact(std::lcm(a, b));
      else if (e.text == "max" && v.is_defined && total.is_defined)
        total = v.z.real() > total.z.real() ? v : total;
      else if (e.text == "min" && v.is_defined && total.is_defined)
        total = v.z.real() < total.z.real() ? v : total;
      else if (e.text == "log")
        total = undefined();
      else
        return undefined();
    }
    return total;
  }

  // Along the first row; 4 x 4 at most.
  Value determinant(const Expr& m) {
    if (m.kind != Kind::kMatrix || m.columns == 0 || m.columns > 4 || m.parts.size() != m.columns * m.columns)
      return undefined();
    std::vector<Value> values;
    for (const Expr& part : m.parts) values.push_back(of(part));
    return determinant(values, m.columns);
  }

  static Value determinant(const std::vector<Value>& m, std::size_t n) {
    if (n == 1) return m[0];
    Value total = exact(0);
    for (std::size_t skipped = 0; skipped < n; ++skipped) {
      std::vector<Value> minor;
      for (std::size_t row = 1; row < n; ++row)
        for (std::size_t column = 0; column < n; ++column)
          if (column != skipped) minor.push_back(m[row * n + column]);
      const Value term = product(m[skipped], determinant(minor, n - 1));
      total = sum(total, skipped % 2 == 0 ? term : negative(term));
    }
    return total;
  }

  int point_;
  Reading reading_;
  bool with_negatives_;
  Budget& budget_;
  int in_argument_ = 0;
};

void add_features(const Expr& e, bool is_argument, Features& features) {
  if (e.kind == Kind::kSymbol) features.has_symbols = true;
  if (e.kind == Kind::kPercent) features.has_percent = true;
  if (e.kind == Kind::kDegree && !is_argument) features.has_degree = true;
  const bool is_function = e.kind == Kind::kFunction;
  if (is_function && e.text == "log" && e.parts.size() == 1) features.has_open_log = true;
  if (is_function && e.text == "abs") features.has_absolute = true;
  for (const Expr& part : e.parts) add_features(part, is_argument || is_function, features);
}

}  // namespace

Features features_of(const Expr& e) {
  Features features;
  add_features(e, false, features);
  return features;
}

Value evaluate(const Expr& e, int point, const Reading& reading, bool with_negatives, Budget& budget) {
  return Evaluator(point, reading, with_negatives, budget).of(e);
}

bool is_integer(const Value& v, std::int64_t& n) {
  constexpr double kMost = 0x1p53;
  if (!v.is_defined || v.infinity != 0 || !v.is_finite || v.z.imag() != 0 || !(std::abs(v.z.real()) < kMost))
    return false;
  n = static_cast<std::int64_t>(std::nearbyint(v.z.real()));
  if (v.is_exact) return v.residue == residue(n);
  return std::abs(v.z.real() - static_cast<double>(n)) <= 4 * v.error && v.error < 1e-6;
}

}  // namespace kvgauge::math
