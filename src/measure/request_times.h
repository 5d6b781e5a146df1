#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/json.h"

namespace kvgauge {

/// When one request was sent and when each of its tokens came, in seconds of one clock.
struct RequestTimes {
  double sent = 0;
  std::vector<double> tokens;
};

/// Latencies in milliseconds under the names that vllm bench has for them.
///   TTFT = first token - sent          TPOT = (last token - first) / (tokens - 1), of requests of at least two tokens
///   ITL  = every gap between two tokens of a request, of all requests together     E2EL = last token - sent
struct LatencySamples {
  std::vector<double> ttft, tpot, itl, e2el;
  void add(const RequestTimes& request);  ///< one without tokens adds nothing
  void add(const LatencySamples& more);
};

/// mean_X_ms, median_X_ms, std_X_ms, p50_X_ms, p90_X_ms, p95_X_ms, p99_X_ms for X = ttft, tpot, itl, e2el; null where
/// there are no values.
void put_latencies(OrderedJson& to, const LatencySamples& samples);

/// The most tokens (of all requests) in one second: seconds are counted from `begin`.
double peak_tokens_per_second(const std::vector<RequestTimes>& requests, double begin);
/// The most requests that were sent and not finished at the same time.
std::int64_t peak_concurrency(const std::vector<RequestTimes>& requests);

}  // namespace kvgauge
