#pragma once
// Vectors of the widest registers that this translation unit is compiled for, with the few operations that our kernels
// need.
//
// Every file under kernels/ is compiled once per instruction set, each time into its own namespace KVGAUGE_ISA (set by
// CMake): nothing inline may be shared between those copies, or the linker could keep an AVX-512 body for a processor
// without it. For the same reason kernels use no standard library templates; they take plain structs of pointers and
// sizes.
//
// `plain` arithmetic below never fuses: sums that feed scores use only it, so their bits are those of any instruction
// set. fused_multiply_add fuses where the hardware can; attention and matrix products use it.
#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace kvgauge::cpu::KVGAUGE_ISA {

#if defined(__AVX512F__)
inline constexpr int kLanes = 16;
#elif defined(__AVX2__)
inline constexpr int kLanes = 8;
#else
inline constexpr int kLanes = 4;
#endif

typedef float Floats __attribute__((vector_size(kLanes * 4)));
typedef std::int32_t Ints __attribute__((vector_size(kLanes * 4)));
typedef std::uint32_t Words __attribute__((vector_size(kLanes * 4)));
typedef double Doubles __attribute__((vector_size(kLanes * 4)));  // half as many lanes

#define KVGAUGE_INLINE static inline __attribute__((always_inline))

KVGAUGE_INLINE Floats load(const float* p) {
  Floats v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
KVGAUGE_INLINE void store(float* p, Floats v) { std::memcpy(p, &v, sizeof v); }
KVGAUGE_INLINE void store(double* p, Doubles v) { std::memcpy(p, &v, sizeof v); }
KVGAUGE_INLINE Words load_words(const void* p) {
  Words v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

#if defined(__AVX512F__)
KVGAUGE_INLINE Floats broadcast(float x) { return (Floats)_mm512_set1_ps(x); }
KVGAUGE_INLINE Words broadcast_word(std::uint32_t x) { return (Words)_mm512_set1_epi32(static_cast<int>(x)); }
KVGAUGE_INLINE Floats larger(Floats a, Floats b) { return (Floats)_mm512_max_ps((__m512)a, (__m512)b); }
KVGAUGE_INLINE Floats smaller(Floats a, Floats b) { return (Floats)_mm512_min_ps((__m512)a, (__m512)b); }
KVGAUGE_INLINE Floats fused_multiply_add(Floats a, Floats b, Floats c) {
  return (Floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
KVGAUGE_INLINE Floats square_root(Floats x) { return (Floats)_mm512_sqrt_ps((__m512)x); }
KVGAUGE_INLINE Ints nearest(Floats x) { return (Ints)_mm512_cvtps_epi32((__m512)x); }
KVGAUGE_INLINE Floats to_floats(Ints x) { return (Floats)_mm512_cvtepi32_ps((__m512i)x); }
KVGAUGE_INLINE Doubles low_doubles(Floats x) { return (Doubles)_mm512_cvtps_pd(_mm512_castps512_ps256((__m512)x)); }
KVGAUGE_INLINE Doubles high_doubles(Floats x) {
  return (Doubles)_mm512_cvtps_pd(_mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd((__m512)x), 1)));
}
/// kLanes 16-bit numbers, each in the low half of its lane
KVGAUGE_INLINE Words load_halves(const void* p) {
  return (Words)_mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
}
KVGAUGE_INLINE void store_halves(void* p, Words v) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), _mm512_cvtepi32_epi16((__m512i)v));
}
/// Bit i is set where lane i is (all ones).
KVGAUGE_INLINE std::uint32_t lane_mask(Ints lanes) { return _mm512_movepi32_mask((__m512i)lanes); }
/// The low bytes of lanes that lie in [-128, 127].
KVGAUGE_INLINE void store_bytes(std::int8_t* p, Ints v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8((__m512i)v));
}
KVGAUGE_INLINE float largest_lane(Floats v) { return _mm512_reduce_max_ps((__m512)v); }
KVGAUGE_INLINE std::int32_t sum_of_lanes(Ints v) { return _mm512_reduce_add_epi32((__m512i)v); }
#elif defined(__AVX2__)
KVGAUGE_INLINE std::uint32_t lane_mask(Ints lanes) {
  return static_cast<std::uint32_t>(_mm256_movemask_ps((__m256)lanes));
}
KVGAUGE_INLINE Floats broadcast(float x) { return (Floats)_mm256_set1_ps(x); }
KVGAUGE_INLINE Words broadcast_word(std::uint32_t x) { return (Words)_mm256_set1_epi32(static_cast<int>(x)); }
KVGAUGE_INLINE Floats larger(Floats a, Floats b) { return (Floats)_mm256_max_ps((__m256)a, (__m256)b); }
KVGAUGE_INLINE Floats smaller(Floats a, Floats b) { return (Floats)_mm256_min_ps((__m256)a, (__m256)b); }
KVGAUGE_INLINE Floats fused_multiply_add(Floats a, Floats b, Floats c) {
  return (Floats)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
KVGAUGE_INLINE Floats square_root(Floats x) { return (Floats)_mm256_sqrt_ps((__m256)x); }
KVGAUGE_INLINE Ints nearest(Floats x) { return (Ints)_mm256_cvtps_epi32((__m256)x); }
KVGAUGE_INLINE Floats to_floats(Ints x) { return (Floats)_mm256_cvtepi32_ps((__m256i)x); }
KVGAUGE_INLINE Doubles low_doubles(Floats x) { return (Doubles)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)x)); }
KVGAUGE_INLINE Doubles high_doubles(Floats x) { return (Doubles)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)x, 1)); }
KVGAUGE_INLINE Words load_halves(const void* p) {
  return (Words)_mm256_cvtepu16_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)));
}
KVGAUGE_INLINE void store_halves(void* p, Words v) {
  const __m256i packed = _mm256_packus_epi32((__m256i)v, (__m256i)v);
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
}
#else
KVGAUGE_INLINE std::uint32_t lane_mask(Ints lanes) {
  return static_cast<std::uint32_t>(_mm_movemask_ps((__m128)lanes));
}
KVGAUGE_INLINE Floats broadcast(float x) { return (Floats)_mm_set1_ps(x); }
KVGAUGE_INLINE Words broadcast_word(std::uint32_t x) { return (Words)_mm_set1_epi32(static_cast<int>(x)); }
KVGAUGE_INLINE Floats larger(Floats a, Floats b) { return (Floats)_mm_max_ps((__m128)a, (__m128)b); }
KVGAUGE_INLINE Floats smaller(Floats a, Floats b) { return (Floats)_mm_min_ps((__m128)a, (__m128)b); }
KVGAUGE_INLINE Floats fused_multiply_add(Floats a, Floats b, Floats c) { return a * b + c; }
KVGAUGE_INLINE Floats square_root(Floats x) { return (Floats)_mm_sqrt_ps((__m128)x); }
KVGAUGE_INLINE Ints nearest(Floats x) { return (Ints)_mm_cvtps_epi32((__m128)x); }
KVGAUGE_INLINE Floats to_floats(Ints x) { return (Floats)_mm_cvtepi32_ps((__m128i)x); }
KVGAUGE_INLINE Doubles low_doubles(Floats x) { return (Doubles)_mm_cvtps_pd((__m128)x); }
KVGAUGE_INLINE Doubles high_doubles(Floats x) { return (Doubles)_mm_cvtps_pd(_mm_movehl_ps((__m128)x, (__m128)x)); }
KVGAUGE_INLINE Words load_halves(const void* p) {
  return (Words)_mm_unpacklo_epi16(_mm_loadl_epi64(static_cast<const __m128i*>(p)), _mm_setzero_si128());
}
KVGAUGE_INLINE void store_halves(void* p, Words v) {
  const __m128i sign_extended =
      _mm_srai_epi32(_mm_slli_epi32((__m128i)v, 16), 16);  // so that signed packing keeps the bits
  _mm_storel_epi64(static_cast<__m128i*>(p), _mm_packs_epi32(sign_extended, sign_extended));
}
#endif

