#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>

#include "core/host_device.h"

namespace kvgauge {

/// Number types that tensors, activations and KV pages are computed with. File-only types live in loader/.
enum class DType : std::uint8_t { kF32, kF16, kBF16 };

KVGAUGE_HOST_DEVICE constexpr std::size_t size_of(DType dtype) { return dtype == DType::kF32 ? 4 : 2; }
constexpr const char* name(DType dtype) { return dtype == DType::kF32 ? "f32" : dtype == DType::kF16 ? "f16" : "bf16"; }

/// bfloat16 as bits. Conversion rounds to nearest even; NaN stays NaN (quiet), infinities stay.
struct bf16_t {
  std::uint16_t bits = 0;
};
/// IEEE binary16 as bits. Same rounding; overflow gives infinity, subnormals are kept.
struct half_t {
  std::uint16_t bits = 0;
};

KVGAUGE_HOST_DEVICE constexpr float to_float(float x) { return x; }
KVGAUGE_HOST_DEVICE constexpr float to_float(bf16_t x) { return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16); }
KVGAUGE_HOST_DEVICE constexpr bf16_t to_bf16(float x) {
  const auto u = std::bit_cast<std::uint32_t>(x);
  if ((u & 0x7fffffffu) > 0x7f800000u) return {static_cast<std::uint16_t>((u >> 16) | 0x40u)};
  return {static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16)};
}
KVGAUGE_HOST_DEVICE constexpr float to_float(half_t x) {
  const std::uint32_t sign = static_cast<std::uint32_t>(x.bits & 0x8000u) << 16;
  const std::uint32_t exponent = (x.bits >> 10) & 0x1fu;
  const std::uint32_t fraction = x.bits & 0x3ffu;
  if (exponent == 0) {  // zero and subnormals: fraction * 2^-24, exact in f32
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (fraction << 13));
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
}
half_t to_half(float x);

}  // namespace kvgauge
