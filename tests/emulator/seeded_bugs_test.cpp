// Each kernel here is wrong in one way; the emulator says so, or its results show it.
#include <algorithm>
#include <cmath>
#include <set>

#include "emulator_test.h"

namespace kvgauge::cuda {

struct BugArgs {
  const float* in;
  float* out;
  int count;
};

__global__ void missing_barrier_kernel(BugArgs args) {
  __shared__ float values[64];
  values[threadIdx.x] = args.in[threadIdx.x];
  args.out[threadIdx.x] = values[63 - threadIdx.x];
}

// block_sum of device.cuh without the barrier behind its last read, called twice.
__global__ void missing_trailing_barrier_kernel(BugArgs args) {
  __shared__ float scratch[kWarpSize];
  float total = 0;
  for (int round = 1; round <= 2; ++round) {
    const float value = warp_sum(args.in[threadIdx.x] * static_cast<float>(round));
    if (lane_index() == 0) scratch[warp_index()] = value;
    __syncthreads();
    for (int warp = 0; warp < static_cast<int>(blockDim.x) / kWarpSize; ++warp) total += scratch[warp];
  }
  args.out[threadIdx.x] = total;
}

__global__ void index_one_too_high_kernel(BugArgs args) { args.out[threadIdx.x + 1] = 1; }
__global__ void index_below_kernel(BugArgs args) { args.out[static_cast<std::int64_t>(threadIdx.x) - 4] = 1; }
__global__ void wild_read_kernel(BugArgs args) { args.out[threadIdx.x] = args.in[args.count]; }

__global__ void lane_outside_its_mask_kernel(BugArgs args) {
  args.out[threadIdx.x] = __shfl_xor_sync(0x0000ffffu, 1.f, 1);
}
__global__ void source_outside_the_mask_kernel(BugArgs args) {
  if (threadIdx.x < 16) args.out[threadIdx.x] = __shfl_xor_sync(0x0000ffffu, 1.f, 16);
}
__global__ void half_a_warp_kernel(BugArgs args) {
  if (threadIdx.x % 32 < 16) args.out[threadIdx.x] = __shfl_xor_sync(kAllLanes, 1.f, 1);
}
__global__ void two_shuffles_kernel(BugArgs args) {
  float value = 1;
  if (threadIdx.x % 2 == 0) {
    value = __shfl_xor_sync(kAllLanes, value, 1);
  } else {
    value = __shfl_xor_sync(kAllLanes, value, 3);
  }
  args.out[threadIdx.x] = value;
}

__global__ void divergent_barrier_kernel(BugArgs args) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  args.out[threadIdx.x] = 1;
}
__global__ void early_return_kernel(BugArgs args) {
  if (threadIdx.x == 63) return;
  __syncthreads();
  args.out[threadIdx.x] = 1;
}

__global__ void uninitialised_shared_kernel(BugArgs args) {
  __shared__ float values[64];
  if (threadIdx.x != 0) values[threadIdx.x] = 1;
  __syncthreads();
  args.out[threadIdx.x] = values[threadIdx.x];
}
__global__ void last_blocks_shared_kernel(BugArgs args) {
  float* const values = shared<float>();
  if (blockIdx.x == 0) values[threadIdx.x] = 1;
  __syncthreads();
  args.out[global_thread_index()] = values[threadIdx.x];
}

__global__ void missing_wait_kernel(BugArgs args) {
  float* const values = shared<float>();
  cp_async_16(values + 4 * threadIdx.x, args.in + 4 * threadIdx.x);
  cp_async_commit();
  __syncthreads();
  args.out[threadIdx.x] = values[4 * threadIdx.x];
  cp_async_wait<0>();
}
__global__ void wait_for_the_older_group_kernel(BugArgs args) {
  float* const values = shared<float>();
  for (int group = 0; group < 2; ++group) {
    cp_async_16(values + 128 * group + 4 * threadIdx.x, args.in + 128 * group + 4 * threadIdx.x);
    cp_async_commit();
  }
  cp_async_wait<1>();
  __syncthreads();
  args.out[threadIdx.x] = values[4 * threadIdx.x];
  args.out[32 + threadIdx.x] = values[128 + 4 * threadIdx.x];
  cp_async_wait<0>();
}
__global__ void misaligned_copy_kernel(BugArgs args) {
  cp_async_16(shared<float>(), args.in + 1);
  cp_async_commit();
  cp_async_wait<0>();
}
__global__ void misaligned_matrix_kernel(BugArgs args) {
  std::uint32_t words[4];
  ldmatrix_x4(words, shared<float>() + 4 * threadIdx.x + 1);
  args.out[threadIdx.x] = static_cast<float>(words[0]);
}
__global__ void never_waited_kernel(BugArgs args) {
  cp_async_16(shared<float>() + 4 * threadIdx.x, args.in + 4 * threadIdx.x);
  cp_async_commit();
}
__global__ void divides_by_zero_kernel(BugArgs args) { args.out[0] = static_cast<float>(7 / args.count); }
__global__ void trap_kernel(BugArgs) { __trap(); }
__global__ void no_dynamic_shared_kernel(BugArgs args) { shared<float>()[0] = args.in[0]; }

}  // namespace kvgauge::cuda