KVGAUGE_INLINE Floats zeros() { return broadcast(0.f); }

#if !defined(__AVX512F__)
KVGAUGE_INLINE void store_bytes(std::int8_t* p, Ints v) {
  for (int i = 0; i < kLanes; ++i) p[i] = static_cast<std::int8_t>(v[i]);
}
KVGAUGE_INLINE float largest_lane(Floats v) {
  float largest = v[0];
  for (int i = 1; i < kLanes; ++i) largest = v[i] > largest ? v[i] : largest;
  return largest;
}
KVGAUGE_INLINE std::int32_t sum_of_lanes(Ints v) {
  std::int32_t sum = v[0];
  for (int i = 1; i < kLanes; ++i) sum += v[i];
  return sum;
}
#endif

/// bfloat16 bits, one per lane, as f32 and back (round to nearest even, NaN quiet: as core/dtype.h).
KVGAUGE_INLINE Floats widen(Words halves) { return (Floats)(halves << 16); }
KVGAUGE_INLINE Words narrow(Floats x) {
  const Words bits = (Words)x;
  const Words rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const Words nan = (bits >> 16) | 0x40u;
  const Words is_nan = (Words)(Ints)(x != x);
  return (nan & is_nan) | (rounded & ~is_nan);
}

/// IEEE binary16 bits, one per lane, as f32 (exact). No subnormal f32 is formed, so that a host that flushes those to
/// zero changes nothing: fraction * 2^-24 = (1 + fraction * 2^-10) * 2^-14 - 2^-14 for numbers without exponent.
KVGAUGE_INLINE Floats widen_f16(Words halves) {
  const Words magnitude = (halves & 0x7fffu) << 13, exponent = halves & 0x7c00u;
  const Words tiny = (Words)((Floats)(magnitude + (113u << 23)) - broadcast(0x1p-14f));
  const Words usual = magnitude + (112u << 23);
  const Words is_tiny = (Words)(exponent == 0u), is_special = (Words)(exponent == 0x7c00u);
  const Words special = magnitude | (0xffu << 23);
  const Words bits = (tiny & is_tiny) | (special & is_special) | (usual & ~(is_tiny | is_special));
  return (Floats)(bits | ((halves & 0x8000u) << 16));
}

