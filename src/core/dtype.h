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
float to_float(half_t x);
half_t to_half(float x);

}  // namespace kvgauge
