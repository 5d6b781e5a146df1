// Products of activation rows with one panel of a weight kept in codes (CodedTask says how it is stored).
//   out[r, c] = sum over groups g of x_scale[r, g] * scale[c, g] * (sum over k in g of x_code[r, k] (code[c, k] -
//   offset))
//                                    + shift[c, g] * x_scale[r, g] * (sum over k in g of x_code[r, k])
// The sums over k are exact in 32-bit integers (at most 32 * 255 * 127 in magnitude); the sum over groups is one chain
// of fused steps, so the bits of a row do not depend on the number of rows.
#include "cpu/kernels/fetch.h"
#include "cpu/kernels/table.h"

namespace kvgauge::cpu::KVGAUGE_ISA {
namespace {

// Two accumulators for each output, and four codes at a time.
#if defined(__AVX512F__)
constexpr int kTileRows = 3, kTileVectors = 4;  // 24 of 32 registers
#else
constexpr int kTileRows = 2, kTileVectors = 2;  // 8 of 16, the rest for the products without dot instructions
#endif

KVGAUGE_INLINE Ints broadcast_int(std::int32_t x) { return (Ints)broadcast_word(static_cast<std::uint32_t>(x)); }

#if !defined(__AVX512VNNI__)
KVGAUGE_INLINE Ints add_products(Ints sum, Words a, Words b) {  // of pairs of signed 16-bit numbers
#if defined(__AVX512F__)
  return sum + (Ints)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return sum + (Ints)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#else
  return sum + (Ints)_mm_madd_epi16((__m128i)a, (__m128i)b);
#endif
}
/// The low bytes of the 16-bit halves, widened with their sign.
KVGAUGE_INLINE Words signed_low(Words x) {
  const Words bytes = x & 0x00ff00ffu;
  return bytes | (((bytes >> 7) & 0x00010001u) * 0xff00u);
}
#endif

/// sum + the dot product of four unsigned codes with four signed ones, exactly. (The older instructions for this
/// saturate their pairs at 16 bits; 2 * 255 * 127 does not fit.)
KVGAUGE_INLINE Ints dot4(Ints sum, Words codes, Words x) {
#if defined(__AVX512VNNI__)
  return (Ints)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)codes, (__m512i)x);
#else
  sum = add_products(sum, codes & 0x00ff00ffu, signed_low(x));
  return add_products(sum, (codes >> 8) & 0x00ff00ffu, signed_low(x >> 8));
#endif
}

KVGAUGE_INLINE Floats load_f16(const char* p) {
#if defined(__AVX512F__)
  return (Floats)_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#else
  return widen_f16(load_halves(p));
#endif
}

template <bool kNibbles, bool kShifted, int kGroup>
struct Format {
  static constexpr bool nibbles = kNibbles, shifted = kShifted;
  static constexpr int group = kGroup;
  static constexpr int quads = kGroup / 4 / (kNibbles ? 2 : 1);  ///< rows of [64][4] codes stored for a group
  static constexpr std::int64_t code_bytes = quads * kPanelColumns * 4;
  static constexpr std::int64_t bytes = coded_group_bytes(kGroup, kNibbles, kShifted);
  static_assert(code_bytes + (kShifted ? 2 : 1) * kPanelColumns * 2 == bytes);
};

template <int kRows, int kVectors>
struct Dots {
  Ints sum[kRows][kVectors];

  /// @param x the four codes of each row
  KVGAUGE_INLINE void add(Dots& dots, const Words (&codes)[kVectors], const char* x, std::int64_t x_stride) {
    for (int r = 0; r < kRows; ++r) {
      std::uint32_t word;
      std::memcpy(&word, x + r * x_stride, 4);
      const Words four = broadcast_word(word);
      for (int v = 0; v < kVectors; ++v) dots.sum[r][v] = dot4(dots.sum[r][v], codes[v], four);
    }
  }
};

