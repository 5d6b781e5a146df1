#pragma once
#include <cstdint>
#include <limits>
#include <vector>

namespace kvgauge {

/// How the rate of requests grows from the first to the last one.
enum class RampUp : std::uint8_t { kNone, kLinear, kExponential };

/// A traffic of requests.
struct Traffic {
  double rate = std::numeric_limits<double>::infinity();  ///< requests a second; infinite: all at once
  double burstiness = 1;  ///< shape of the Gamma distribution of gaps: 1 is Poisson, less is burstier, more is evener
  RampUp ramp = RampUp::kNone;
  double start_rate = 0, end_rate = 0;  ///< of a ramp, in place of `rate`
};

/// Seconds from the start at which each of `count` requests is sent, ascending. Gaps are Gamma(burstiness,
/// 1 / (rate * burstiness)); the rate of request i of a ramp is start + (end - start) i / (count - 1), or
/// start (end / start)^(i / (count - 1)). Without a ramp they are scaled so that the last one is sent at count / rate,
/// so that the rate is met exactly. The same seed gives the same times.
std::vector<double> arrival_times(const Traffic& traffic, std::int64_t count, std::uint64_t seed);

}  // namespace kvgauge
