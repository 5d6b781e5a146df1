#include "models/narrow.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "core/check.h"
#include "core/dtype.h"

namespace kvgauge::bench {
namespace {

template <class T>
void store(std::byte* p, T value) {
  std::memcpy(p, &value, sizeof(T));
}
void store_half(std::byte* p, float x) { store(p, to_half(x).bits); }
std::byte byte_of(int low, int high) { return static_cast<std::byte>(low | high << 4); }

/// The value of the largest size, the first of equal ones.
float largest(const float* x, int count) {
  return *std::max_element(x, x + count, [](float a, float b) { return std::fabs(a) < std::fabs(b); });
}
/// 0 where the reciprocal overflows: such a scale is 0 as a half.
float reciprocal(float scale) {
  const float inverse = scale == 0 ? 0 : 1 / scale;
  return std::isfinite(inverse) ? inverse : 0;
}
/// The smallest half that is not below x >= 0.
float half_at_least(float x) {
  half_t half = to_half(x);
  if (to_float(half) < x) ++half.bits;
  return to_float(half);
}
int clamped(float x, int least, int most) {
  return static_cast<int>(std::clamp(x, static_cast<float>(least), static_cast<float>(most)));
}

void q8_0(const float* x, std::byte* block) {
  const float scale = std::fabs(largest(x, 32)) / 127, inverse = reciprocal(scale);
  store_half(block, scale);
  for (int i = 0; i < 32; ++i) store(block + 2 + i, static_cast<std::int8_t>(std::round(x[i] * inverse)));
}

// The largest value gets the code of the negative end, so that all codes are used; one of the other sign and about that
// size is clipped by up to a step.
float signed_scale(const float* x, int half_range) { return largest(x, 32) / static_cast<float>(-half_range); }

void q4_0(const float* x, std::byte* block) {
  const float scale = signed_scale(x, 8), inverse = reciprocal(scale);
  store_half(block, scale);
  const auto code = [&](int i) { return clamped(x[i] * inverse + 8.5f, 0, 15); };
  for (int i = 0; i < 16; ++i) block[2 + i] = byte_of(code(i), code(i + 16));
}

void q4_1(const float* x, std::byte* block) {
  const auto ends = std::minmax_element(x, x + 32);
  const float low = *ends.first, scale = (*ends.second - low) / 15, inverse = reciprocal(scale);
  store_half(block, scale);
  store_half(block + 2, low);
  const auto code = [&](int i) { return clamped((x[i] - low) * inverse + 0.5f, 0, 15); };
  for (int i = 0; i < 16; ++i) block[4 + i] = byte_of(code(i), code(i + 16));
}

void q5_0(const float* x, std::byte* block) {
  const float scale = signed_scale(x, 16), inverse = reciprocal(scale);
  store_half(block, scale);
  std::uint32_t fifths = 0;
  std::array<int, 32> codes;
  for (int i = 0; i < 32; ++i) {
    codes[static_cast<std::size_t>(i)] = clamped(x[i] * inverse + 16.5f, 0, 31);
    fifths |= static_cast<std::uint32_t>(codes[static_cast<std::size_t>(i)] >> 4) << i;
  }
  store(block + 2, fifths);
  for (std::size_t i = 0; i < 16; ++i) block[6 + i] = byte_of(codes[i] & 15, codes[i + 16] & 15);
}

/// How many steps of `unit` cover `size`, at most `most`.
int steps_over(float size, float unit, int most) { return unit > 0 ? clamped(std::ceil(size / unit), 0, most) : 0; }

// Eight groups of 32: x = d * scale * code - d_min * min, scale and min in 6 bits. The minimums first, then scales that
// reach each group's largest value from its minimum as stored.
void q4_k(const float* x, std::byte* block) {
  std::array<float, 8> below, span;
  std::array<int, 8> scale, min;
  for (std::size_t g = 0; g < 8; ++g) below[g] = -std::min(0.0f, *std::min_element(x + 32 * g, x + 32 * g + 32));
  const float d_min = half_at_least(*std::max_element(below.begin(), below.end()) / 63);
  for (std::size_t g = 0; g < 8; ++g) {
    min[g] = steps_over(below[g], d_min, 63);
    const float top = *std::max_element(x + 32 * g, x + 32 * g + 32);
    span[g] = std::max(0.0f, top + d_min * static_cast<float>(min[g])) / 15;
  }
  const float d = half_at_least(*std::max_element(span.begin(), span.end()) / 63);
  for (std::size_t g = 0; g < 8; ++g) scale[g] = steps_over(span[g], d, 63);

  store_half(block, d);
  store_half(block + 2, d_min);
  for (std::size_t g = 0; g < 4; ++g) {  // the packing is described in loader/stored_tensor.cpp
    block[4 + g] = static_cast<std::byte>(scale[g] | (scale[g + 4] >> 4) << 6);
    block[8 + g] = static_cast<std::byte>(min[g] | (min[g + 4] >> 4) << 6);
    block[12 + g] = byte_of(scale[g + 4] & 15, min[g + 4] & 15);
  }
  const auto code = [&](std::size_t g, std::size_t i) {
    const float step = d * static_cast<float>(scale[g]);
    return step > 0 ? clamped(std::round((x[32 * g + i] + d_min * static_cast<float>(min[g])) / step), 0, 15) : 0;
  };
  for (std::size_t pair = 0; pair < 4; ++pair)
    for (std::size_t i = 0; i < 32; ++i) block[16 + 32 * pair + i] = byte_of(code(2 * pair, i), code(2 * pair + 1, i));
}

// Sixteen groups of 16: x = d * scale * (code - 32), scale a signed byte, here never negative.
void q6_k(const float* x, std::byte* block) {
  std::array<float, 16> step;
  for (std::size_t g = 0; g < 16; ++g) step[g] = std::fabs(largest(x + 16 * g, 16)) / 31;
  const float d = half_at_least(*std::max_element(step.begin(), step.end()) / 127);
  std::array<int, 256> codes;
  for (std::size_t g = 0; g < 16; ++g) {
    const int scale = steps_over(step[g], d, 127);
    store(block + 192 + g, static_cast<std::int8_t>(scale));
    for (std::size_t i = 16 * g; i < 16 * g + 16; ++i)
      codes[i] = scale == 0 ? 32 : clamped(std::round(x[i] / (d * static_cast<float>(scale))), -31, 31) + 32;
  }
  store_half(block + 208, d);
  for (std::size_t half = 0; half < 2; ++half) {
    const int* const c = codes.data() + 128 * half;
    for (std::size_t i = 0; i < 64; ++i) block[64 * half + i] = byte_of(c[i] & 15, c[i + 64] & 15);
    for (std::size_t i = 0; i < 32; ++i)
      block[128 + 32 * half + i] =
          static_cast<std::byte>(c[i] >> 4 | c[i + 32] >> 4 << 2 | c[i + 64] >> 4 << 4 | c[i + 96] >> 4 << 6);
  }
}

template <class Block>
void narrow_blocks(Block block, StoredType type, const float* source, std::int64_t elements, std::byte* out) {
  const std::int64_t step = block_elements(type);
  const std::uint64_t bytes = stored_bytes(type, static_cast<std::uint64_t>(step));
  for (std::int64_t done = 0; done < elements; done += step, out += bytes) block(source + done, out);
}

}  // namespace

std::vector<StoredType> written_types() {
  return {StoredType::kF32,  StoredType::kF16,  StoredType::kBF16, StoredType::kQ8_0, StoredType::kQ4_0,
          StoredType::kQ4_1, StoredType::kQ5_0, StoredType::kQ4_K, StoredType::kQ6_K};
}

void narrow(StoredType type, const float* source, std::int64_t elements, std::byte* out) {
  KVGAUGE_CHECK(elements >= 0 && elements % block_elements(type) == 0, elements, " elements of ", name(type));
  const auto blocks = [&](auto block) { narrow_blocks(block, type, source, elements, out); };
  switch (type) {
    case StoredType::kF32: std::memcpy(out, source, static_cast<std::size_t>(elements) * 4); return;
    case StoredType::kF16: return blocks([](const float* x, std::byte* p) { store_half(p, *x); });
    case StoredType::kBF16: return blocks([](const float* x, std::byte* p) { store(p, to_bf16(*x).bits); });
    case StoredType::kQ8_0: return blocks(q8_0);
    case StoredType::kQ4_0: return blocks(q4_0);
    case StoredType::kQ4_1: return blocks(q4_1);
    case StoredType::kQ5_0: return blocks(q5_0);
    case StoredType::kQ4_K: return blocks(q4_k);
    case StoredType::kQ6_K: return blocks(q6_k);
    case StoredType::kQ5_1:
    case StoredType::kQ5_K: break;
  }
  KVGAUGE_CHECK(false, name(type), " is not written");
}

}  // namespace kvgauge::bench
