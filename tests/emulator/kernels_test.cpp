// Right kernels give right numbers, the same bits in every order of threads.
#include <cmath>
#include <cstring>
#include <random>

#include "emulator_test.h"

namespace kvgauge::cuda {

struct IntsArgs {
  int* out;
};
struct FloatsArgs {
  const float* in;
  float* out;
  int count;
};
struct MatrixArgs {
  const bf16_t* a;  // [16, 16] row-major
  const bf16_t* b;  // [16, 8] row-major
  float* d;         // [16, 8]
};

__global__ void indices_kernel(IntsArgs args) {
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  args.out[block * threads + thread] += static_cast<int>(1000 * block + thread);
}

template <int Count>
__global__ void static_shared_kernel(FloatsArgs args) {
  __shared__ float values[Count];
  __shared__ int flags[Count];
  const int thread = static_cast<int>(threadIdx.x);
  values[thread] = args.in[blockIdx.x * Count + threadIdx.x];
  flags[thread] = thread;
  __syncthreads();
  args.out[blockIdx.x * Count + threadIdx.x] =
      values[Count - 1 - thread] + static_cast<float>(flags[Count - 1 - thread]);
}

__global__ void dynamic_shared_kernel(FloatsArgs args) {
  auto* const values = shared<float>();
  values[threadIdx.x] = args.in[threadIdx.x];
  __syncthreads();
  args.out[threadIdx.x] = values[blockDim.x - 1 - threadIdx.x];
}

__global__ void sums_kernel(FloatsArgs args) {
  __shared__ float scratch[kWarpSize];
  const float first = block_sum(args.in[threadIdx.x], scratch);
  const float second = block_sum(args.in[threadIdx.x] * first, scratch);
  args.out[global_thread_index()] = block_sum(second, scratch);
}

__global__ void valid_copies_kernel(FloatsArgs args) {
  auto* const values = shared<float>();
  const bool valid = static_cast<int>(threadIdx.x) < args.count;
  cp_async_16(values + 4 * threadIdx.x, valid ? args.in + 4 * threadIdx.x : args.in, valid);
  cp_async_commit();
  cp_async_wait<0>();
  args.out[threadIdx.x] = values[4 * threadIdx.x];
}

// What every shuffle gives a lane: 16 numbers each.
__global__ void shuffles_kernel(IntsArgs args) {
  const int lane = lane_index(), value = 100 + lane;
  int* const out = args.out + 16 * threadIdx.x;
  out[0] = __shfl_sync(kAllLanes, value, 5);
  out[1] = __shfl_sync(kAllLanes, value, lane + 3, 8);
  out[2] = __shfl_up_sync(kAllLanes, value, 3);
  out[3] = __shfl_up_sync(kAllLanes, value, 3, 8);
  out[4] = __shfl_down_sync(kAllLanes, value, 3);
  out[5] = __shfl_down_sync(kAllLanes, value, 3, 16);
  out[6] = __shfl_xor_sync(kAllLanes, value, 9);
  out[7] = __shfl_xor_sync(kAllLanes, value, 9, 8);
  out[8] = static_cast<int>(__shfl_xor_sync(kAllLanes, 0.5 * value, 1) * 2);
  out[9] = static_cast<int>(__shfl_sync(kAllLanes, (1ll << 40) * value, 31) >> 40);
  out[10] = static_cast<int>(__ballot_sync(kAllLanes, lane % 3 == 0));
  out[11] = __any_sync(kAllLanes, lane == 31) + 2 * __all_sync(kAllLanes, lane < 31);
  out[12] = __reduce_add_sync(kAllLanes, -lane);
  out[13] = __reduce_max_sync(kAllLanes, -lane) +
            static_cast<int>(__reduce_min_sync(kAllLanes, 7u + static_cast<unsigned>(lane)));
  out[14] = lane < 16 ? __shfl_xor_sync(0x0000ffffu, value, 1) : 0;
  out[15] = static_cast<int>(__match_any_sync(kAllLanes, lane / 4));
}

__global__ void atomics_kernel(IntsArgs args) {
  const int thread = static_cast<int>(global_thread_index());
  atomicAdd(&args.out[0], thread);
  atomicMax(&args.out[1], thread);
  atomicMin(&args.out[2], -thread);
  atomicOr(&args.out[3], 1 << thread % 20);
  atomicAnd(&args.out[4], ~(1 << thread % 20));
  int expected = atomicAdd(&args.out[5], 0);
  for (int seen; (seen = atomicCAS(&args.out[5], expected, expected + 2)) != expected;) expected = seen;
  atomicAdd(reinterpret_cast<unsigned long long*>(&args.out[6]), 1ull << 32);
}

__global__ void product_kernel(MatrixArgs args) {
  __shared__ __align__(16) bf16_t a[16 * 16];
  __shared__ __align__(16) bf16_t b[16 * 8];
  const int lane = lane_index();
  cp_async_16(a + 8 * lane, args.a + 8 * lane);
  cp_async_commit();
  if (lane < 16) cp_async_16(b + 8 * lane, args.b + 8 * lane);
  cp_async_commit();
  cp_async_wait<0>();
  __syncwarp();
  // Matrices of a in the operand's order: rows 0-7 and 8-15 of the left half, then of the right half.
  std::uint32_t of_a[4], of_b[4];
  ldmatrix_x4(of_a, a + (lane % 16) * 16 + lane / 16 * 8);
  ldmatrix_x4_transposed(of_b, b + (lane % 16) * 8);
  const std::uint32_t columns[2] = {of_b[0], of_b[1]};
  float d[4] = {};
  mma_m16n8k16_bf16(d, of_a, columns);
  for (int i = 0; i < 4; ++i) args.d[(lane / 4 + i / 2 * 8) * 8 + 2 * (lane % 4) + i % 2] = d[i];
}

}  // namespace kvgauge::cuda

