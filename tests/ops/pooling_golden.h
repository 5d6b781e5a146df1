#pragma once
// What the tests of pooling share: the goldens and a cache with their numbers.
#include "core/json.h"
#include "ops_support.h"
#include "reference/lcg.h"

namespace kvgauge::testing {

/// The five cases of tests/golden/pooling.json.
inline Json pooling_cases() {
  return parse_json(read_file(repo_path("tests/golden/pooling.json")), "pooling.json")["cases"];
}

inline PagedCache::Shape shape_of(const Json& one) {
  return {.layers = one["L"], .kv_heads = one["H"], .head_dim = one["d"], .dtype = DType::kF32};
}

/// K[L][H][T][d], then V, from one stream of the case's seed.
inline void put_golden(const Json& one, PagedCache& cache, const std::vector<std::int32_t>& blocks) {
  const PagedCache::Shape shape = shape_of(one);
  const std::int64_t tokens = one["T"];
  Lcg numbers(one["seed"]);
  for (const bool value : {false, true})
    for (int layer = 0; layer < shape.layers; ++layer)
      for (int head = 0; head < shape.kv_heads; ++head)
        for (std::int64_t t = 0; t < tokens; ++t) {
          const auto row = numbers.values(static_cast<std::size_t>(shape.head_dim));
          cache.put(value, layer, blocks, t, head, std::vector<float>(row.begin(), row.end()).data());
        }
}

}  // namespace kvgauge::testing
