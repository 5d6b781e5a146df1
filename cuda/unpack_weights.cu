// out = values of a model file's blocks, widened to f32 and rounded once to the type of `out`. The formulas and their
// roundings are those of loader/stored_tensor.cpp (ggml's reference dequantisation): products and sums are rounded one
// by one (__fmul_rn, never contracted). One thread block per 2048 values: it brings their bytes to shared memory, 16 at
// a time, then every thread unpacks eight neighbours. Moved: the stored bytes once, rows * columns * out element bytes
// once.
#include "cuda/unpack_weights.h"

#include "core/check.h"
#include "cuda/row_access.cuh"

namespace kvgauge::cuda {

struct UnpackWeightsKernelArgs {
  const unsigned char* source;
  void* out;
  std::int64_t columns, out_stride, values, bytes;
  bool packed;  // out is written 16 bytes at a time
};

inline constexpr int kUnpackThreads = 256, kUnpackCount = 8, kUnpackTile = kUnpackThreads * kUnpackCount;
using Unpacked = Pack<float, kUnpackCount>;

__device__ __forceinline__ int low_bits(int byte) { return byte & 15; }
__device__ __forceinline__ int high_bits(int byte) { return byte >> 4; }
__device__ __forceinline__ std::uint32_t load_word16(const unsigned char* p) {
  return p[0] | static_cast<std::uint32_t>(p[1]) << 8;
}
__device__ __forceinline__ std::uint32_t load_word32(const unsigned char* p) {
  return load_word16(p) | load_word16(p + 2) << 16;
}
__device__ __forceinline__ float load_half(const unsigned char* p) {
  return to_float(half_t{static_cast<std::uint16_t>(load_word16(p))});
}

// A stored type: kElements values in kBytes; values() gives those at [first, first + 8) of a block, first a multiple
// of 8. The formats without blocks are cut into pieces of eight; what lies behind the last value of a tensor is zeros.

struct F32 {
  static constexpr int kElements = 8, kBytes = 32;
  __device__ static Unpacked values(const unsigned char* block, int) {
    Unpacked out;
    for (int i = 0; i < kUnpackCount; ++i) out.values[i] = std::bit_cast<float>(load_word32(block + 4 * i));
    return out;
  }
};

struct F16 {
  static constexpr int kElements = 8, kBytes = 16;
  __device__ static Unpacked values(const unsigned char* block, int) {
    Unpacked out;
    for (int i = 0; i < kUnpackCount; ++i) out.values[i] = load_half(block + 2 * i);
    return out;
  }
};

struct BF16 {
  static constexpr int kElements = 8, kBytes = 16;
  __device__ static Unpacked values(const unsigned char* block, int) {
    Unpacked out;
    for (int i = 0; i < kUnpackCount; ++i)
      out.values[i] = to_float(bf16_t{static_cast<std::uint16_t>(load_word16(block + 2 * i))});
    return out;
  }
};

struct Q8_0 {  // d, 32 signed bytes
  static constexpr int kElements = 32, kBytes = 34;
  __device__ static Unpacked values(const unsigned char* block, int first) {
    const float d = load_half(block);
    Unpacked out;
    for (int i = 0; i < kUnpackCount; ++i)
      out.values[i] = static_cast<float>(static_cast<signed char>(block[2 + first + i])) * d;
    return out;
  }
};

/// Blocks of 32 codes of four bits (values 0..15 in the low halves of 16 bytes, 16..31 in the high ones), behind them
/// in the header the fifth bits as one word if kFifths: d code + m, or d (code - 8 or 16) without a minimum.
template <bool kHasMinimum, bool kFifths>
struct FourBits {
  static constexpr int kFifthsAt = kHasMinimum ? 4 : 2, kCodesAt = kFifthsAt + (kFifths ? 4 : 0);
  static constexpr int kElements = 32, kBytes = kCodesAt + 16;
  __device__ static Unpacked values(const unsigned char* block, int first) {
    constexpr int kMiddle = kHasMinimum ? 0 : kFifths ? 16 : 8;
    const float d = load_half(block), m = kHasMinimum ? load_half(block + 2) : 0.f;
    const std::uint32_t fifths = kFifths ? load_word32(block + kFifthsAt) >> first : 0;
    Unpacked out;
    for (int i = 0; i < kUnpackCount; ++i) {
      const int byte = block[kCodesAt + first % 16 + i];
      const int code = (first < 16 ? low_bits(byte) : high_bits(byte)) | static_cast<int>(fifths >> i & 1u) << 4;
      const float product = __fmul_rn(static_cast<float>(code - kMiddle), d);
      out.values[i] = kHasMinimum ? __fadd_rn(product, m) : product;
    }
    return out;
  }
};
using Q4_0 = FourBits<false, false>;
using Q4_1 = FourBits<true, false>;
using Q5_0 = FourBits<false, true>;
using Q5_1 = FourBits<true, true>;

struct GroupScale {
  float scale, minimum;
};

/// Of group 0..7 of a K block. Twelve bytes hold eight 6-bit scales and eight 6-bit minimums: 0..3 in the low bits of
/// bytes 0..3 and 4..7; the others have their low four bits in bytes 8..11 and their upper two in the top bits of bytes
/// 0..7.
__device__ __forceinline__ GroupScale group_scale(const unsigned char* block, int group) {
  const float d = load_half(block), d_min = load_half(block + 2);
  const unsigned char* const packed = block + 4;
  const int scale = group < 4 ? packed[group] & 63 : low_bits(packed[group + 4]) | packed[group - 4] >> 6 << 4;
  const int minimum = group < 4 ? packed[group + 4] & 63 : high_bits(packed[group + 4]) | packed[group] >> 6 << 4;
  return {__fmul_rn(d, static_cast<float>(scale)), __fmul_rn(d_min, static_cast<float>(minimum))};
}

/// 256 codes of four bits in four pairs of groups of 32: the first of a pair in the low halves of 32 bytes, the second
/// in the high ones; if kFifths, bit g of byte i is the fifth bit of code i of group g.  value = scale code - minimum
template <bool kFifths>
struct FourBitsOfK {
  static constexpr int kFifthsAt = 16, kCodesAt = kFifths ? 48 : 16;
  static constexpr int kElements = 256, kBytes = kCodesAt + 128;
  __device__ static Unpacked values(const unsigned char* block, int first) {
    const int group = first / 32, place = first % 32;
    const GroupScale g = group_scale(block, group);
    const unsigned char* const codes = block + kCodesAt + group / 2 * 32 + place;
    Unpacked out;
    for (int i = 0; i < kUnpackCount; ++i) {
      const int fifth = kFifths ? (block[kFifthsAt + place + i] >> group & 1) << 4 : 0;
      const int code = (group % 2 == 0 ? low_bits(codes[i]) : high_bits(codes[i])) | fifth;
      out.values[i] = __fsub_rn(__fmul_rn(g.scale, static_cast<float>(code)), g.minimum);
    }
    return out;
  }
};
using Q4_K = FourBitsOfK<false>;
using Q5_K = FourBitsOfK<true>;

/// 256 codes of six bits in two halves of four groups of 32: low four bits in 64 bytes a half (groups 0, 1 the low, 2,
/// 3 the high halves), upper two bits of all four groups in 32 bytes a half; a signed scale for every 16 values, then
/// d.
struct Q6_K {
  static constexpr int kElements = 256, kBytes = 210;
  __device__ static Unpacked values(const unsigned char* block, int first) {
    const int half = first / 128, group = first / 32 % 4, place = first % 32;
    const float scale =
        __fmul_rn(load_half(block + 208), static_cast<float>(static_cast<signed char>(block[192 + first / 16])));
    const unsigned char* const lows = block + 64 * half + group % 2 * 32 + place;
    const unsigned char* const highs = block + 128 + 32 * half + place;
    Unpacked out;
    for (int i = 0; i < kUnpackCount; ++i) {
      const int code = (group < 2 ? low_bits(lows[i]) : high_bits(lows[i])) | (highs[i] >> (2 * group) & 3) << 4;
      out.values[i] = __fmul_rn(scale, static_cast<float>(code - 32));
    }
    return out;
  }
};

/// `bytes` from global to shared memory by the whole block, with zeros up to `padded`.
__device__ __forceinline__ void stage_bytes(const unsigned char* from, unsigned char* to, int bytes, int padded) {
  const int wide = reinterpret_cast<std::uintptr_t>(from) % 16 == 0 ? bytes / 16 * 16 : 0,
            thread = static_cast<int>(threadIdx.x);
  for (int at = thread * 16; at < wide; at += kUnpackThreads * 16)
    store_pack(reinterpret_cast<std::uint32_t*>(to + at), load_pack(reinterpret_cast<const std::uint32_t*>(from + at)));
  for (int at = wide + thread; at < padded; at += kUnpackThreads) to[at] = at < bytes ? from[at] : 0;
}

template <class Out>
__device__ __forceinline__ void store_unpacked(const UnpackWeightsKernelArgs& a, std::int64_t index,
                                               const Unpacked& unpacked) {
  const Pack<Out, kUnpackCount> values = narrowed<Out>(unpacked);
  Out* row = static_cast<Out*>(a.out) + index / a.columns * a.out_stride;
  std::int64_t column = index % a.columns;
  if (a.packed) {
    constexpr int kPart = kPackCount<Out>;
    for (int part = 0; part < kUnpackCount; part += kPart) {
      Pack<Out, kPart> piece;
      for (int i = 0; i < kPart; ++i) piece.values[i] = values.values[part + i];
      store_pack(row + column + part, piece);
    }
    return;
  }
  for (int i = 0; i < kUnpackCount && index + i < a.values; ++i) {
    row[column] = values.values[i];
    if (++column == a.columns) {
      column = 0;
      row += a.out_stride;
    }
  }
}

template <class Block, class Out>
__global__ void __launch_bounds__(kUnpackThreads) unpack_weights_kernel(UnpackWeightsKernelArgs a) {
  constexpr int kTileBytes = kUnpackTile / Block::kElements * Block::kBytes;
  static_assert(kTileBytes % 16 == 0, "every tile begins as aligned as the source");
  __shared__ Pack<std::uint32_t, 4> aligned_tile[kTileBytes / 16];
  auto* const staged = reinterpret_cast<unsigned char*>(aligned_tile);
  const std::int64_t tile = blockIdx.x, stored = a.bytes - tile * kTileBytes;
  const int bytes = stored < kTileBytes ? static_cast<int>(stored) : kTileBytes;
  stage_bytes(a.source + tile * kTileBytes, staged, bytes, (bytes + Block::kBytes - 1) / Block::kBytes * Block::kBytes);
  __syncthreads();
  const int place = static_cast<int>(threadIdx.x) * kUnpackCount;
  const std::int64_t index = tile * kUnpackTile + place;
  if (index >= a.values) return;
  store_unpacked<Out>(a, index,
                      Block::values(staged + place / Block::kElements * Block::kBytes, place % Block::kElements));
}

namespace {

template <class Block>
void launch_type(const UnpackWeightsArgs& args, StreamHandle stream) {
  const MatrixView& out = args.out;
  const std::int64_t values = out.rows * out.columns;
  const bool packed = out.columns % kUnpackCount == 0 &&
                      rows_are_aligned(out.data, out.stride, static_cast<std::int64_t>(size_of(out.dtype)),
                                       16 / static_cast<int>(size_of(out.dtype)));
  const LaunchShape shape{dim3(static_cast<unsigned>(ceil_div(values, kUnpackTile))), dim3(kUnpackThreads), 0};
  const auto bytes = static_cast<std::int64_t>(stored_bytes(args.type, static_cast<std::uint64_t>(values)));
  const UnpackWeightsKernelArgs a{
      reinterpret_cast<const unsigned char*>(args.source), out.data, out.columns, out.stride, values, bytes, packed};
  if (out.dtype == DType::kBF16) {
    launch(stream, shape, unpack_weights_kernel<Block, bf16_t>, a);
  } else {
    launch(stream, shape, unpack_weights_kernel<Block, float>, a);
  }
}

}  // namespace

void launch_unpack_weights(const UnpackWeightsArgs& args, StreamHandle stream) {
  const MatrixView& out = args.out;
  KVGAUGE_CHECK(out.dtype != DType::kF16 && out.columns % block_elements(args.type) == 0, "out is ", name(out.dtype),
                "[", out.rows, ",", out.columns, "] of ", name(args.type));
  if (out.rows == 0 || out.columns == 0) return;
  switch (args.type) {
    case StoredType::kF32: return launch_type<F32>(args, stream);
    case StoredType::kF16: return launch_type<F16>(args, stream);
    case StoredType::kBF16: return launch_type<BF16>(args, stream);
    case StoredType::kQ8_0: return launch_type<Q8_0>(args, stream);
    case StoredType::kQ4_0: return launch_type<Q4_0>(args, stream);
    case StoredType::kQ4_1: return launch_type<Q4_1>(args, stream);
    case StoredType::kQ5_0: return launch_type<Q5_0>(args, stream);
    case StoredType::kQ5_1: return launch_type<Q5_1>(args, stream);
    case StoredType::kQ4_K: return launch_type<Q4_K>(args, stream);
    case StoredType::kQ5_K: return launch_type<Q5_K>(args, stream);
    case StoredType::kQ6_K: return launch_type<Q6_K>(args, stream);
  }
}

}  // namespace kvgauge::cuda