namespace kvgauge::testing {
namespace {

using cuda::launch;
using emulator::FaultKind;

constexpr int kCount = 256;

class SeededBugs : public EmulatorTest {
 protected:
  void SetUp() override {
    TearDown();  // what a device before this one had
    std::vector<float> values(kCount);
    for (int i = 0; i < kCount; ++i) values[i] = static_cast<float>(i + 1);
    in_ = std::make_unique<DeviceArray<float>>(values);
    out_ = std::make_unique<DeviceArray<float>>(kCount);
  }
  void TearDown() override {
    in_.reset();
    out_.reset();
    start_again();
  }
  void start(void (*kernel)(cuda::BugArgs), unsigned blocks, unsigned threads, unsigned shared_bytes = 0,
             int count = 0) {
    launch(nullptr, {dim3(blocks), dim3(threads), shared_bytes}, kernel, {in_->data(), out_->data(), count});
  }
  std::vector<float> results() const { return out_->values(); }
  /// How many of the first results are NaN, which undefined memory holds.
  int undefined(int count) const {
    const auto got = results();
    return static_cast<int>(std::count_if(got.begin(), got.begin() + count, [](float x) { return std::isnan(x); }));
  }

  std::unique_ptr<DeviceArray<float>> in_, out_;
};

TEST_F(SeededBugs, AMissingBarrierReadsUndefinedSharedMemory) {
  if (kRacesAreReported) GTEST_SKIP() << "seen by emulator_races";
  for (const auto order : kOrders) {
    emulator::set_order(order);
    start(cuda::missing_barrier_kernel, 1, 64);
#if defined(KVGAUGE_EMULATOR_ASAN)  // static arrays are not undefined there
    continue;
#endif
    EXPECT_GT(undefined(64), 0) << name(order);
  }
}

TEST_F(SeededBugs, AMissingTrailingBarrierIsWrongInEveryOrder) {
  if (kRacesAreReported) GTEST_SKIP() << "seen by emulator_races";
  for (const auto order : kOrders) {
    emulator::set_order(order);
    start(cuda::missing_trailing_barrier_kernel, 1, 128);
    constexpr float kOnce = 128.f * 129.f / 2.f;
    const auto got = results();
    EXPECT_NE(std::vector<float>(got.begin(), got.begin() + 128), std::vector<float>(128, kOnce + 2 * kOnce))
        << name(order);
  }
}

TEST_F(SeededBugs, AnIndexOneTooHighTouchesWhatLiesBehind) {
  start(cuda::index_one_too_high_kernel, 1, kCount);
  expect_fault(FaultKind::kOutOfBounds,
               {"index_one_too_high_kernel", "block (0,0,0)", "thread (255,0,0)", "0 bytes behind cudaMalloc 2"});
  EXPECT_EQ(cudaGetLastError(), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress) << "a broken device stays broken";
}

#if !defined(KVGAUGE_EMULATOR_ASAN)  // there the sanitizer ends the program at the access itself
TEST_F(SeededBugs, AnIndexIntoTheAlignmentsSlackIsFoundWhenTheKernelEnds) {
  const DeviceArray<float> small(9);
  launch(nullptr, {dim3(1), dim3(9)}, cuda::index_one_too_high_kernel, {in_->data(), small.data(), 0});
  expect_fault(FaultKind::kOutOfBounds, {"index_one_too_high_kernel", "0 bytes behind cudaMalloc 3 of 36 bytes"});
}

TEST_F(SeededBugs, AnIndexBelowTheBeginIsFoundWhenTheKernelEnds) {
  start(cuda::index_below_kernel, 1, 8);
  expect_fault(FaultKind::kOutOfBounds, {"index_below_kernel", "16 bytes before cudaMalloc 2"});
}
#endif

TEST_F(SeededBugs, AWildReadIsAFaultOfItsThread) {
  start(cuda::wild_read_kernel, 1, 32, 0, 1'000'000);
  expect_fault(FaultKind::kOutOfBounds, {"wild_read_kernel", "thread (0,0,0)", "behind"});
}

TEST_F(SeededBugs, ShufflesWithWrongMasksAreRefused) {
  start(cuda::lane_outside_its_mask_kernel, 1, 32);
  expect_fault(FaultKind::kLaneOutsideMask, {"lane 16 calls", "0xffff", "seeded_bugs_test.cpp:"});
  SetUp();
  start(cuda::source_outside_the_mask_kernel, 1, 32);
  expect_fault(FaultKind::kLaneOutsideMask, {"reads lane 16", "0xffff"});
  SetUp();
  start(cuda::half_a_warp_kernel, 1, 64);
  expect_fault(FaultKind::kAbsentLanes, {"half_a_warp_kernel", "waits for lanes 0xffff0000"});
  SetUp();
  start(cuda::half_a_warp_kernel, 1, 16);
  expect_fault(FaultKind::kAbsentLanes, {"the block of 16 threads does not have"});
  SetUp();
  start(cuda::two_shuffles_kernel, 1, 32);
  expect_fault(FaultKind::kDivergentCollective, {"divergent warp", "seeded_bugs_test.cpp:"});
}

TEST_F(SeededBugs, DivergentBarriersAreRefused) {
  start(cuda::divergent_barrier_kernel, 2, 64);
  expect_fault(FaultKind::kDivergentBarrier, {"divergent_barrier_kernel", "thread (32,0,0)", "seeded_bugs_test.cpp:"});
  SetUp();
  start(cuda::early_return_kernel, 2, 64);
  expect_fault(FaultKind::kDivergentBarrier, {"63 of 64 threads wait, 1 have ended"});
}

TEST_F(SeededBugs, SharedMemoryIsUndefinedAtTheStartOfEveryBlock) {
#if !defined(KVGAUGE_EMULATOR_ASAN)
  start(cuda::uninitialised_shared_kernel, 1, 64);
  EXPECT_EQ(undefined(64), 1);
#endif
  start(cuda::last_blocks_shared_kernel, 2, 64, 64 * sizeof(float));
  EXPECT_EQ(undefined(128), 64);
}

TEST_F(SeededBugs, CopiesThatWereNotWaitedForHaveNotHappened) {
  start(cuda::missing_wait_kernel, 1, 32, 512);
  EXPECT_EQ(undefined(32), 32);
  start(cuda::wait_for_the_older_group_kernel, 1, 32, 1024);
  EXPECT_EQ(undefined(32), 0);
  EXPECT_EQ(undefined(64), 32);
  start(cuda::never_waited_kernel, 1, 32, 512);
  expect_fault(FaultKind::kTrap, {"never_waited_kernel", "1 copies of cp.async not waited for"});
}

TEST_F(SeededBugs, MisalignedAddressesAreRefused) {
  start(cuda::misaligned_copy_kernel, 1, 1, 16);
  expect_fault(FaultKind::kMisaligned, {"misaligned_copy_kernel", "cp.async"});
  SetUp();
  start(cuda::misaligned_matrix_kernel, 1, 32, 1024);
  expect_fault(FaultKind::kMisaligned, {"misaligned_matrix_kernel", "ldmatrix"});
}

TEST_F(SeededBugs, TrapsAndDivisionsByZeroNameTheirThread) {
  start(cuda::trap_kernel, 1, 1);
  expect_fault(FaultKind::kTrap, {"trap_kernel", "thread (0,0,0)"});
#if !defined(KVGAUGE_EMULATOR_ASAN)
  SetUp();
  start(cuda::divides_by_zero_kernel, 1, 1);
  expect_fault(FaultKind::kTrap, {"divides_by_zero_kernel", "division by zero"});
#endif
  SetUp();
  start(cuda::no_dynamic_shared_kernel, 1, 1);
  expect_fault(FaultKind::kOutOfBounds, {"0 bytes of dynamic shared memory"});
}

TEST_F(SeededBugs, ImpossibleShapesAreRefusedAtTheLaunch) {
  const auto message = [&](dim3 grid, dim3 block, unsigned shared_bytes) {
    try {
      launch(nullptr, {grid, block, shared_bytes}, cuda::trap_kernel, {});
    } catch (const DeviceError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(message(dim3(0), dim3(32), 0).find("trap_kernel"), std::string::npos);
  EXPECT_NE(message(dim3(1), dim3(1025), 0).find("invalid configuration"), std::string::npos);
  EXPECT_NE(message(dim3(1, 65536), dim3(1), 0), "");
  EXPECT_NE(message(dim3(1), dim3(1), 300'000).find("shared 300000"), std::string::npos);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess) << "nothing was queued, nothing is broken";
}

}  // namespace
}  // namespace kvgauge::testing
