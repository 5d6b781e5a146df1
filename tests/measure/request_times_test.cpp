#include "measure/request_times.h"

#include <gtest/gtest.h>

namespace kvgauge {
namespace {

TEST(RequestTimes, LatenciesFollowTheirDefinitions) {
  LatencySamples samples;
  samples.add({.sent = 1, .tokens = {1.5, 1.75, 2.25}});
  samples.add({.sent = 2, .tokens = {2.125}});  // one token: neither TPOT nor ITL
  samples.add({.sent = 3, .tokens = {}});
  EXPECT_EQ(samples.ttft, std::vector<double>({500, 125}));
  EXPECT_EQ(samples.e2el, std::vector<double>({1250, 125}));
  EXPECT_EQ(samples.tpot, std::vector<double>({375}));
  EXPECT_EQ(samples.itl, std::vector<double>({250, 500}));
  LatencySamples twice = samples;
  twice.add(samples);
  EXPECT_EQ(twice.itl.size(), 4u);

  OrderedJson row;
  put_latencies(row, samples);
  EXPECT_EQ(row["mean_ttft_ms"], 312.5);
  EXPECT_EQ(row["median_ttft_ms"], 312.5);
  EXPECT_EQ(row["std_ttft_ms"], 187.5);
  EXPECT_EQ(row["p99_itl_ms"], 497.5);  // 250 + .99 * 250
  EXPECT_EQ(row["p50_tpot_ms"], 375);
  OrderedJson none;
  put_latencies(none, {});
  EXPECT_TRUE(none["mean_tpot_ms"].is_null());
  EXPECT_TRUE(none["p99_e2el_ms"].is_null());
}

TEST(RequestTimes, PeaksAreCountedInSecondsAndAtOneTime) {
  const std::vector<RequestTimes> requests = {{.sent = 10, .tokens = {10.5, 10.9, 11.1}},
                                              {.sent = 10.2, .tokens = {10.6, 12.0}},
                                              {.sent = 12.0, .tokens = {12.5}},
                                              {.sent = 10, .tokens = {}}};
  EXPECT_EQ(peak_tokens_per_second(requests, 10), 3);
  EXPECT_EQ(peak_concurrency(requests), 2);  // the third starts as the second ends
  EXPECT_EQ(peak_tokens_per_second({}, 0), 0);
  EXPECT_EQ(peak_concurrency({}), 0);
}

}  // namespace
}  // namespace kvgauge