template <class F, int kRows, int kVectors>
void product_tile(const CodedTask& task, std::int64_t row, int column, Fetch fetch) {
  const std::int64_t depth = task.depth, groups = depth / F::group;
  // pointers that walk from group to group, all else at constant distances: there are few registers for addresses
  const char* x = reinterpret_cast<const char*>(task.x) + row * depth;
  const float* x_scales = task.x_scales + row * groups;
  const std::int32_t* x_sums = task.x_sums + row * groups;
  const char* codes = static_cast<const char*>(task.panel) + std::int64_t{column} * 4;
  const char* scales = static_cast<const char*>(task.panel) + F::code_bytes + std::int64_t{column} * 2;
  Floats total[kRows][kVectors];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) total[r][v] = zeros();
  for (const char* const end = x + depth; x != end;
       x += F::group, ++x_scales, ++x_sums, codes += F::bytes, scales += F::bytes) {
    Fetch::step(fetch);
    Dots<kRows, kVectors> dots;
    for (int r = 0; r < kRows; ++r)
      for (int v = 0; v < kVectors; ++v)
        dots.sum[r][v] = F::shifted ? (Ints)zeros() : broadcast_int(-task.offset * x_sums[r * groups]);
    for (int quad = 0; quad < F::quads; ++quad) {
      Words w[kVectors];
      for (int v = 0; v < kVectors; ++v) w[v] = load_words(codes + quad * kPanelColumns * 4 + v * kLanes * 4);
      if constexpr (F::nibbles) {
        Words lows[kVectors];
        for (int v = 0; v < kVectors; ++v) {
          lows[v] = w[v] & 0x0f0f0f0fu;
          w[v] = (w[v] >> 4) & 0x0f0f0f0fu;
        }
        Dots<kRows, kVectors>::add(dots, lows, x + quad * 4, depth);
        Dots<kRows, kVectors>::add(dots, w, x + quad * 4 + F::group / 2, depth);
      } else {
        Dots<kRows, kVectors>::add(dots, w, x + quad * 4, depth);
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      const Floats scale = load_f16(scales + v * kLanes * 2);
      for (int r = 0; r < kRows; ++r)
        total[r][v] =
            fused_multiply_add(to_floats(dots.sum[r][v]), scale * broadcast(x_scales[r * groups]), total[r][v]);
      if constexpr (F::shifted) {
        const Floats shift = load_f16(scales + (kPanelColumns + v * kLanes) * 2);
        for (int r = 0; r < kRows; ++r) {
          const float x_sum = x_scales[r * groups] * static_cast<float>(x_sums[r * groups]);
          total[r][v] = fused_multiply_add(shift, broadcast(x_sum), total[r][v]);
        }
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    float* out = task.out + (row + r) * task.out_stride + column;
    for (int v = 0; v < kVectors; ++v) {
      const int columns = task.last - column - v * kLanes;
      if (columns >= kLanes) {
        store(out + v * kLanes, total[r][v]);
      } else if (columns > 0) {
        store_some(out + v * kLanes, total[r][v], columns);
      }
    }
  }
}

template <class F, int kVectors>
void product_columns(const CodedTask& task, int column) {
  const std::int64_t tiles = (task.rows + kTileRows - 1) / kTileRows;
  std::int64_t row = 0;
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
    const auto rows = (task.rows - row + (tiles - tile) - 1) / (tiles - tile);
    Fetch fetch;
    if constexpr (kVectors * kLanes == kPanelColumns)
      fetch = share_of_tile(task.coming, tile, tiles, task.depth / F::group, F::bytes);
    fetch_results(task.rows, task.out + row * task.out_stride + column, task.out_stride, rows, kVectors * kLanes);
    switch (rows) {
      case 1: product_tile<F, 1, kVectors>(task, row, column, fetch); break;
      case 2: product_tile<F, 2, kVectors>(task, row, column, fetch); break;
      default: product_tile<F, kTileRows, kVectors>(task, row, column, fetch); break;
    }
    row += rows;
  }
}

template <class F>
void product(const CodedTask& task) {
  constexpr int kColumns = kTileVectors * kLanes;
  int column = task.first;
  for (; column + kColumns <= kPanelColumns && column < task.last; column += kColumns) {
    if (kColumns > 32 && task.last - column <= 32) break;
    product_columns<F, kTileVectors>(task, column);
  }
  if constexpr (kColumns > 32) {
    if (column < task.last) product_columns<F, kTileVectors / 2>(task, column);
  }
}

}  // namespace

void panel_coded(const CodedTask& task) {
  if (task.nibbles)
    return task.shifted ? product<Format<true, true, 32>>(task) : product<Format<true, false, 32>>(task);
  if (task.group == 16) return product<Format<false, false, 16>>(task);
  return task.shifted ? product<Format<false, true, 32>>(task) : product<Format<false, false, 32>>(task);
}

template <class T>
static void code_groups(const T* x, std::int64_t count, int group, std::int8_t* codes, float* scales,
                        std::int32_t* sums) {
  for (std::int64_t g = 0; g < count / group; ++g, x += group, codes += group) {
    Floats most = zeros(), poison = zeros();
    for (int i = 0; i < group; i += kLanes) {
      const Floats v = load_elements(x + i);
      most = larger(most, larger(v, -v));
      poison = poison + v * 0.f;  // NaN if one of them is not finite
    }
    const float largest = largest_lane(most);
    if (lane_mask((Ints)(poison != poison)) != 0) {
      scales[g] = __builtin_nanf("");
      sums[g] = 0;
      std::memset(codes, 0, static_cast<std::size_t>(group));
      continue;
    }
    const float inverse = largest > 1e-30f ? 127 / largest : 0;
    scales[g] = largest > 1e-30f ? largest / 127 : 0;
    Ints sum = (Ints)zeros();
    for (int i = 0; i < group; i += kLanes) {
      const Ints rounded = nearest(load_elements(x + i) * inverse);
      store_bytes(codes + i, rounded);
      sum = sum + rounded;
    }
    sums[g] = sum_of_lanes(sum);
  }
}

void code_row(const void* x, bool bf16, std::int64_t count, int group, std::int8_t* codes, float* scales,
              std::int32_t* sums) {
  if (bf16) {
    code_groups(static_cast<const std::uint16_t*>(x), count, group, codes, scales, sums);
  } else {
    code_groups(static_cast<const float*>(x), count, group, codes, scales, sums);
  }
}

}  // namespace kvgauge::cpu::KVGAUGE_ISA
