#include "measure/request_times.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>

#include "core/cat.h"
#include "metrics/sample_statistics.h"

namespace kvgauge {
namespace {

void put(OrderedJson& to, const std::string& name, std::vector<double> values) {
  const SampleSummary summary = summarize(values);
  std::sort(values.begin(), values.end());
  const auto field = [&](const char* statistic, double value) {
    to[cat(statistic, "_", name, "_ms")] = std::isfinite(value) ? OrderedJson(value) : OrderedJson();
  };
  field("mean", summary.mean);
  field("median", summary.median);
  field("std", summary.std);
  field("p50", summary.median);
  field("p90", quantile_of_sorted(values, 0.90));
  field("p95", quantile_of_sorted(values, 0.95));
  field("p99", quantile_of_sorted(values, 0.99));
}

}  // namespace

void LatencySamples::add(const RequestTimes& request) {
  if (request.tokens.empty()) return;
  constexpr double kMs = 1e3;
  const double first = request.tokens.front(), last = request.tokens.back();
  ttft.push_back((first - request.sent) * kMs);
  e2el.push_back((last - request.sent) * kMs);
  if (request.tokens.size() < 2) return;
  tpot.push_back((last - first) * kMs / static_cast<double>(request.tokens.size() - 1));
  for (std::size_t i = 1; i < request.tokens.size(); ++i)
    itl.push_back((request.tokens[i] - request.tokens[i - 1]) * kMs);
}

void LatencySamples::add(const LatencySamples& more) {
  for (const auto& [to, from] :
       {std::pair(&ttft, &more.ttft), {&tpot, &more.tpot}, {&itl, &more.itl}, {&e2el, &more.e2el}})
    to->insert(to->end(), from->begin(), from->end());
}

void put_latencies(OrderedJson& to, const LatencySamples& samples) {
  put(to, "ttft", samples.ttft);
  put(to, "tpot", samples.tpot);
  put(to, "itl", samples.itl);
  put(to, "e2el", samples.e2el);
}

double peak_tokens_per_second(const std::vector<RequestTimes>& requests, double begin) {
  std::map<std::int64_t, std::int64_t> seconds;
  std::int64_t most = 0;
  for (const RequestTimes& request : requests)
    for (const double token : request.tokens)
      most = std::max(most, ++seconds[static_cast<std::int64_t>(std::floor(token - begin))]);
  return static_cast<double>(most);
}

std::int64_t peak_concurrency(const std::vector<RequestTimes>& requests) {
  std::vector<std::pair<double, int>> changes;  // an end at the time of a start comes first
  for (const RequestTimes& request : requests) {
    if (request.tokens.empty()) continue;
    changes.emplace_back(request.sent, 1);
    changes.emplace_back(request.tokens.back(), -1);
  }
  std::sort(changes.begin(), changes.end());
  std::int64_t now = 0, most = 0;
  for (const auto& change : changes) most = std::max(most, now += change.second);
  return most;
}

}  // namespace kvgauge