namespace kvgauge::testing {
namespace {

using cuda::launch;

class Kernels : public EmulatorTest, public ::testing::WithParamInterface<emulator::Order> {
 protected:
  void SetUp() override {
    EmulatorTest::SetUp();
    emulator::set_order(GetParam());
  }
};
INSTANTIATE_TEST_SUITE_P(Orders, Kernels, ::testing::ValuesIn(kOrders),
                         [](const auto& info) { return name(info.param); });

std::vector<float> numbers(std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i * i % 37) - 11.5f;
  return values;
}

TEST_P(Kernels, EveryThreadOfEveryBlockRunsOnce) {
  DeviceArray<int> out(std::vector<int>(3 * 2 * 2 * 5 * 3 * 2));
  launch(nullptr, {dim3(3, 2, 2), dim3(5, 3, 2)}, cuda::indices_kernel, {out.data()});
  const auto got = out.values();
  for (int i = 0; i < static_cast<int>(got.size()); ++i) EXPECT_EQ(got[i], 1000 * (i / 30) + i % 30);
}

TEST_P(Kernels, SharedMemoryCarriesValuesOverABarrier) {
  const auto values = numbers(4 * 96);
  const DeviceArray<float> in(values), out(values.size());
  launch(nullptr, {dim3(4), dim3(96)}, cuda::static_shared_kernel<96>, {in.data(), out.data(), 0});
  auto got = out.values();
  for (int i = 0; i < 4 * 96; ++i) {
    const int other = 95 - i % 96;
    EXPECT_EQ(got[i], values[i / 96 * 96 + other] + static_cast<float>(other));
  }
  launch(nullptr, {dim3(1), dim3(96), 96 * sizeof(float)}, cuda::dynamic_shared_kernel, {in.data(), out.data(), 0});
  got = out.values();
  for (int i = 0; i < 96; ++i) EXPECT_EQ(got[i], values[95 - i]);
}

TEST_P(Kernels, ABlockSumMayBeCalledTwiceInARow) {
  std::vector<float> values(256);
  for (int i = 0; i < 256; ++i)
    values[i] = static_cast<float>(i % 4);  // sums are exact: 384, 384 * 384, 256 times that
  const DeviceArray<float> in(values), out(3 * 256);
  launch(nullptr, {dim3(3), dim3(256)}, cuda::sums_kernel, {in.data(), out.data(), 0});
  for (const float x : out.values()) EXPECT_EQ(x, 384.f * 384.f * 256.f);
}

TEST_P(Kernels, WarpOperationsGiveEachLaneWhatTheVendorSays) {
  DeviceArray<int> out(std::vector<int>(64 * 16, -1));
  launch(nullptr, {dim3(1), dim3(64)}, cuda::shuffles_kernel, {out.data()});
  const auto got = out.values();
  for (int thread = 0; thread < 64; ++thread) {
    const int lane = thread % 32, of_8 = lane % 8, of_16 = lane % 16;
    const int want[16] = {105,
                          100 + lane / 8 * 8 + (lane + 3) % 8,
                          100 + (lane < 3 ? lane : lane - 3),
                          100 + (of_8 < 3 ? lane : lane - 3),
                          100 + (lane > 28 ? lane : lane + 3),
                          100 + (of_16 > 12 ? lane : lane + 3),
                          100 + (lane ^ 9),
                          100 + ((lane ^ 9) / 8 > lane / 8 ? lane : lane ^ 9),  // a lower segment may be read
                          100 + (lane ^ 1),
                          131,
                          static_cast<int>(0x49249249u),
                          1,
                          -496,
                          7,
                          lane < 16 ? 100 + (lane ^ 1) : 0,
                          static_cast<int>(0xfu << lane / 4 * 4)};
    for (int i = 0; i < 16; ++i) EXPECT_EQ(got[16 * thread + i], want[i]) << "thread " << thread << ", operation " << i;
  }
}

TEST_P(Kernels, AtomicsLoseNothing) {
  DeviceArray<int> out(std::vector<int>{0, -1, 1, 0, -1, 0, 0, 0});
  launch(nullptr, {dim3(3), dim3(40)}, cuda::atomics_kernel, {out.data()});
  EXPECT_EQ(out.values(), (std::vector<int>{119 * 60, 119, -119, (1 << 20) - 1, ~((1 << 20) - 1), 240, 0, 120}));
}

TEST_P(Kernels, MatrixFragmentsLieWhereTheManualSays) {
  std::mt19937 random(7);
  std::vector<bf16_t> a(256), b(128);
  for (auto* matrix : {&a, &b})
    for (bf16_t& x : *matrix) x = to_bf16(static_cast<float>(random() % 2001) / 1000.f - 1.f);
  const DeviceArray<bf16_t> of_a(a), of_b(b);
  const DeviceArray<float> d(128);
  launch(nullptr, {dim3(1), dim3(32)}, cuda::product_kernel, {of_a.data(), of_b.data(), d.data()});
  const auto got = d.values();
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      double want = 0, size = 0;
      for (int k = 0; k < 16; ++k) {
        const double term =
            static_cast<double>(to_float(a[row * 16 + k])) * static_cast<double>(to_float(b[k * 8 + column]));
        want += term, size += std::abs(term);
      }
      // Two sums of 8 exact products, each cut off at one unit in the last place of at most `size`.
      EXPECT_NEAR(got[row * 8 + column], want, 2 * 0x1p-23 * size) << row << "," << column;
    }
  }
}

