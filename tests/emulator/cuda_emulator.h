#pragma once
// Kernels as plain C++: CUDA's keywords and built-ins over fibres. Host code that includes only cuda_runtime_api.h does
// not need it.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <math.h>  // the functions in the global namespace, as under nvcc

#include "cuda_runtime_api.h"
#include "launch_size.h"
#include "sanitizers.h"

#define __global__
#define __device__
#define __host__
#define __constant__ [[maybe_unused]] static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(bytes) __attribute__((aligned(bytes)))
// One section holds every block's static arrays, so that they are undefined again at the start of a block. The address
// sanitizer guards only variables outside such sections.
#if defined(KVGAUGE_EMULATOR_ASAN)
#define __shared__ static
#else
#define __shared__ static __attribute__((section("kvgauge_shared")))
#endif

inline constexpr int warpSize = 32;
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

namespace kvgauge::cuda::emulator {

/// Where a barrier or a collective stands in the source.
struct Site {
  const char* file;
  int line;
};

using Entry = void (*)(const void* kernel, const void* argument);
/// Queues a kernel. `argument` is copied. @return cudaErrorInvalidConfiguration for shapes that a device refuses
cudaError_t launch(const LaunchSize& size, cudaStream_t stream, const void* symbol, const void* argument,
                   std::size_t bytes, Entry entry);

void* dynamic_shared();

void block_barrier(Site site);
void warp_barrier(unsigned mask, Site site);
/// Every lane of the mask gives 64 bits and gets those of `source`; a source outside the lane's segment leaves its own.
enum class Shuffle { kIndex, kUp, kDown, kXor };
std::uint64_t shuffle(unsigned mask, std::uint64_t bits, Shuffle how, int operand, int width, Site site);
unsigned ballot(unsigned mask, bool predicate, Site site);
enum class Reduce { kAdd, kMin, kMax, kSignedMin, kSignedMax, kAnd, kOr, kXor };
unsigned reduce(unsigned mask, unsigned value, Reduce how, Site site);
unsigned match_any(unsigned mask, std::uint64_t bits, Site site);
unsigned active_mask();
[[noreturn]] void trap(const char* what);

std::uint32_t pack_bf16x2(float low, float high);
float exp2_approx(float x);
void mma(float* d, const std::uint32_t* a, const std::uint32_t* b, Site site);
void ldmatrix_exchange(std::uint32_t* out, const std::uint32_t* row, bool transposed, Site site);
void check_shared_row(const void* row);

inline void mma_m16n8k16_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                              Site site = {__builtin_FILE(), __builtin_LINE()}) {
  mma(d, a, b, site);
}
/// The lane reads its row itself, so that sanitizers see who reads what.
inline void ldmatrix_x4(std::uint32_t (&out)[4], const void* row, bool transposed,
                        Site site = {__builtin_FILE(), __builtin_LINE()}) {
  check_shared_row(row);
  std::uint32_t words[4];
  for (int i = 0; i < 4; ++i) words[i] = static_cast<const volatile std::uint32_t*>(row)[i];
  ldmatrix_exchange(out, words, transposed, site);
}

struct PendingCopy {
  void* to;
  const void* from;  ///< nullptr: zeros
};
void cp_async_16(void* to, const void* from, bool valid);
void cp_async_commit();
/// The next of this thread's copies that must have landed when at most `newest` groups remain; false: none is left.
bool take_landed_copy(int newest, PendingCopy& copy);
/// Copies are made only here, so that data used without waiting is still undefined.
inline void cp_async_wait(int newest) {
  PendingCopy copy;
  while (take_landed_copy(newest, copy))
    for (int i = 0; i < 4; ++i)
      static_cast<volatile std::uint32_t*>(copy.to)[i] =
          copy.from ? static_cast<const volatile std::uint32_t*>(copy.from)[i] : 0;
}

template <class T>
std::uint64_t to_bits(T value) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}
template <class T>
T from_bits(std::uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}
template <class To, class From>
To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  return from_bits<To>(to_bits(from));
}

