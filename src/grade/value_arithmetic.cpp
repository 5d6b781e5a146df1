#include "grade/value_arithmetic.h"

#include <cmath>
#include <cstdlib>
#include <limits>
#include <numbers>

#include "core/cat.h"

namespace kvgauge::math {
namespace {

constexpr double kEps = std::numeric_limits<double>::epsilon();
constexpr std::int64_t kMostExactExponent = 1'000'000;
constexpr std::int64_t kMostFactors = 2000;

bool is_finite(std::complex<double> z) { return std::isfinite(z.real()) && std::isfinite(z.imag()); }

// Fills in what follows from z.
Value finished(Value v) {
  v.is_defined = true;
  v.is_finite = v.is_finite && is_finite(v.z);
  if (!v.is_finite) v.z = 0;
  v.z = {v.z.real() + 0.0, v.z.imag() + 0.0};  // no -0, which is on the other side of the branch cuts
  if (!std::isfinite(v.error)) v.error = std::abs(v.z);
  return v;
}

// The first 30 of many digits: a double tells 17 apart.
double approximate(std::string_view digits, std::int64_t exponent) {
  constexpr std::size_t kMostDigits = 30;
  const std::size_t first = std::min(digits.find_first_not_of('0'), digits.size());
  digits.remove_prefix(first);
  if (digits.empty()) return 0;
  const std::string_view kept = digits.substr(0, kMostDigits);
  return std::strtod(cat(kept, 'e', exponent + static_cast<std::int64_t>(digits.size() - kept.size())).c_str(),
                     nullptr);
}

Residue of_digits(std::string_view digits) {
  return each_prime([&](std::size_t, std::uint64_t prime) {
    std::uint64_t value = 0;
    constexpr std::size_t kChunk = 18;
    for (std::size_t at = 0; at < digits.size(); at += kChunk) {
      std::uint64_t chunk = 0, scale = 1;
      for (const char c : digits.substr(at, kChunk)) {
        chunk = chunk * 10 + static_cast<std::uint64_t>(c - '0');
        scale *= 10;
      }
      value = (product_mod(value, scale, prime) + chunk) % prime;
    }
    return value;
  });
}

Residue power_of_ten(std::int64_t exponent) {
  const Residue magnitude = power(residue(10), static_cast<std::uint64_t>(std::abs(exponent)));
  return exponent < 0 ? inverse(magnitude) : magnitude;
}

bool is_zero(const Value& v) {
  if (v.is_exact) return v.residue == Residue{} && (!v.is_finite || std::abs(v.z) <= std::max(v.error, 1e-300) * 64);
  return v.is_finite && std::abs(v.z) <= 4 * v.error;
}

bool is_usable(const Value& v) { return v.is_defined && v.infinity == 0; }
bool is_real(const Value& v) { return std::abs(v.z.imag()) <= 4 * v.error; }

}  // namespace

Value undefined() { return {}; }

Value exact(std::int64_t n) {
  Value v;
  v.z = static_cast<double>(n);
  v.residue = residue(n);
  v.is_exact = true;
  return finished(v);
}

Value inexact(std::complex<double> z, double error) {
  Value v;
  v.z = z;
  v.error = error + 2 * kEps * std::abs(z);
  return finished(v);
}

// a.b(r) with n digits in r: (all digits - the digits before r) / (10^decimals (1 - 10^-n)), scaled.
Value decimal(const Expr& number) {
  const std::string_view digits = number.text;
  Value v;
  v.is_exact = true;
  v.residue = of_digits(digits) * power_of_ten(number.exponent);
  v.z = approximate(digits, number.exponent);
  if (number.repeating > 0) {
    const std::int64_t block = number.repeating;
    const std::string_view before = digits.substr(0, digits.size() - number.repeating);
    const Residue nines = power_of_ten(block) + residue(-1);
    if (!has_inverse(nines)) return undefined();
    v.residue = (of_digits(digits) + -of_digits(before)) * power_of_ten(number.exponent + block) * inverse(nines);
    std::string unrolled(digits);
    while (unrolled.size() < digits.size() + 20) unrolled += digits.substr(digits.size() - number.repeating);
    v.z = approximate(unrolled, number.exponent - static_cast<std::int64_t>(unrolled.size() - digits.size()));
  }
  v.error = kEps * std::abs(v.z);
  return finished(v);
}

Value sum(const Value& a, const Value& b) {
  if (!is_usable(a) || !is_usable(b)) return undefined();
  Value v;
  v.is_exact = a.is_exact && b.is_exact;
  if (v.is_exact) v.residue = a.residue + b.residue;
  v.is_finite = a.is_finite && b.is_finite;
  v.z = a.z + b.z;
  v.error = a.error + b.error + kEps * (std::abs(a.z) + std::abs(b.z));
  return finished(v);
}

Value negative(const Value& a) {
  Value v = a;
  v.z = {0.0 - a.z.real(), 0.0 - a.z.imag()};
  v.residue = -a.residue;
  v.infinity = -a.infinity;
  return v;
}

Value product(const Value& a, const Value& b) {
  if (!is_usable(a) || !is_usable(b)) return undefined();
  Value v;
  v.is_exact = a.is_exact && b.is_exact;
  if (v.is_exact) v.residue = a.residue * b.residue;
  v.is_finite = a.is_finite && b.is_finite;
  v.z = a.z * b.z;
  v.error = std::abs(a.z) * b.error + std::abs(b.z) * a.error + 4 * kEps * std::abs(v.z);
  return finished(v);
}

Value quotient(const Value& a, const Value& b) {
  if (!is_usable(a) || !is_usable(b) || is_zero(b)) return undefined();
  Value v;
  v.is_exact = a.is_exact && b.is_exact && has_inverse(b.residue);
  if (v.is_exact) v.residue = a.residue * inverse(b.residue);
  v.is_finite = a.is_finite && b.is_finite && b.z != 0.0;
  if (v.is_finite) {
    v.z = a.z / b.z;
    v.error = (a.error + std::abs(v.z) * b.error) / std::abs(b.z) + 4 * kEps * std::abs(v.z);
  }
  return finished(v);
}

Value power(const Value& a, const Value& b) {
  if (!is_usable(a) || !is_usable(b) || !b.is_finite) return undefined();
  std::int64_t n = 0;
  const bool is_power_of_integer = is_integer(b, n);
  if (is_zero(a)) {
    if (is_power_of_integer && n == 0) return exact(1);
    return b.z.real() > 0 ? exact(0) : undefined();
  }
  Value v;
  if (is_power_of_integer && std::abs(n) <= kMostExactExponent && a.is_exact && (n >= 0 || has_inverse(a.residue))) {
    v.is_exact = true;
    const auto exponent = static_cast<std::uint64_t>(std::abs(n));
    v.residue = power(n < 0 ? inverse(a.residue) : a.residue, exponent);
  }
  v.is_finite = a.is_finite;
  if (v.is_finite) {
    if (a.z.imag() == 0 && b.z.imag() == 0 && (a.z.real() > 0 || is_power_of_integer)) {
      v.z = std::pow(a.z.real(), b.z.real());
    } else if (is_power_of_integer && std::abs(n) <= 64) {
      std::complex<double> z = 1;
      for (std::int64_t i = 0; i < std::abs(n); ++i) z *= a.z;
      v.z = n < 0 ? 1.0 / z : z;
    } else {
      v.z = std::pow(a.z, b.z);
    }
    const double size = std::abs(v.z);
    v.error = size * (std::abs(b.z) * a.error / std::abs(a.z) + b.error * std::abs(std::log(a.z)) +
                      8 * kEps * (1 + std::abs(b.z)));
  }
  return finished(v);
}

Value root(const Value& a, const Value& degree) {
  std::int64_t n = 0;
  if (!is_usable(a) || !is_usable(degree) || is_zero(degree)) return undefined();
  if (is_integer(degree, n) && n % 2 != 0 && is_real(a) && a.z.real() < 0)
    return negative(power(negative(a), quotient(exact(1), degree)));
  if (!is_integer(degree, n) || n != 2) return power(a, quotient(exact(1), degree));
  if (is_zero(a)) return exact(0);
  if (!a.is_finite) return undefined();
  const std::complex<double> z = is_real(a) && a.z.real() >= 0 ? std::sqrt(a.z.real()) : std::sqrt(a.z);
  return inexact(z, a.error / std::abs(z));
}

Value factorial(const Value& n, std::size_t marks, Budget& budget) {
  std::int64_t last = 0;
  // of symbols: the gamma function at their points
  if (marks == 1 && is_usable(n) && n.is_finite && n.z.imag() == 0 && n.z.real() > -1 && n.z.real() < 100 &&
      !is_integer(n, last)) {
    const double value = std::tgamma(n.z.real() + 1);
    return inexact(value, 10 * value * n.error + 16 * kEps * value);
  }
  if (!is_integer(n, last) || last < 0 || last > kMostFactors || !budget.spend(last)) return undefined();
  Value v = exact(1);
  for (std::int64_t i = last; i > 1; i -= static_cast<std::int64_t>(marks)) v = product(v, exact(i));
  return v;
}

Value binomial(const Value& n, const Value& k, Budget& budget) {
  std::int64_t top = 0, chosen = 0;
  if (!is_integer(k, chosen) || chosen < 0) return undefined();
  if (is_integer(n, top) && top >= 0) {
    if (chosen > top) return exact(0);
    chosen = std::min(chosen, top - chosen);
  }
  if (!is_usable(n) || chosen > kMostFactors || !budget.spend(4 * chosen)) return undefined();
  Value v = exact(1);
  for (std::int64_t i = 0; i < chosen; ++i) v = quotient(product(v, sum(n, exact(-i))), exact(i + 1));
  return v;
}

}  // namespace kvgauge::math
