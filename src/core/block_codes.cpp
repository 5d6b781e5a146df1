#include "core/block_codes.h"

#include "core/check.h"
#include "core/dtype.h"
#include "core/load_bytes.h"

// The block formats of GGUF, as ggml's reference dequantisation defines them.
namespace kvgauge {
namespace {

float load_half(const std::byte* p) { return to_float(half_t{load_bytes<std::uint16_t>(p)}); }
int byte_at(const std::byte* p, int i) { return std::to_integer<int>(p[i]); }
int low(int byte) { return byte & 15; }
int high(int byte) { return byte >> 4; }
std::uint8_t code(int value) { return static_cast<std::uint8_t>(value); }

void q8_0(const std::byte* block, BlockCodes& out) {
  out.scale[0] = load_half(block);
  for (std::size_t i = 0; i < 32; ++i) out.codes[i] = code(load_bytes<std::int8_t>(block + 2 + i) + 128);
}

/// Codes 0..15 are the low halves of 16 bytes, 16..31 the high ones.
void nibbles(const std::byte* packed, BlockCodes& out) {
  for (int i = 0; i < 16; ++i) {
    const auto at = static_cast<std::size_t>(i);
    out.codes[at] = code(low(byte_at(packed, i)));
    out.codes[at + 16] = code(high(byte_at(packed, i)));
  }
}
/// The fifth bits of codes 0..31 are the bits of one 32-bit word.
void fifth_bits(std::uint32_t bits, BlockCodes& out) {
  for (std::size_t i = 0; i < 32; ++i) out.codes[i] = code(out.codes[i] | static_cast<int>((bits >> i) & 1u) << 4);
}

void q4_0(const std::byte* block, BlockCodes& out) {
  out.scale[0] = load_half(block);
  nibbles(block + 2, out);
}
void q4_1(const std::byte* block, BlockCodes& out) {
  out.scale[0] = load_half(block);
  out.shift[0] = load_half(block + 2);
  nibbles(block + 4, out);
}
void q5_0(const std::byte* block, BlockCodes& out) {
  out.scale[0] = load_half(block);
  nibbles(block + 6, out);
  fifth_bits(load_bytes<std::uint32_t>(block + 2), out);
}
void q5_1(const std::byte* block, BlockCodes& out) {
  out.scale[0] = load_half(block);
  out.shift[0] = load_half(block + 2);
  nibbles(block + 8, out);
  fifth_bits(load_bytes<std::uint32_t>(block + 4), out);
}

// Two halves d and d_min, then twelve bytes with eight 6-bit scales and eight 6-bit minimums: 0..3 in the low bits of
// bytes 0..3 and 4..7; the others have their low four bits in bytes 8..11 and their upper two in the top bits of bytes
// 0..7. A minimum is subtracted.
void scales_and_minimums(const std::byte* block, BlockCodes& out) {
  const float d = load_half(block), d_min = load_half(block + 2);
  const std::byte* const packed = block + 4;
  for (int group = 0; group < 8; ++group) {
    int scale, minimum;
    if (group < 4) {
      scale = byte_at(packed, group) & 63;
      minimum = byte_at(packed, group + 4) & 63;
    } else {
      scale = low(byte_at(packed, group + 4)) | ((byte_at(packed, group - 4) >> 6) << 4);
      minimum = high(byte_at(packed, group + 4)) | ((byte_at(packed, group) >> 6) << 4);
    }
    out.scale[static_cast<std::size_t>(group)] = d * static_cast<float>(scale);
    out.shift[static_cast<std::size_t>(group)] = -(d_min * static_cast<float>(minimum));
  }
}
/// 64 codes from 32 bytes: the low halves, then the high ones; four times.
void nibbles_of_pairs(const std::byte* packed, BlockCodes& out) {
  for (int pair = 0; pair < 4; ++pair)
    for (int i = 0; i < 32; ++i) {
      const int byte = byte_at(packed, 32 * pair + i);
      const auto at = static_cast<std::size_t>(64 * pair + i);
      out.codes[at] = code(low(byte));
      out.codes[at + 32] = code(high(byte));
    }
}

void q4_k(const std::byte* block, BlockCodes& out) {
  scales_and_minimums(block, out);
  nibbles_of_pairs(block + 16, out);
}
void q5_k(const std::byte* block, BlockCodes& out) {
  scales_and_minimums(block, out);
  nibbles_of_pairs(block + 48, out);
  for (int group = 0; group < 8; ++group)  // bit g of byte i is the fifth of code i of group g
    for (int i = 0; i < 32; ++i) {
      std::uint8_t& c = out.codes[static_cast<std::size_t>(32 * group + i)];
      c = code(c | ((byte_at(block + 16, i) >> group) & 1) << 4);
    }
}

void q6_k(const std::byte* block, BlockCodes& out) {
  const float d = load_half(block + 208);
  for (std::size_t group = 0; group < 16; ++group)
    out.scale[group] = d * static_cast<float>(load_bytes<std::int8_t>(block + 192 + group));
  for (int half = 0; half < 2; ++half) {
    const std::byte* const lows = block + 64 * half;
    const std::byte* const highs = block + 128 + 32 * half;
    std::uint8_t* const to = out.codes.data() + 128 * half;
    for (int i = 0; i < 32; ++i) {
      const int bits = byte_at(highs, i);
      const auto put = [&](int quarter, int nibble) {
        to[32 * quarter + i] = code(nibble | (((bits >> (2 * quarter)) & 3) << 4));
      };
      put(0, low(byte_at(lows, i)));
      put(1, low(byte_at(lows, i + 32)));
      put(2, high(byte_at(lows, i)));
      put(3, high(byte_at(lows, i + 32)));
    }
  }
}

}  // namespace

std::optional<CodeFormat> code_format(StoredType type) {
  switch (type) {
    case StoredType::kF32:
    case StoredType::kF16:
    case StoredType::kBF16: break;
    case StoredType::kQ8_0: return CodeFormat{.bits = 8, .offset = 128};
    case StoredType::kQ4_0: return CodeFormat{.bits = 4, .offset = 8};
    case StoredType::kQ5_0: return CodeFormat{.bits = 5, .offset = 16};
    case StoredType::kQ4_1:
    case StoredType::kQ4_K: return CodeFormat{.bits = 4, .shifted = true};
    case StoredType::kQ5_1:
    case StoredType::kQ5_K: return CodeFormat{.bits = 5, .shifted = true};
    case StoredType::kQ6_K: return CodeFormat{.bits = 6, .group = 16, .offset = 32};
  }
  return std::nullopt;
}

void read_block_codes(StoredType type, const std::byte* block, BlockCodes& out) {
  switch (type) {
    case StoredType::kF32:
    case StoredType::kF16:
    case StoredType::kBF16: break;
    case StoredType::kQ8_0: return q8_0(block, out);
    case StoredType::kQ4_0: return q4_0(block, out);
    case StoredType::kQ4_1: return q4_1(block, out);
    case StoredType::kQ5_0: return q5_0(block, out);
    case StoredType::kQ5_1: return q5_1(block, out);
    case StoredType::kQ4_K: return q4_k(block, out);
    case StoredType::kQ5_K: return q5_k(block, out);
    case StoredType::kQ6_K: return q6_k(block, out);
  }
  KVGAUGE_CHECK(false, name(type), " has no codes");
}

}  // namespace kvgauge
