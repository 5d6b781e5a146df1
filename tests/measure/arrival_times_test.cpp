#include "measure/arrival_times.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace kvgauge {
namespace {

// Coefficient of variation of the gaps.
double variation(const std::vector<double>& times) {
  double sum = 0, squares = 0, before = 0;
  for (const double t : times) {
    sum += t - before;
    squares += (t - before) * (t - before);
    before = t;
  }
  const auto n = static_cast<double>(times.size());
  return std::sqrt(squares / n - sum * sum / n / n) / (sum / n);
}

TEST(ArrivalTimes, AllAtOnceOrAtTheRate) {
  EXPECT_EQ(arrival_times({}, 3, 1), std::vector<double>({0, 0, 0}));
  EXPECT_TRUE(arrival_times({.rate = 2}, 0, 1).empty());
  const std::vector<double> times = arrival_times({.rate = 4}, 1000, 7);
  EXPECT_TRUE(std::is_sorted(times.begin(), times.end()));
  EXPECT_NEAR(times.back(), 250, 1e-9);  // 1000 / 4: scaled to it
  EXPECT_EQ(times, arrival_times({.rate = 4}, 1000, 7));
  EXPECT_NE(times, arrival_times({.rate = 4}, 1000, 8));
}

TEST(ArrivalTimes, BurstinessIsTheGammaShape) {
  // A Gamma of shape k varies by 1 / sqrt(k); 20,000 gaps tell it within a few per cent (heavier tails below 1).
  for (const double shape : {0.25, 1.0, 4.0})
    EXPECT_NEAR(variation(arrival_times({.rate = 10, .burstiness = shape}, 20000, 3)), 1 / std::sqrt(shape),
                0.06 / std::sqrt(shape));
}

TEST(ArrivalTimes, RampsGoFromOneRateToTheOther) {
  // Even gaps (a large shape): the number of seconds is the sum of 1 / rate.
  for (const RampUp ramp : {RampUp::kLinear, RampUp::kExponential}) {
    const Traffic traffic{.burstiness = 1e6, .ramp = ramp, .start_rate = 2, .end_rate = 8};
    const std::vector<double> times = arrival_times(traffic, 101, 1);
    EXPECT_NEAR(times[0], 0.5, 0.005);
    EXPECT_NEAR(times[100] - times[99], 1 / 8.0, 0.005);
    const double middle = ramp == RampUp::kLinear ? 5 : 4;
    EXPECT_NEAR(times[50] - times[49], 1 / middle, 0.005);
  }
}

}  // namespace
}  // namespace kvgauge