/// A read-modify-write as the device's: relaxed, one at a time.
template <class T, class Change>
T atomic_change(T* address, Change change) {
  T old, updated;
  __atomic_load(address, &old, __ATOMIC_RELAXED);
  do updated = change(old);
  while (!__atomic_compare_exchange(address, &old, &updated, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return old;
}

}  // namespace kvgauge::cuda::emulator

#define KVGAUGE_SITE ::kvgauge::cuda::emulator::Site site = {__builtin_FILE(), __builtin_LINE()}

inline void __syncthreads(KVGAUGE_SITE) { ::kvgauge::cuda::emulator::block_barrier(site); }
inline void __syncwarp(unsigned mask = 0xffffffffu, KVGAUGE_SITE) {
  ::kvgauge::cuda::emulator::warp_barrier(mask, site);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32, KVGAUGE_SITE) {
  using namespace ::kvgauge::cuda::emulator;
  return from_bits<T>(shuffle(mask, to_bits(value), Shuffle::kIndex, lane, width, site));
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, KVGAUGE_SITE) {
  using namespace ::kvgauge::cuda::emulator;
  return from_bits<T>(shuffle(mask, to_bits(value), Shuffle::kUp, static_cast<int>(delta), width, site));
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, KVGAUGE_SITE) {
  using namespace ::kvgauge::cuda::emulator;
  return from_bits<T>(shuffle(mask, to_bits(value), Shuffle::kDown, static_cast<int>(delta), width, site));
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, KVGAUGE_SITE) {
  using namespace ::kvgauge::cuda::emulator;
  return from_bits<T>(shuffle(mask, to_bits(value), Shuffle::kXor, bits, width, site));
}
inline unsigned __ballot_sync(unsigned mask, int predicate, KVGAUGE_SITE) {
  return ::kvgauge::cuda::emulator::ballot(mask, predicate != 0, site);
}
inline int __any_sync(unsigned mask, int predicate, KVGAUGE_SITE) {
  return ::kvgauge::cuda::emulator::ballot(mask, predicate != 0, site) != 0;
}
inline int __all_sync(unsigned mask, int predicate, KVGAUGE_SITE) {
  return ::kvgauge::cuda::emulator::ballot(mask, predicate == 0, site) == 0;
}
template <class T>
unsigned __match_any_sync(unsigned mask, T value, KVGAUGE_SITE) {
  return ::kvgauge::cuda::emulator::match_any(mask, ::kvgauge::cuda::emulator::to_bits(value), site);
}
inline unsigned __activemask() { return ::kvgauge::cuda::emulator::active_mask(); }
inline unsigned __reduce_add_sync(unsigned mask, unsigned value, KVGAUGE_SITE) {
  return ::kvgauge::cuda::emulator::reduce(mask, value, ::kvgauge::cuda::emulator::Reduce::kAdd, site);
}
inline int __reduce_add_sync(unsigned mask, int value, KVGAUGE_SITE) {
  return static_cast<int>(__reduce_add_sync(mask, static_cast<unsigned>(value), site));
}
inline unsigned __reduce_min_sync(unsigned mask, unsigned value, KVGAUGE_SITE) {
  return ::kvgauge::cuda::emulator::reduce(mask, value, ::kvgauge::cuda::emulator::Reduce::kMin, site);
}
inline int __reduce_min_sync(unsigned mask, int value, KVGAUGE_SITE) {
  using namespace ::kvgauge::cuda::emulator;
  return static_cast<int>(reduce(mask, static_cast<unsigned>(value), Reduce::kSignedMin, site));
}
inline unsigned __reduce_max_sync(unsigned mask, unsigned value, KVGAUGE_SITE) {
  return ::kvgauge::cuda::emulator::reduce(mask, value, ::kvgauge::cuda::emulator::Reduce::kMax, site);
}
inline int __reduce_max_sync(unsigned mask, int value, KVGAUGE_SITE) {
  using namespace ::kvgauge::cuda::emulator;
  return static_cast<int>(reduce(mask, static_cast<unsigned>(value), Reduce::kSignedMax, site));
}
inline unsigned __reduce_and_sync(unsigned mask, unsigned value, KVGAUGE_SITE) {
  return ::kvgauge::cuda::emulator::reduce(mask, value, ::kvgauge::cuda::emulator::Reduce::kAnd, site);
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value, KVGAUGE_SITE) {
  return ::kvgauge::cuda::emulator::reduce(mask, value, ::kvgauge::cuda::emulator::Reduce::kOr, site);
}
inline unsigned __reduce_xor_sync(unsigned mask, unsigned value, KVGAUGE_SITE) {
  return ::kvgauge::cuda::emulator::reduce(mask, value, ::kvgauge::cuda::emulator::Reduce::kXor, site);
}
#undef KVGAUGE_SITE

// The second argument takes no part in deduction, as the vendor's overloads convert it.
template <class T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return ::kvgauge::cuda::emulator::atomic_change(address, [=](T old) { return static_cast<T>(old + value); });
}
template <class T>
T atomicSub(T* address, std::type_identity_t<T> value) {
  return ::kvgauge::cuda::emulator::atomic_change(address, [=](T old) { return static_cast<T>(old - value); });
}
template <class T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return ::kvgauge::cuda::emulator::atomic_change(address, [=](T old) { return old < value ? value : old; });
}
template <class T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return ::kvgauge::cuda::emulator::atomic_change(address, [=](T old) { return value < old ? value : old; });
}
template <class T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  return ::kvgauge::cuda::emulator::atomic_change(address, [=](T) { return value; });
}
template <class T>
T atomicCAS(T* address, std::type_identity_t<T> compare, std::type_identity_t<T> value) {
  return ::kvgauge::cuda::emulator::atomic_change(address, [=](T old) { return old == compare ? value : old; });
}
template <class T>
T atomicAnd(T* address, std::type_identity_t<T> value) {
  return ::kvgauge::cuda::emulator::atomic_change(address, [=](T old) { return static_cast<T>(old & value); });
}
template <class T>
T atomicOr(T* address, std::type_identity_t<T> value) {
  return ::kvgauge::cuda::emulator::atomic_change(address, [=](T old) { return static_cast<T>(old | value); });
}
template <class T>
T atomicXor(T* address, std::type_identity_t<T> value) {
  return ::kvgauge::cuda::emulator::atomic_change(address, [=](T old) { return static_cast<T>(old ^ value); });
}
inline unsigned atomicInc(unsigned* address, unsigned limit) {
  return ::kvgauge::cuda::emulator::atomic_change(address, [=](unsigned old) { return old >= limit ? 0u : old + 1; });
}

inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_system() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
[[noreturn]] inline void __trap() { ::kvgauge::cuda::emulator::trap("__trap was called"); }

template <class T>
T __ldg(const T* address) {
  return *address;
}
template <class T>
T __ldcs(const T* address) {
  return *address;
}
template <class T>
T __ldcg(const T* address) {
  return *address;
}
template <class T>
void __stcs(T* address, T value) {
  *address = value;
}
template <class T>
void __stcg(T* address, T value) {
  *address = value;
}

inline unsigned __float_as_uint(float x) { return ::kvgauge::cuda::emulator::bits_as<unsigned>(x); }
inline int __float_as_int(float x) { return ::kvgauge::cuda::emulator::bits_as<int>(x); }
inline float __uint_as_float(unsigned x) { return ::kvgauge::cuda::emulator::bits_as<float>(x); }
inline float __int_as_float(int x) { return ::kvgauge::cuda::emulator::bits_as<float>(x); }
inline long long __double_as_longlong(double x) { return ::kvgauge::cuda::emulator::bits_as<long long>(x); }
inline double __longlong_as_double(long long x) { return ::kvgauge::cuda::emulator::bits_as<double>(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int bit = 0; bit < 32; ++bit) reversed |= (x >> bit & 1u) << (31 - bit);
  return reversed;
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<unsigned long long>(a) * b >> 32);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}

// Rounded as named: the compiler may not contract them (the project builds with -ffp-contract=off).
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return sqrtf(a); }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
inline int __float2int_rn(float x) { return static_cast<int>(nearbyintf(x)); }
inline int __float2int_rz(float x) { return static_cast<int>(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1.f) : 0.f; }
inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
inline double rsqrt(double x) { return 1. / sqrt(x); }

inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a < b ? b : a; }
inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
inline unsigned max(unsigned a, unsigned b) { return a < b ? b : a; }
inline long min(long a, long b) { return a < b ? a : b; }
inline long max(long a, long b) { return a < b ? b : a; }
inline unsigned long min(unsigned long a, unsigned long b) { return a < b ? a : b; }
inline unsigned long max(unsigned long a, unsigned long b) { return a < b ? b : a; }
inline long long min(long long a, long long b) { return a < b ? a : b; }
inline long long max(long long a, long long b) { return a < b ? b : a; }
inline unsigned long long min(unsigned long long a, unsigned long long b) { return a < b ? a : b; }
inline unsigned long long max(unsigned long long a, unsigned long long b) { return a < b ? b : a; }
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
