#pragma once
#include <cstdint>
#include <random>
#include <vector>

#include "kvgauge/request.h"

namespace kvgauge::testing {

/// A small world of requests for random schedules: prompts share prefixes (so that the prefix cache has hits), lengths
/// cross page borders, spans, parts, layers, sampling, several answers and teacher-forced pairs are mixed. The same
/// seed gives the same requests.
inline std::vector<Request> request_pool(std::uint64_t seed, std::size_t count, std::int32_t vocab) {
  std::mt19937_64 random(seed);
  const auto below = [&](std::int64_t n) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n));
  };
  const auto tokens = [&](std::int64_t n) {
    std::vector<std::int32_t> out;
    for (std::int64_t i = 0; i < n; ++i) out.push_back(static_cast<std::int32_t>(below(vocab)));
    return out;
  };
  std::vector<std::vector<std::int32_t>> stems;
  for (int i = 0; i < 3; ++i) stems.push_back(tokens(80));

  std::vector<Request> pool;
  for (std::size_t i = 0; i < count; ++i) {
    Request request;
    const auto& stem = stems[static_cast<std::size_t>(below(3))];
    request.prompt.assign(stem.begin(), stem.begin() + below(81));
    const auto tail = tokens(1 + below(20));
    request.prompt.insert(request.prompt.end(), tail.begin(), tail.end());
    request.stream = i;
    request.scores = {.kv_coe = below(8) != 0,
                      .prob = below(3) != 0,
                      .part = static_cast<GaugePart>(below(3)),
                      .span = static_cast<GaugeSpan>(below(4)),
                      .keep_trajectory = true};
    if (!request.scores.kv_coe) request.scores.keep_trajectory = false;
    request.scores.coe = below(4) == 0;
    request.scores.coe_final_norm = below(2) == 0;
    request.scores.eigenscore = below(2) == 0;
    request.scores.unrotated_keys = below(4) == 0;
    if (below(4) == 0)
      request.scores.layers = below(2) == 0 ? std::vector<std::int32_t>{0, 2} : std::vector<std::int32_t>{1};
    if (below(3) == 0) {
      request.response = tokens(1 + below(50));
      for (std::int64_t more = below(3) == 0 ? 1 + below(2) : 0; more > 0; --more)
        request.further_responses.push_back({.tokens = tokens(1 + below(50)), .finished = below(2) == 0});
    } else {
      request.stop.max_tokens = 1 + below(90);  // several pages: growth beyond what admission foresees preempts others
      request.stop.ignore_eos = below(4) != 0;
      if (below(2) == 0)
        request.sampling = {.temperature = 0.8,
                            .top_p = 0.95,
                            .min_p = below(2) == 0 ? 0.02 : 0.0,
                            .top_k = below(2) * 40,
                            .seed = random()};
      request.samples = below(3) == 0 ? 1 + below(3) : 1;
    }
    pool.push_back(std::move(request));
  }
  return pool;
}

}  // namespace kvgauge::testing
