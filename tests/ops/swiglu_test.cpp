#include "reference/swiglu.h"

#include "ops_support.h"

namespace kvgauge::testing {
namespace {

class Swiglu : public OnEveryExecutor {};

TEST_P(Swiglu, MatchesTheReferenceFromEndToEnd) {
  Random random(test_seed(41));
  const auto backend = backend_for(GetParam());
  for (const std::int64_t columns : {1, 17, 64, 1030, 1536}) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      constexpr std::int64_t kRows = 7;
      const std::int64_t gap = columns % 4 == 0 ? 4 : 5;  // rows that start on 16 bytes, and rows that do not
      GuardedMatrix in(kRows, 2 * columns, DType::kF32, gap), out(kRows, columns, dtype, gap);
      auto values = uniform_floats(random, static_cast<std::size_t>(kRows * 2 * columns), -12, 12);
      const float extremes[] = {0.f, -0.f, 200.f, -200.f, 88.f, -88.f, -87.4f, 1e-30f, -1e-30f, 3e38f, -3e38f};
      for (std::size_t i = 0; i < std::size(extremes) && i < static_cast<std::size_t>(columns); ++i)
        values[i] = extremes[i];
      in.set(values);
      backend->swiglu({.gate_up = in.view(), .out = out.view()});
      for (std::int64_t r = 0; r < kRows; ++r) {
        for (std::int64_t c = 0; c < columns; ++c) {
          const float gate = in.at(r, c), up = in.at(r, columns + c);
          const double want = reference_swiglu(gate, up);
          // exp 2 ulp, then four roundings; below exp(-87.3) the exponential is 0
          const double tolerance = (10 * kFloatEps + (dtype == DType::kBF16 ? kBf16Eps : 0)) * std::abs(want) +
                                   2e-38 * std::abs(double{gate} * up);
          const double most = std::numeric_limits<float>::max();
          if (std::abs(want) > most) continue;
          ASSERT_NEAR(out.at(r, c), want, tolerance + 1e-37) << gate << " * " << up;
        }
      }
      EXPECT_TRUE(in.intact() && out.intact());
    }
  }
}

KVGAUGE_ON_EVERY_EXECUTOR(Swiglu);

}  // namespace
}  // namespace kvgauge::testing
