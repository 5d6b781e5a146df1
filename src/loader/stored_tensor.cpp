#include "loader/stored_tensor.h"

#include <bit>
#include <cstring>

#include "core/check.h"
#include "core/dtype.h"

// The block formats of GGUF, as ggml's reference dequantisation defines them. Every value is one or two float
// operations on widened half scales, in the order written here, so results are equal bit for bit on every machine.
namespace kvgauge {
namespace {

static_assert(std::endian::native == std::endian::little, "model files are little endian and are read in place");

template <class T>
T load(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}
float load_half(const std::byte* p) { return to_float(half_t{load<std::uint16_t>(p)}); }
int byte_at(const std::byte* p, int i) { return std::to_integer<int>(p[i]); }
int low(int byte) { return byte & 15; }
int high(int byte) { return byte >> 4; }

void q8_0(const std::byte* block, float* out) {
  const float d = load_half(block);
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(load<std::int8_t>(block + 2 + i)) * d;
}

void q4_0(const std::byte* block, float* out) {
  const float d = load_half(block);
  for (int i = 0; i < 16; ++i) {
    const int q = byte_at(block + 2, i);
    out[i] = static_cast<float>(low(q) - 8) * d;
    out[i + 16] = static_cast<float>(high(q) - 8) * d;
  }
}

void q4_1(const std::byte* block, float* out) {
  const float d = load_half(block), m = load_half(block + 2);
  for (int i = 0; i < 16; ++i) {
    const int q = byte_at(block + 4, i);
    out[i] = static_cast<float>(low(q)) * d + m;
    out[i + 16] = static_cast<float>(high(q)) * d + m;
  }
}

// The fifth bits of values 0..31 are the bits of one 32-bit word.
int fifth(std::uint32_t bits, int i) { return static_cast<int>((bits >> i) & 1u) << 4; }

void q5_0(const std::byte* block, float* out) {
  const float d = load_half(block);
  const auto bits = load<std::uint32_t>(block + 2);
  for (int i = 0; i < 16; ++i) {
    const int q = byte_at(block + 6, i);
    out[i] = static_cast<float>((low(q) | fifth(bits, i)) - 16) * d;
    out[i + 16] = static_cast<float>((high(q) | fifth(bits, i + 16)) - 16) * d;
  }
}

void q5_1(const std::byte* block, float* out) {
  const float d = load_half(block), m = load_half(block + 2);
  const auto bits = load<std::uint32_t>(block + 4);
  for (int i = 0; i < 16; ++i) {
    const int q = byte_at(block + 8, i);
    out[i] = static_cast<float>(low(q) | fifth(bits, i)) * d + m;
    out[i + 16] = static_cast<float>(high(q) | fifth(bits, i + 16)) * d + m;
  }
}

// Twelve bytes hold eight 6-bit scales and eight 6-bit minimums: 0..3 in the low bits of bytes 0..3 and 4..7; the
// others have their low four bits in bytes 8..11 and their upper two in the top bits of bytes 0..7.
struct ScaleAndMin {
  float scale, min;
};
ScaleAndMin scale_and_min(const std::byte* packed, int group, float d, float d_min) {
  int scale, min;
  if (group < 4) {
    scale = byte_at(packed, group) & 63;
    min = byte_at(packed, group + 4) & 63;
  } else {
    scale = low(byte_at(packed, group + 4)) | ((byte_at(packed, group - 4) >> 6) << 4);
    min = high(byte_at(packed, group + 4)) | ((byte_at(packed, group) >> 6) << 4);
  }
  return {d * static_cast<float>(scale), d_min * static_cast<float>(min)};
}

void q4_k(const std::byte* block, float* out) {
  const float d = load_half(block), d_min = load_half(block + 2);
  for (int pair = 0; pair < 4; ++pair) {
    const auto a = scale_and_min(block + 4, 2 * pair, d, d_min), b = scale_and_min(block + 4, 2 * pair + 1, d, d_min);
    const std::byte* const codes = block + 16 + 32 * pair;
    for (int i = 0; i < 32; ++i) {
      out[64 * pair + i] = a.scale * static_cast<float>(low(byte_at(codes, i))) - a.min;
      out[64 * pair + 32 + i] = b.scale * static_cast<float>(high(byte_at(codes, i))) - b.min;
    }
  }
}

void q5_k(const std::byte* block, float* out) {
  const float d = load_half(block), d_min = load_half(block + 2);
  const std::byte* const fifths = block + 16;
  for (int pair = 0; pair < 4; ++pair) {
    const auto a = scale_and_min(block + 4, 2 * pair, d, d_min), b = scale_and_min(block + 4, 2 * pair + 1, d, d_min);
    const std::byte* const codes = block + 48 + 32 * pair;
    for (int i = 0; i < 32; ++i) {
      const int bits = byte_at(fifths, i) >> (2 * pair), q = byte_at(codes, i);
      out[64 * pair + i] = a.scale * static_cast<float>(low(q) | ((bits & 1) << 4)) - a.min;
      out[64 * pair + 32 + i] = b.scale * static_cast<float>(high(q) | ((bits & 2) << 3)) - b.min;
    }
  }
}

void q6_k(const std::byte* block, float* out) {
  const float d = load_half(block + 208);
  for (int half = 0; half < 2; ++half) {
    const std::byte* const lows = block + 64 * half;
    const std::byte* const highs = block + 128 + 32 * half;
    const std::byte* const scales = block + 192 + 8 * half;
    float* const y = out + 128 * half;
    for (int i = 0; i < 32; ++i) {
      const int bits = byte_at(highs, i);
      const auto value = [&](int quarter, int nibble) {
        const float scale = d * static_cast<float>(load<std::int8_t>(scales + 2 * quarter + i / 16));
        return scale * static_cast<float>((nibble | (((bits >> (2 * quarter)) & 3) << 4)) - 32);
      };
      y[i] = value(0, low(byte_at(lows, i)));
      y[i + 32] = value(1, low(byte_at(lows, i + 32)));
      y[i + 64] = value(2, high(byte_at(lows, i)));
      y[i + 96] = value(3, high(byte_at(lows, i + 32)));
    }
  }
}

template <class Block>
void widen_blocks(Block block, StoredType type, const std::byte* source, std::int64_t elements, float* out) {
  const std::int64_t step = block_elements(type);
  const std::uint64_t bytes = stored_bytes(type, static_cast<std::uint64_t>(step));
  for (std::int64_t done = 0; done < elements; done += step, source += bytes) block(source, out + done);
}

}  // namespace

void widen(StoredType type, const std::byte* source, std::int64_t elements, float* out) {
  KVGAUGE_CHECK(elements >= 0 && elements % block_elements(type) == 0, elements, " elements of ", name(type));
  const auto blocks = [&](auto block) { widen_blocks(block, type, source, elements, out); };
  switch (type) {
    case StoredType::kF32: std::memcpy(out, source, static_cast<std::size_t>(elements) * 4); return;
    case StoredType::kF16: return blocks([](const std::byte* p, float* y) { *y = load_half(p); });
    case StoredType::kBF16:
      return blocks([](const std::byte* p, float* y) { *y = to_float(bf16_t{load<std::uint16_t>(p)}); });
    case StoredType::kQ8_0: return blocks(q8_0);
    case StoredType::kQ4_0: return blocks(q4_0);
    case StoredType::kQ4_1: return blocks(q4_1);
    case StoredType::kQ5_0: return blocks(q5_0);
    case StoredType::kQ5_1: return blocks(q5_1);
    case StoredType::kQ4_K: return blocks(q4_k);
    case StoredType::kQ5_K: return blocks(q5_k);
    case StoredType::kQ6_K: return blocks(q6_k);
  }
}

}  // namespace kvgauge
