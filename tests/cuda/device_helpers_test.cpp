// The helpers that kernels share, in kernels of their own.
#include "device_helpers.h"

#include "cuda/stream.h"
#include "ops/ops_support.h"
#if defined(KVGAUGE_EMULATED)
#include "emulator_control.h"
#include "support/ptx_executor.h"
#endif

namespace kvgauge::testing {
namespace {

class DeviceHelpers : public OnEveryExecutor {
 protected:
  void SetUp() override {
    OnEveryExecutor::SetUp();
    if (IsSkipped()) return;
#if defined(KVGAUGE_EMULATED)
    if (GetParam().kind == Executor::Kind::kPtx) {
      run_kernels_on_ptxsim(GetParam().sm, {.folder = KVGAUGE_TEST_PTX_FOLDER});
    } else {
      cuda::emulator::set_executor("", {});
      cuda::emulator::set_every_order(true);
    }
#endif
  }
};

/// Small integers, so that every order of a sum gives the same bits and any wrong term shows.
DeviceVector<float> small_integers(Random& random, std::size_t count) {
  DeviceVector<float> out(count);
  for (float& x : out) x = static_cast<float>(static_cast<int>(random() % 2001) - 1000);
  return out;
}

TEST_P(DeviceHelpers, ReductionsAreRightInEveryThreadAndMayFollowEachOther) {
  Random random(test_seed(91));
  const cuda::Stream stream;
  const cuda::Event done;
  for (const int threads : {32, 96, 1024}) {
    constexpr int kBlocks = 3;
    const auto count = static_cast<std::size_t>(kBlocks * threads);
    const auto x = small_integers(random, count);
    DeviceVector<float> sums(count), second(count), warp_sums(count), maxima(count);
    DeviceVector<double> wide(count);
    DeviceVector<std::int64_t> places(count);
    launch_helpers({.x = x.data(),
                    .out = {.block_sums = sums.data(),
                            .second_block_sums = second.data(),
                            .block_sums_double = wide.data(),
                            .warp_sums = warp_sums.data(),
                            .warp_maxima = maxima.data(),
                            .places = places.data()}},
                   kBlocks, threads, stream.get());
    done.record(stream);
    done.wait();
    for (std::size_t i = 0; i < count; ++i) {
      const auto block = x.begin() + static_cast<std::ptrdiff_t>(i) / threads * threads,
                 warp = x.begin() + static_cast<std::ptrdiff_t>(i) / 32 * 32;
      const float sum = std::accumulate(block, block + threads, 0.f);
      EXPECT_EQ(sums[i], sum) << "thread " << i << " of blocks of " << threads;
      EXPECT_EQ(second[i], 2 * sum + static_cast<float>(threads)) << "thread " << i << " of blocks of " << threads;
      EXPECT_EQ(wide[i], sum);
      EXPECT_EQ(warp_sums[i], std::accumulate(warp, warp + 32, 0.f));
      EXPECT_EQ(maxima[i], *std::max_element(warp, warp + 32));
      const auto place = static_cast<std::int64_t>(i), in_block = place % threads;
      EXPECT_EQ(places[i], place * 10'000 + in_block / 32 * 100 + in_block % 32);
    }
  }
}

TEST_P(DeviceHelpers, RowsAreCopiedToTheirLastValueAndNoFurther) {
  Random random(test_seed(92));
  const cuda::Stream stream;
  const cuda::Event done;
  for (const std::int64_t columns : {1, 3, 4, 6, 256, 300, 1027}) {
    for (const std::int64_t offset : {0, 1}) {  // of the rows from an aligned address
      const bool whole = offset == 0 && columns % 4 == 0;
      const auto values = uniform_floats(random, static_cast<std::size_t>(columns + offset), -100, 100);
      const auto from = on_device(values);
      GuardedMatrix to(1, columns + offset, DType::kF32, 4), narrow(1, columns + offset, DType::kBF16, 4);
      launch_row_copy({.from = from.data() + offset,
                       .to = static_cast<float*>(to.view().data) + offset,
                       .narrow = static_cast<bf16_t*>(narrow.view().data) + offset,
                       .columns = columns},
                      whole, stream.get());
      done.record(stream);
      done.wait();
      for (std::int64_t c = offset; c < columns + offset; ++c) {
        EXPECT_EQ(to.at(0, c), values[static_cast<std::size_t>(c)]);
        EXPECT_EQ(narrow.at(0, c), to_float(to_bf16(values[static_cast<std::size_t>(c)])));
      }
      EXPECT_TRUE(to.intact() && narrow.intact()) << columns << " columns";
    }
  }
}

KVGAUGE_ON_EVERY_DEVICE(DeviceHelpers);

}  // namespace
}  // namespace kvgauge::testing
