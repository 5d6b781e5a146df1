#include "grade/compare_number.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace kvgauge::math {
namespace {

constexpr double kRelative = 1e-9;

bool close(const Value& a, const Value& b) {
  const double size = std::max(std::abs(a.z), std::abs(b.z));
  // Cancellation may leave no digit of a difference; what rounding explains is no difference, within reason.
  const double explained = std::min(16 * (a.error + b.error), kRelative);
  return std::abs(a.z - b.z) <= std::max(kRelative * size, explained);
}

bool same_value(const Value& a, const Value& b) {
  if (a.infinity != 0 || b.infinity != 0) return a.infinity == b.infinity;
  if (a.is_exact && b.is_exact) {
    if (!(a.residue == b.residue)) return false;
    return !a.is_finite || !b.is_finite || close(a, b);
  }
  return a.is_finite && b.is_finite && close(a, b);
}

// A plain decimal against a closed form: the same after rounding to six decimals.
bool same_to_six_decimals(const Value& a, const Value& b) {
  constexpr double kScale = 1e6, kLargest = 1e9;  // beyond it, six decimals are below a double's last digit
  if (!a.is_finite || !b.is_finite || a.infinity != 0 || b.infinity != 0) return false;
  if (a.z.imag() != 0 || std::abs(b.z.imag()) > 1e-9 || a.z.imag() != 0) return false;
  const double x = a.z.real(), y = b.z.real();
  if (!(std::abs(x) < kLargest) || !(std::abs(y) < kLargest)) return false;
  const double rounded = std::nearbyint(x * kScale);
  return rounded != 0 && rounded == std::nearbyint(y * kScale);
}

struct Pair {
  const Expr& a;
  const Expr& b;
  Features of_a, of_b;
  bool has_symbols() const { return of_a.has_symbols || of_b.has_symbols; }
  bool has_absolute() const { return of_a.has_absolute || of_b.has_absolute; }
};

bool same_under(const Pair& pair, const Reading& for_a, const Reading& for_b, Budget& budget) {
  if (!pair.has_symbols()) {
    const Value a = evaluate(pair.a, 0, for_a, false, budget), b = evaluate(pair.b, 0, for_b, false, budget);
    if (!a.is_defined || !b.is_defined) return false;
    if (same_value(a, b)) return true;
    if (is_literal(pair.a, true) && !is_literal(pair.b, false)) return same_to_six_decimals(a, b);
    if (is_literal(pair.b, true) && !is_literal(pair.a, false)) return same_to_six_decimals(b, a);
    return false;
  }
  int compared = 0;
  for (int point = 0; point < kPoints; ++point) {
    const Value a = evaluate(pair.a, point, for_a, pair.has_absolute(), budget),
                b = evaluate(pair.b, point, for_b, pair.has_absolute(), budget);
    if (a.is_defined != b.is_defined) return false;
    if (!a.is_defined) continue;
    if (!same_value(a, b)) return false;
    ++compared;
  }
  return compared >= kPoints / 2;
}

std::vector<bool> readings(bool is_here, bool is_there) {
  if (is_here && !is_there) return {false, true};
  return {false};
}

}  // namespace

bool is_literal(const Expr& e, bool with_point) {
  if (e.kind == Kind::kNegative || e.kind == Kind::kPercent || e.kind == Kind::kDegree)
    return is_literal(e.parts[0], with_point);
  return e.kind == Kind::kNumber && e.repeating == 0 && (e.has_point || !with_point);
}

bool same_number(const Expr& a, const Expr& b, Budget& budget) {
  const Pair pair{a, b, features_of(a), features_of(b)};
  const Features &fa = pair.of_a, &fb = pair.of_b;
  std::vector<bool> logs = {false};
  if (fa.has_open_log || fb.has_open_log) logs.push_back(true);
  for (const bool log_is_decimal : logs)
    for (const bool a_hundredth : readings(fa.has_percent, fb.has_percent))
      for (const bool b_hundredth : readings(fb.has_percent, fa.has_percent))
        for (const bool a_angle : readings(fa.has_degree, fb.has_degree))
          for (const bool b_angle : readings(fb.has_degree, fa.has_degree))
            if (same_under(pair, {a_hundredth, a_angle, log_is_decimal}, {b_hundredth, b_angle, log_is_decimal},
                           budget))
              return true;
  return false;
}

bool same_up_to_factor(const Expr& a, const Expr& b, bool positive, Budget& budget) {
  const bool with_negatives = features_of(a).has_absolute || features_of(b).has_absolute;
  const Reading reading;
  Value first_a, first_b;
  int compared = 0;
  for (int point = 0; point < kPoints; ++point) {
    const Value va = evaluate(a, point, reading, with_negatives, budget),
                vb = evaluate(b, point, reading, with_negatives, budget);
    if (!va.is_defined || !vb.is_defined || va.infinity != 0 || vb.infinity != 0 || !va.is_finite || !vb.is_finite)
      return false;
    if (compared == 0) {
      const bool is_zero = std::abs(va.z) <= 64 * va.error || std::abs(vb.z) <= 64 * vb.error;
      if (is_zero || va.z == 0.0 || vb.z == 0.0) return false;
      const std::complex<double> factor = va.z / vb.z;
      if (positive && (std::abs(factor.imag()) > kRelative || factor.real() <= 0)) return false;
      first_a = va;
      first_b = vb;
    } else {
      if (va.is_exact && vb.is_exact && first_a.is_exact && first_b.is_exact) {
        if (!(va.residue * first_b.residue == vb.residue * first_a.residue)) return false;
      }
      const std::complex<double> left = va.z * first_b.z, right = vb.z * first_a.z;
      const double explained = 64 * (va.error * std::abs(first_b.z) + vb.error * std::abs(first_a.z));
      if (std::abs(left - right) >
          std::max(kRelative * std::max(std::abs(left), std::abs(right)), std::min(explained, kRelative)))
        return false;
    }
    ++compared;
  }
  return compared == kPoints;
}

std::optional<double> real_constant(const Expr& e, const Reading& reading, Budget& budget) {
  if (features_of(e).has_symbols) return std::nullopt;
  const Value v = evaluate(e, 0, reading, false, budget);
  if (!v.is_defined) return std::nullopt;
  if (v.infinity != 0) return v.infinity * std::numeric_limits<double>::infinity();
  if (!v.is_finite || std::abs(v.z.imag()) > std::max(64 * v.error, 1e-12 * std::abs(v.z))) return std::nullopt;
  return v.z.real();
}

}  // namespace kvgauge::math
