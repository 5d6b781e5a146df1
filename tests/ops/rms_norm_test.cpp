#include "reference/rms_norm.h"

#include "ops_support.h"

namespace kvgauge::testing {
namespace {

class RmsNorm : public OnEveryExecutor {};

TEST_P(RmsNorm, MatchesTheReference) {
  Random random(test_seed(31));
  const auto backend = backend_for(GetParam());
  for (const std::int64_t columns : {1, 15, 16, 17, 64, 100, 576, 4096, 4097, 17'412}) {
    for (const std::int64_t rows : {1, 3, 40}) {
      if (rows * columns > 40 * 600 && rows > 3) continue;
      const std::int64_t gap = rows == 3 ? 4 : 5;  // rows that start on 16 bytes, and rows that do not
      for (const DType dtype : {DType::kF32, DType::kBF16}) {
        for (const bool adds : {false, true}) {
          const auto count = static_cast<std::size_t>(rows * columns);
          const auto r = uniform_floats(random, count, -5, 5), x = uniform_floats(random, count);
          const auto w = on_device(uniform_floats(random, static_cast<std::size_t>(columns), 0, 2));
          GuardedMatrix residual(rows, columns, DType::kF32, gap), added(rows, columns, DType::kF32, gap + 4),
              out(rows, columns, dtype, gap);
          residual.set(r);
          added.set(x);
          backend->rms_norm({.residual = residual.view(),
                             .x = adds ? added.view() : MatrixView{},
                             .weight = w.data(),
                             .eps = 1e-5f,
                             .out = out.view()});
          for (std::int64_t row = 0; row < rows; ++row) {
            std::vector<double> sum;
            for (std::int64_t c = 0; c < columns; ++c) {
              const auto at = static_cast<std::size_t>(row * columns + c);
              const float want = adds ? r[at] + x[at] : r[at];
              ASSERT_EQ(residual.at(row, c), want);
              sum.push_back(want);
            }
            const auto want = reference_rms_norm(sum, {w.begin(), w.end()}, 1e-5f);
            for (std::int64_t c = 0; c < columns; ++c) {
              // the sum: columns/16 chained steps, a tree of 4 and 15 at most behind it; halved by the root; 5 more
              // roundings
              const double relative = (0.5 * (static_cast<double>(columns) / 16 + 20) + 5) * kFloatEps +
                                      (dtype == DType::kBF16 ? kBf16Eps : 0);
              ASSERT_NEAR(out.at(row, c), want[static_cast<std::size_t>(c)],
                          relative * std::abs(want[static_cast<std::size_t>(c)]))
                  << columns << " columns, row " << row << ", column " << c;
            }
          }
          EXPECT_TRUE(residual.intact() && added.intact() && out.intact());
        }
      }
    }
  }
}

TEST_P(RmsNorm, ARowHasTheSameBitsAloneAndTheSumCanBeAskedForAlone) {
  Random random(test_seed(32));
  const auto backend = backend_for(GetParam());
  GuardedMatrix all(50, 600, DType::kF32), out(50, 600, DType::kF32), one(1, 600, DType::kF32);
  all.set(uniform_floats(random, 50 * 600));
  const DeviceVector<float> w(600, 1.f);
  backend->rms_norm({.residual = all.view(), .x = {}, .weight = w.data(), .out = out.view()});
  MatrixView row = all.view();
  row.data = static_cast<float*>(row.data) + 7 * row.stride;
  row.rows = 1;
  backend->rms_norm({.residual = row, .x = {}, .weight = w.data(), .out = one.view()});
  for (int c = 0; c < 600; ++c) ASSERT_EQ(one.at(0, c), out.at(7, c));
  const auto before = all.values();
  backend->rms_norm({.residual = all.view(), .x = out.view(), .out = {}});
  for (std::int64_t i = 0; i < 50 * 600; ++i)
    ASSERT_EQ(all.at(i / 600, i % 600), before[static_cast<std::size_t>(i)] + out.at(i / 600, i % 600));
}

TEST_P(RmsNorm, TheAlignmentOfRowsDoesNotChangeABit) {
  Random random(test_seed(33));
  const auto backend = backend_for(GetParam());
  for (const std::int64_t columns : {64, 2560, 17'408}) {
    const auto values = uniform_floats(random, static_cast<std::size_t>(2 * columns));
    const auto w = on_device(uniform_floats(random, static_cast<std::size_t>(columns), 0, 2));
    std::vector<float> first;
    for (const std::int64_t gap : {4, 5}) {
      GuardedMatrix residual(2, columns, DType::kF32, gap), out(2, columns, DType::kF32, gap);
      residual.set(values);
      backend->rms_norm({.residual = residual.view(), .x = {}, .weight = w.data(), .out = out.view()});
      if (first.empty()) first = out.values();
      EXPECT_EQ(out.values(), first) << columns << " columns";
    }
  }
}

KVGAUGE_ON_EVERY_EXECUTOR(RmsNorm);

}  // namespace
}  // namespace kvgauge::testing
