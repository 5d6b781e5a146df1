#include "core/dtype.h"

#include <cmath>

namespace kvgauge {

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