TEST_P(Kernels, CopiesThatAreNotValidWriteZeros) {
  const DeviceArray<float> in(std::vector<float>(4 * 5, 7.f)), out(32);
  launch(nullptr, {dim3(1), dim3(32), 512}, cuda::valid_copies_kernel, {in.data(), out.data(), 5});
  const auto got = out.values();
  for (int i = 0; i < 32; ++i) EXPECT_EQ(got[i], i < 5 ? 7.f : 0.f);
}

TEST(Conversions, PackedBf16RoundsToNearestEven) {
  EXPECT_EQ(cuda::pack_bf16x2(1.f, -2.f), 0xc0003f80u);
  EXPECT_EQ(cuda::pack_bf16x2(1.f + 0x1p-8f, 1.f + 3 * 0x1p-8f), 0x3f823f80u);  // ties go to the even one
  EXPECT_EQ(cuda::pack_bf16x2(INFINITY, NAN), 0x7fff7f80u);
}

TEST(Conversions, Exp2ApproxFlushesSubnormals) {
  EXPECT_EQ(cuda::exp2_approx(3.f), 8.f);
  EXPECT_EQ(cuda::exp2_approx(-INFINITY), 0.f);
  EXPECT_EQ(cuda::exp2_approx(-127.f), 0.f);
  EXPECT_EQ(cuda::exp2_approx(-126.f), 0x1p-126f);
}

}  // namespace
}  // namespace kvgauge::testing
