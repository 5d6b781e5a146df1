#include "support/ptx_executor.h"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include "emulator_control.h"
#include "kvgauge/error.h"
#include "support/ptx_executor_kernels.h"

namespace kvgauge::testing {
namespace {

namespace emulator = kvgauge::cuda::emulator;

struct PtxExecutor : ::testing::TestWithParam<int> {
  void SetUp() override {
    if (!ptx_absence().empty()) GTEST_SKIP() << "skipped: " << ptx_absence();
    clear_ptx_stats();
    run_kernels_on_ptxsim(GetParam(), {.folder = KVGAUGE_TEST_PTX_FOLDER});
  }
  void TearDown() override {
    emulator::set_executor("", {});
    emulator::reset();
  }
  float* on_device(const std::vector<float>& values) {
    void* memory = nullptr;
    EXPECT_EQ(cudaMalloc(&memory, values.size() * sizeof(float)), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(memory, values.data(), values.size() * sizeof(float), cudaMemcpyHostToDevice), cudaSuccess);
    return static_cast<float*>(memory);
  }
  std::vector<float> on_host(const float* memory, std::size_t count) {
    std::vector<float> values(count);
    EXPECT_EQ(cudaMemcpy(values.data(), memory, count * sizeof(float), cudaMemcpyDeviceToHost), cudaSuccess);
    return values;
  }
  static std::vector<float> counting(std::size_t count) {
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i);
    return values;
  }
  /// What broke the device.
  std::string fault() {
    EXPECT_NE(cudaDeviceSynchronize(), cudaSuccess);
    const auto last = emulator::last_fault();
    return last ? last->text : "";
  }
};

TEST_P(PtxExecutor, RunsTheCompiledKernelAndCountsItsBytes) {
  constexpr std::int64_t kCount = 1000;
  const float* in = on_device(counting(kCount));
  float* out = on_device(std::vector<float>(kCount));
  launch_scale({in, out, kCount, kCount}, nullptr);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess) << emulator::last_fault()->text;
  const auto got = on_host(out, kCount);
  for (std::size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], 3 * static_cast<float>(i)) << i;
  const ptxsim::Stats stats = ptx_stats("scale_kernel");
  EXPECT_EQ(stats.global_reads, kCount * sizeof(float));
  EXPECT_EQ(stats.global_writes, kCount * sizeof(float));
  EXPECT_GT(stats.warp_instructions, 0u);
  EXPECT_EQ(ptx_stats("rotate_kernel").warp_instructions, 0u);
}

TEST_P(PtxExecutor, AnAccessBesideTheAllocationBreaksTheDevice) {
  const float* in = on_device(counting(100));
  float* out = on_device(std::vector<float>(100));
  launch_scale({in, out, 100, 101}, nullptr);
  const std::string text = fault();
  EXPECT_NE(text.find("outside of all registered ranges"), std::string::npos) << text;
  EXPECT_NE(text.find("thread (100,0,0)"), std::string::npos) << text;
  EXPECT_NE(text.find("ptx_executor_kernels.cu:"), std::string::npos) << text;
}

TEST_P(PtxExecutor, MemoryOfTheHostIsRefusedUntilAdopted) {
  auto in = counting(64);
  std::vector<float> out(64);
  emulator::adopt(in.data(), in.size() * sizeof(float));
  emulator::adopt(out.data(), out.size() * sizeof(float));
  launch_rotate({in.data(), out.data()}, nullptr);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess) << emulator::last_fault()->text;
  for (std::size_t i = 0; i < 64; ++i) EXPECT_EQ(out[i], in[(i + 33) % 64]);
  emulator::release(out.data());
  launch_rotate({in.data(), out.data()}, nullptr);
  EXPECT_NE(fault().find("outside of all registered ranges"), std::string::npos);
  emulator::release(in.data());
}

TEST_P(PtxExecutor, ARaceBetweenWarpsBreaksTheDevice) {
  const float* in = on_device(counting(64));
  float* out = on_device(std::vector<float>(64));
  launch_rotate({in, out, /*with_barrier=*/false}, nullptr);
  const std::string text = fault();
  EXPECT_NE(text.find("race"), std::string::npos) << text;
  EXPECT_NE(text.find("rotate_kernel"), std::string::npos) << text;
}

TEST_P(PtxExecutor, AKernelWithoutPtxIsNamed) {
  run_kernels_on_ptxsim(GetParam());  // the product's kernels only
  const float* in = on_device(counting(64));
  float* out = on_device(std::vector<float>(64));
  launch_rotate({in, out}, nullptr);
  const std::string text = fault();
  EXPECT_NE(text.find("none has kernel"), std::string::npos) << text;
  EXPECT_NE(text.find("rotate_kernel"), std::string::npos) << text;
}

TEST_P(PtxExecutor, KnowsTheProductsKernels) {
  const auto kernels = ptx_kernels(GetParam());
  EXPECT_TRUE(std::any_of(kernels.begin(), kernels.end(),
                          [](const std::string& k) { return k.find("copy_pages_kernel") != std::string::npos; }));
}

INSTANTIATE_TEST_SUITE_P(Architectures, PtxExecutor, ::testing::Values(80, 90),
                         [](const auto& info) { return "sm_" + std::to_string(info.param); });

TEST(PtxExecutorAbsent, AnUnknownArchitectureIsRefused) { EXPECT_THROW(run_kernels_on_ptxsim(75), Error); }

}  // namespace
}  // namespace kvgauge::testing