/// Elements of a row as f32, whatever they are stored as.
KVGAUGE_INLINE Floats load_elements(const float* p) { return load(p); }
KVGAUGE_INLINE Floats load_elements(const std::uint16_t* p) { return widen(load_halves(p)); }
KVGAUGE_INLINE float element(float x) { return x; }
KVGAUGE_INLINE float element(std::uint16_t bits) {
  const std::uint32_t word = static_cast<std::uint32_t>(bits) << 16;
  float x;
  std::memcpy(&x, &word, 4);
  return x;
}
KVGAUGE_INLINE void store_elements(float* p, Floats v) { store(p, v); }
KVGAUGE_INLINE void store_elements(std::uint16_t* p, Floats v) { store_halves(p, narrow(v)); }

/// The first `count` < kLanes elements, the rest zero; and their store. Nothing behind them is touched.
template <class T>
KVGAUGE_INLINE Floats load_some(const T* p, std::int64_t count) {
  float lanes[kLanes] = {};
  for (std::int64_t i = 0; i < count; ++i) lanes[i] = element(p[i]);
  return load(lanes);
}
template <class T>
KVGAUGE_INLINE void store_some(T* p, Floats v, std::int64_t count) {
  T lanes[kLanes];
  store_elements(lanes, v);
  for (std::int64_t i = 0; i < count; ++i) p[i] = lanes[i];
}

/// a * b + c, rounded once where `fused`, twice otherwise.
template <bool fused>
KVGAUGE_INLINE Floats multiply_add(Floats a, Floats b, Floats c) {
  if constexpr (fused) {
    return fused_multiply_add(a, b, c);
  } else {
    return a * b + c;
  }
}

/// e^x for x <= 0, at most 2 ulp off; 0 below -87.3 (where it would be subnormal) and for -infinity. NaN gives 0 or
/// NaN.
///   n = nearest(x / ln 2), r = x - n ln 2 in two parts, e^x = 2^n (1 + r + r^2 p(r)),  |r| <= ln(2)/2
/// p is the minimax polynomial of degree 4 (relative error of e^r 4.5e-9).
template <bool fused>
KVGAUGE_INLINE Floats exp_of_nonpositive(Floats x) {
  const Floats clamped = larger(x, broadcast(-87.3f));
  const Ints n = nearest(clamped * 1.44269504088896f);
  const Floats fn = to_floats(n);
  Floats r = multiply_add<fused>(fn, broadcast(-0.693359375f), clamped);
  r = multiply_add<fused>(fn, broadcast(2.12194440054714e-4f), r);
  Floats p = multiply_add<fused>(broadcast(1.395060033560929e-3f), r, broadcast(8.368953705846196e-3f));
  p = multiply_add<fused>(p, r, broadcast(4.166620416553228e-2f));
  p = multiply_add<fused>(p, r, broadcast(1.6666518303936048e-1f));
  p = multiply_add<fused>(p, r, broadcast(5.00000009569484e-1f));
  const Floats y = multiply_add<fused>(p * r, r, r) + 1.f;
  const Words power = (Words)((n + 127) << 23);
  const Ints in_range = (Ints)(x >= -87.3f);
  return (Floats)((Words)(y * (Floats)power) & (Words)in_range);
}

/// The sum of the lanes by a fixed tree: ((0+8)+(4+12)) ..., the same for every instruction set once there are 16
/// numbers.
KVGAUGE_INLINE float tree_sum(const float (&lanes)[16]) {
  float s[8];
  for (int i = 0; i < 8; ++i) s[i] = lanes[i] + lanes[i + 8];
  for (int i = 0; i < 4; ++i) s[i] += s[i + 4];
  return (s[0] + s[2]) + (s[1] + s[3]);
}
KVGAUGE_INLINE double tree_sum(const double (&lanes)[16]) {
  double s[8];
  for (int i = 0; i < 8; ++i) s[i] = lanes[i] + lanes[i + 8];
  for (int i = 0; i < 4; ++i) s[i] += s[i + 4];
  return (s[0] + s[2]) + (s[1] + s[3]);
}

/// 16 partial sums, number i taking the elements of index i mod 16.
struct FloatSums {
  Floats part[16 / kLanes];
};
struct DoubleSums {
  Doubles part[32 / kLanes];
};

KVGAUGE_INLINE float total(const FloatSums& sums) {
  float lanes[16];
  for (int i = 0; i < 16 / kLanes; ++i) store(lanes + i * kLanes, sums.part[i]);
  return tree_sum(lanes);
}
KVGAUGE_INLINE double total(const DoubleSums& sums) {
  double lanes[16];
  for (int i = 0; i < 32 / kLanes; ++i) store(lanes + i * (kLanes / 2), sums.part[i]);
  return tree_sum(lanes);
}

}  // namespace kvgauge::cpu::KVGAUGE_ISA
