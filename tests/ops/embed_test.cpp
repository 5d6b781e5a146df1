#include "ops_support.h"

namespace kvgauge::testing {
namespace {

class Embed : public OnEveryExecutor {};

TEST_P(Embed, CopiesRowsExactly) {
  Random random(test_seed(51));
  const auto backend = backend_for(GetParam());
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const std::int64_t hidden : {1, 37, 64, 72, 2504}) {
      for (const std::int64_t gap : {4, 5}) {  // rows that start on 16 bytes, and rows that do not
        constexpr std::int64_t kVocab = 50;
        const auto table = rounded(uniform_floats(random, static_cast<std::size_t>(kVocab * hidden)), dtype);
        const auto bytes = on_device(stored(table, dtype));
        const std::vector<std::int32_t> ids = {0, 49, 7, 7, 12};
        GuardedMatrix out(5, hidden, DType::kF32, gap);
        backend->embed({.table = bytes.data(),
                        .table_dtype = dtype,
                        .vocab = kVocab,
                        .hidden = hidden,
                        .ids = ids,
                        .out = out.view()});
        for (std::int64_t r = 0; r < 5; ++r)
          for (std::int64_t c = 0; c < hidden; ++c)
            ASSERT_EQ(out.at(r, c), table[static_cast<std::size_t>(ids[static_cast<std::size_t>(r)] * hidden + c)])
                << hidden << " columns, row " << r << ", column " << c;
        EXPECT_TRUE(out.intact());
      }
    }
  }
}

/// The host refuses such ids; a device may get one from a draw that failed, and the other rows must go on.
TEST_P(Embed, AnIdOutsideOfTheTableGivesARowOfNanOnADevice) {
  if (!GetParam().on_device()) GTEST_SKIP() << "checked on the host";
  Random random(test_seed(52));
  const auto backend = backend_for(GetParam());
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    constexpr std::int64_t kVocab = 6, kHidden = 72;
    const auto table = rounded(uniform_floats(random, kVocab * kHidden), dtype);
    const auto bytes = on_device(stored(table, dtype));
    const std::vector<std::int32_t> ids = {-1, 5, kVocab, std::numeric_limits<std::int32_t>::min()};
    GuardedMatrix out(4, kHidden, DType::kF32, 4);
    out.set(std::vector<float>(4 * kHidden, 3.f));
    backend->embed({.table = bytes.data(),
                    .table_dtype = dtype,
                    .vocab = kVocab,
                    .hidden = kHidden,
                    .ids = ids,
                    .out = out.view()});
    for (std::int64_t c = 0; c < kHidden; ++c) {
      for (const std::int64_t row : {0, 2, 3}) ASSERT_TRUE(std::isnan(out.at(row, c))) << "row " << row;
      ASSERT_EQ(out.at(1, c), table[static_cast<std::size_t>(5 * kHidden + c)]);
    }
    EXPECT_TRUE(out.intact());
  }
}

KVGAUGE_ON_EVERY_EXECUTOR(Embed);

}  // namespace
}  // namespace kvgauge::testing
