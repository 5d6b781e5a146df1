// Bytes that the compiled gauge kernels move in global memory, counted by ptxsim, against what their task needs. The
// shapes are those of Llama-3.1-8B. The numbers in the pages do not matter here.
#include "ops_support.h"
#include "support/kernel_records.h"
#include "support/ptx_executor.h"

namespace kvgauge::testing {
namespace {

constexpr int kLayers = 32, kKvHeads = 8, kHeadDim = 128;

class KernelBytes : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    if (const std::string reason = reason_to_skip(executor()); !reason.empty()) GTEST_SKIP() << reason;
  }
  static Executor executor() { return {.kind = Executor::Kind::kPtx, .sm = GetParam()}; }
  /// Counted since the last clear_ptx_stats(); within 5 % of `needed`.
  static void expect_moved(const std::string& kernel, const std::string& what, double needed) {
    const ptxsim::Stats stats = ptx_stats(kernel);
    const std::uint64_t moved = stats.global_reads + stats.global_writes;
    record_kernel_bytes(kernel, "ptx sm_" + std::to_string(GetParam()), what, moved,
                        static_cast<std::uint64_t>(needed));
    EXPECT_NEAR(static_cast<double>(moved), needed, 0.05 * needed) << kernel << ", " << what;
    clear_ptx_stats();
  }
};

/// Of a span whose trajectory has `points` already: its K or V or both, once; e_1 or the e before, and the newest e;
/// dr, dtheta; the table.
double trajectory_bytes(std::int64_t tokens, std::int64_t points, int parts) {
  const double values = static_cast<double>(parts) * kKvHeads * kHeadDim, t = static_cast<double>(tokens);
  const double steps = points > 0 ? t : t - 1;
  return t * kLayers * values * sizeof(bf16_t) + 2 * values * sizeof(float) + 2 * steps * sizeof(float) +
         t * sizeof(std::int32_t);
}

TEST_P(KernelBytes, TheTrajectoryReadsItsSpanOnce) {
  Random random(test_seed(121));
  PagedCache cache({.layers = kLayers, .kv_heads = kKvHeads, .head_dim = kHeadDim}, 8, random);
  const auto a = cache.take_blocks(101), b = cache.take_blocks(65);
  const auto backend = backend_for(executor());
  for (const GaugePart part : {GaugePart::kV, GaugePart::kKV}) {
    const int parts = part == GaugePart::kKV ? 2 : 1;
    const std::string of = part == GaugePart::kKV ? ", K and V" : ", V";
    const auto state_a = backend->make_trajectory(parts * kKvHeads * kHeadDim, 101);
    const auto state_b = backend->make_trajectory(parts * kKvHeads * kHeadDim, 65);
    const auto extend = [&](std::int64_t begin_a, std::int64_t end_a, std::int64_t begin_b, std::int64_t end_b) {
      const TrajectoryItem items[] = {{.blocks = a.data(), .begin = begin_a, .end = end_a, .state = state_a.get()},
                                      {.blocks = b.data(), .begin = begin_b, .end = end_b, .state = state_b.get()}};
      backend->kv_trajectory({.pages = cache.view(), .spec = {.part = part, .layers = {}}, .items = items});
      backend->wait();
    };
    clear_ptx_stats();
    extend(0, 100, 0, 64);
    expect_moved("kv_trajectory_kernel", "prefill of 100 and 64 tokens" + of,
                 trajectory_bytes(100, 0, parts) + trajectory_bytes(64, 0, parts));
    extend(100, 101, 64, 65);
    expect_moved("kv_trajectory_kernel", "decode of 2 sequences" + of,
                 trajectory_bytes(1, 100, parts) + trajectory_bytes(1, 64, parts));
  }
}

TEST_P(KernelBytes, TheRegressorReadsItsWindowAndItsWeightsOnce) {
  Random random(test_seed(122));
  constexpr std::int64_t kWindow = 128, kFeatures = 2 * kKvHeads * kHeadDim, kHidden = 512, kItems = 2;
  PagedCache cache({.layers = 2, .kv_heads = kKvHeads, .head_dim = kHeadDim}, 12, random);
  const auto a = cache.take_blocks(150), b = cache.take_blocks(kWindow);
  const DeviceVector<float> w1(kHidden * kFeatures), b1(kHidden), w2(kHidden), b2(1);
  const auto backend = backend_for(executor());
  const PoolItem items[kItems] = {{.blocks = a.data(), .begin = 150 - kWindow, .end = 150},
                                  {.blocks = b.data(), .begin = 0, .end = kWindow}};
  std::vector<float> out(kItems);
  clear_ptx_stats();
  backend->kv_pool({.pages = cache.view(),
                    .spec = {},
                    .items = items,
                    .features = {},
                    .head = {.w1 = w1.data(), .b1 = b1.data(), .w2 = w2.data(), .b2 = b2.data(), .hidden = kHidden},
                    .out = out});
  backend->wait();
  const double window = 2.0 * kWindow * kFeatures * sizeof(bf16_t) + kWindow * sizeof(std::int32_t);
  const double head = kHidden * (kFeatures + 2.0) * sizeof(float);
  expect_moved("kv_pool_kernel", "2 windows of 128 tokens, 2 layers, a head of 512", kItems * (window + head));
}

TEST_P(KernelBytes, HiddenStatesAreReadOnce) {
  constexpr std::int64_t kColumns = 4096, kRows = 64;
  const GuardedMatrix states(kRows, kColumns, DType::kF32, 8);
  DeviceVector<double> sums(2 * kColumns);
  const auto backend = backend_for(executor());
  const LayerStatesItem items[] = {{.first_row = 0, .rows = kRows - 1, .sums = sums.data()},
                                   {.first_row = kRows - 1, .rows = 1, .sums = sums.data() + kColumns}};
  clear_ptx_stats();
  backend->layer_states({.states = states.view(), .items = items});
  backend->wait();
  expect_moved("layer_states_kernel", "prefill of 63 tokens, decode of 1",
               kRows * kColumns * sizeof(float) + 2 * 2.0 * kColumns * sizeof(double));
}

// Whole 32-byte sectors too: rows are read in packs of 16 bytes to their very end.
TEST_P(KernelBytes, StatisticsReadTheVocabularyOnce) {
  const auto backend = backend_for(executor());
  PtxOptions options;
  options.count_sectors = true;
  run_kernels_on_ptxsim(GetParam(), options);
  for (const std::int64_t vocab : {32'000, 151'936}) {
    const DeviceVector<float> logits(static_cast<std::size_t>(2 * vocab), 0.f);
    const std::vector<std::int32_t> rows = {1, 0}, chosen = {5, 7};
    std::vector<TokenLogitStats> out(2);
    const MatrixView view{const_cast<float*>(logits.data()), DType::kF32, 2, vocab, vocab};
    clear_ptx_stats();
    backend->logits_stats({.logits = view, .rows = rows, .chosen = chosen, .draws = {}, .out = out});
    backend->wait();
    EXPECT_GT(ptx_stats("logits_stats_kernel").coalescing(), 0.95) << vocab;
    expect_moved("logits_stats_kernel", "2 rows of " + std::to_string(vocab),
                 2.0 * static_cast<double>(vocab) * sizeof(float));
  }
}

INSTANTIATE_TEST_SUITE_P(Architectures, KernelBytes, ::testing::Values(80, 90),
                         [](const auto& instance) { return "sm_" + std::to_string(instance.param); });

}  // namespace
}  // namespace kvgauge::testing
