#include "core/dtype.h"

#include <cmath>

namespace kvgauge {

float to_float(half_t x) {
  const std::uint32_t sign = static_cast<std::uint32_t>(x.bits & 0x8000u) << 16;
  const std::uint32_t exponent = (x.bits >> 10) & 0x1fu;
  const std::uint32_t fraction = x.bits & 0x3ffu;
  if (exponent == 0) {  // zero and subnormals: fraction * 2^-24, exact in f32
    const float magnitude = std::ldexp(static_cast<float>(fraction), -24);
    return sign ? -magnitude : magnitude;
  }
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (fraction << 13));
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
}

half_t to_half(float x) {
  const auto u = std::bit_cast<std::uint32_t>(x);
  const auto sign = static_cast<std::uint16_t>((u >> 16) & 0x8000u);
  const std::uint32_t magnitude = u & 0x7fffffffu;
  const auto bits = [&](std::uint32_t low) { return half_t{static_cast<std::uint16_t>(sign | low)}; };
  if (magnitude > 0x7f800000u) return bits(0x7e00u);
  if (magnitude >= 0x477ff000u) return bits(0x7c00u);  // 65520 and above round to infinity
  if (magnitude < 0x38800000u)                         // below 2^-14: a multiple of 2^-24, rounded to even
    return bits(static_cast<std::uint32_t>(std::nearbyint(std::ldexp(std::bit_cast<float>(magnitude), 24))));
  const std::uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return bits((rounded - 0x38000000u) >> 13);
}

}  // namespace kvgauge
