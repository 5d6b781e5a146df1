#pragma once
// All inline PTX. Each wrapper has a portable meaning beside it, which the emulated build runs; paths for newer
// processors (wgmma, TMA) would stand behind the same names.
#include <cstdint>

#include "core/dtype.h"
#include "cuda/launch.h"

namespace kvgauge::cuda {

/// Two f32 as bf16, rounded to nearest even: `low` in the low half.
__device__ __forceinline__ std::uint32_t pack_bf16x2(float low, float high) {
#if defined(__CUDACC__)
  std::uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
#else
  return emulator::pack_bf16x2(low, high);
#endif
}

/// IEEE binary16 bits as f32.
__device__ __forceinline__ float widen_f16(std::uint16_t bits) {
#if defined(__CUDACC__)
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
  return x;
#else
  return to_float(half_t{bits});
#endif
}

/// 2^x to 2 ulp; subnormal results are 0. exp2_approx(-infinity) is 0.
__device__ __forceinline__ float exp2_approx(float x) {
#if defined(__CUDACC__)
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return emulator::exp2_approx(x);
#endif
}

/// d += a b for one warp: a is 16x16 (row-major), b 16x8 (column-major), d 16x8 in f32. Lane l, g = l / 4, c = 2 (l %
/// 4):
///   a[0] = A[g][c..c+1], a[1] = A[g+8][c..], a[2] = A[g][c+8..], a[3] = A[g+8][c+8..];  b[0] = B[c..c+1][g], b[1] =
///   B[c+8..c+9][g] d[0..1] = D[g][c..c+1], d[2..3] = D[g+8][c..c+1]
__device__ __forceinline__ void mma_m16n8k16_bf16(float (&d)[4], const std::uint32_t (&a)[4],
                                                  const std::uint32_t (&b)[2]) {
#if defined(__CUDACC__)
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  emulator::mma_m16n8k16_bf16(d, a, b);
#endif
}

/// Four 8x8 matrices of 2-byte elements from shared memory. Lane l gives the address (16-byte aligned) of row l % 8 of
/// matrix l / 8; out[m] holds elements (l / 4, 2 (l % 4)) and the next of matrix m, or of its transpose.
__device__ __forceinline__ void ldmatrix_x4(std::uint32_t (&out)[4], const void* row) {
#if defined(__CUDACC__)
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(address)
               : "memory");
#else
  emulator::ldmatrix_x4(out, row, false);
#endif
}
__device__ __forceinline__ void ldmatrix_x4_transposed(std::uint32_t (&out)[4], const void* row) {
#if defined(__CUDACC__)
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(address)
               : "memory");
#else
  emulator::ldmatrix_x4(out, row, true);
#endif
}

/// Sixteen bytes of global memory, aligned to their size, that nothing writes during the launch; zeros if not `valid`,
/// then `from` is not read. A predicate and no branch, so that many of them are under way at a time.
struct alignas(16) SixteenBytes {
  std::uint32_t words[4];
};
__device__ __forceinline__ SixteenBytes load_constant_16(const void* from, bool valid = true) {
#if defined(__CUDACC__)
  SixteenBytes out;
  asm("{ .reg .pred valid;\n setp.ne.u32 valid, %5, 0;\n mov.u32 %0, 0;\n mov.u32 %1, 0;\n mov.u32 %2, 0;\n mov.u32 "
      "%3, 0;\n"
      "@valid ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4]; }"
      : "=&r"(out.words[0]), "=&r"(out.words[1]), "=&r"(out.words[2]), "=&r"(out.words[3])
      : "l"(__cvta_generic_to_global(from)), "r"(static_cast<std::uint32_t>(valid)));
  return out;
#else
  return valid ? *static_cast<const SixteenBytes*>(from) : SixteenBytes{};
#endif
}

/// Starts copying 16 bytes from global to shared memory, both 16-byte aligned; they have landed after cp_async_wait()
/// of their group, for this thread, and after a barrier behind that for the others. Not `valid`: zeros are written and
/// `from` is not read.
__device__ __forceinline__ void cp_async_16(void* to, const void* from, bool valid = true) {
#if defined(__CUDACC__)
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(valid ? 16 : 0)
               : "memory");
#else
  emulator::cp_async_16(to, from, valid);
#endif
}
/// Closes the group of copies that this thread has started since the last one.
__device__ __forceinline__ void cp_async_commit() {
#if defined(__CUDACC__)
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  emulator::cp_async_commit();
#endif
}
/// Waits until at most `Newest` of this thread's groups are under way.
template <int Newest>
__device__ __forceinline__ void cp_async_wait() {
#if defined(__CUDACC__)
  asm volatile("cp.async.wait_group %0;" ::"n"(Newest) : "memory");
#else
  emulator::cp_async_wait(Newest);
#endif
}

}  // namespace kvgauge::cuda
