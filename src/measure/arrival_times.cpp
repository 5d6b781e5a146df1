#include "measure/arrival_times.h"

#include <cmath>
#include <random>

namespace kvgauge {

std::vector<double> arrival_times(const Traffic& traffic, std::int64_t count, std::uint64_t seed) {
  std::vector<double> times(static_cast<std::size_t>(count), 0.0);
  if (traffic.ramp == RampUp::kNone && std::isinf(traffic.rate)) return times;
  std::mt19937_64 random(seed);
  double at = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double share = count > 1 ? static_cast<double>(i) / static_cast<double>(count - 1) : 0;
    double rate = traffic.rate;
    if (traffic.ramp == RampUp::kLinear)
      rate = traffic.start_rate + (traffic.end_rate - traffic.start_rate) * share;
    else if (traffic.ramp == RampUp::kExponential)
      rate = traffic.start_rate * std::pow(traffic.end_rate / traffic.start_rate, share);
    at += std::gamma_distribution<double>(traffic.burstiness, 1 / (rate * traffic.burstiness))(random);
    times[static_cast<std::size_t>(i)] = at;
  }
  if (traffic.ramp == RampUp::kNone && at > 0)
    for (double& time : times) time *= static_cast<double>(count) / traffic.rate / at;
  return times;
}

}  // namespace kvgauge
