#include "reference/kv_pool.h"

#include "pooling_golden.h"

namespace kvgauge::testing {
namespace {

class KvPool : public OnEveryExecutor {};

/// A head whose weights lie where the executor reads them.
struct Head {
  Head(std::vector<float> w1, std::vector<float> b1, std::vector<float> w2, float b2)
      : w1(std::move(w1)),
        b1(std::move(b1)),
        w2(std::move(w2)),
        b2(b2),
        device_w1(on_device(this->w1)),
        device_b1(on_device(this->b1)),
        device_w2(on_device(this->w2)),
        device_b2(1, b2) {}
  Head(std::int64_t features, std::int64_t hidden, Random& random)
      : Head(uniform_floats(random, static_cast<std::size_t>(features * hidden)),
             uniform_floats(random, static_cast<std::size_t>(hidden), -9, 9),
             uniform_floats(random, static_cast<std::size_t>(hidden)), 0.75f) {}
  void standardise(std::int64_t features, Random& random) {
    mean = uniform_floats(random, static_cast<std::size_t>(features));
    deviation = uniform_floats(random, static_cast<std::size_t>(features), 0.5, 4);
    device_mean = on_device(mean);
    device_deviation = on_device(deviation);
  }
  PoolHead view() const {
    return {.w1 = device_w1.data(),
            .b1 = device_b1.data(),
            .w2 = device_w2.data(),
            .b2 = device_b2.data(),
            .hidden = static_cast<std::int64_t>(b1.size()),
            .mean = mean.empty() ? nullptr : device_mean.data(),
            .deviation = mean.empty() ? nullptr : device_deviation.data()};
  }
  std::vector<float> w1, b1, w2, mean, deviation;
  float b2;
  DeviceVector<float> device_w1, device_b1, device_w2, device_b2, device_mean, device_deviation;
};

PoolReference reference_of(const PagedCache& cache, const PagedCache::Shape& shape, const PoolSpec& spec,
                           const std::vector<std::int32_t>& blocks, std::int64_t begin, std::int64_t end) {
  std::vector<std::vector<std::vector<double>>> rows;
  for (int layer = 0; layer < shape.layers; ++layer) {
    if (!spec.layers.empty() && std::find(spec.layers.begin(), spec.layers.end(), layer) == spec.layers.end()) continue;
    rows.emplace_back();
    for (std::int64_t t = begin; t < end; ++t) {
      rows.back().emplace_back();
      for (const bool value : {false, true}) {
        if (value ? spec.part == GaugePart::kK : spec.part == GaugePart::kV) continue;
        for (int head = 0; head < shape.kv_heads; ++head)
          for (int j = 0; j < shape.head_dim; ++j)
            rows.back().back().push_back(cache.get(value, layer, blocks, t, head, j));
      }
    }
  }
  return reference_kv_pool(rows, shape.kv_heads, shape.head_dim, spec.mean_over_positions, spec.mean_over_heads,
                           spec.mean_over_layers);
}

// f32 sums of 16 values, all others in double, one rounding.
constexpr double kFeatureRoundings = 17;
// A dot product of f32: 4 x 32 chains of features / 128 products and a tree of 7 levels; the bias; standardising takes
// 2; the hidden unit and the weights' own roundings.
double head_roundings(std::size_t features) {
  return kFeatureRoundings + static_cast<double>(features) / 128 + 1 + 7 + 1 + 2 + 1 + 3;
}

TEST_P(KvPool, MatchesTheReference) {
  Random random(test_seed(121));
  const auto backend = backend_for(GetParam());
  const std::vector<std::int32_t> some_layers = {0, 2, 3};
  int turn = 0;
  for (const PagedCache::Shape& shape :
       {PagedCache::Shape{.layers = 5, .kv_heads = 3, .head_dim = 64},
        PagedCache::Shape{.layers = 4, .kv_heads = 2, .head_dim = 24, .dtype = DType::kF32},
        PagedCache::Shape{.layers = 4, .kv_heads = 5, .head_dim = 22, .page_tokens = 7},
        PagedCache::Shape{.layers = 4, .kv_heads = 2, .head_dim = 40, .page_tokens = 16, .dtype = DType::kF16},
        PagedCache::Shape{.layers = 4, .kv_heads = 33, .head_dim = 128}}) {
    for (const GaugePart part : {GaugePart::kKV, GaugePart::kV, GaugePart::kK}) {
      PagedCache cache(shape, 40, random);
      const auto blocks = cache.take_blocks(90);
      cache.fill(blocks, 90, random, 3);
      PoolSpec spec{.part = part,
                    .layers = {},
                    .mean_over_positions = turn % 2 == 1,
                    .mean_over_heads = turn % 3 == 1,
                    .mean_over_layers = turn % 5 < 3};
      if (turn % 4 < 2) spec.layers = some_layers;
      const std::int64_t features = pool_features(spec, cache.view());
      Head head(features, 19, random);
      if (turn % 2 == 0) head.standardise(features, random);
      ++turn;
      std::vector<PoolItem> items;
      for (const auto& [begin, end] : std::vector<std::pair<int, int>>{{58, 90}, {0, 90}, {7, 8}, {30, 47}})
        items.push_back({.blocks = blocks.data(), .begin = begin, .end = end});
      GuardedMatrix out(static_cast<std::int64_t>(items.size()), features, DType::kF32);
      std::vector<float> d(items.size());
      backend->kv_pool(
          {.pages = cache.view(), .spec = spec, .items = items, .features = out.view(), .head = head.view(), .out = d});
      EXPECT_TRUE(out.intact());
      for (std::size_t i = 0; i < items.size(); ++i) {
        auto want = reference_of(cache, shape, spec, blocks, items[i].begin, items[i].end);
        for (std::int64_t c = 0; c < features; ++c) {
          const auto at = static_cast<std::size_t>(c);
          ASSERT_NEAR(out.at(static_cast<std::int64_t>(i), c), want.features[at],
                      kFeatureRoundings * kFloatEps * want.magnitudes[at])
              << "feature " << c << " of " << features << ", item " << i;
          if (head.mean.empty()) continue;
          want.features[at] = (want.features[at] - double{head.mean[at]}) / double{head.deviation[at]};
          want.magnitudes[at] = (want.magnitudes[at] + std::abs(double{head.mean[at]})) / double{head.deviation[at]};
        }
        const auto number = reference_pool_head(want.features, want.magnitudes, head.w1, head.b1, head.w2, head.b2);
        EXPECT_NEAR(d[i], number.d, head_roundings(want.features.size()) * kFloatEps * number.magnitude);
      }
    }
  }
}

TEST_P(KvPool, ReproducesThePoolingGoldens) {
  const auto backend = backend_for(GetParam());
  const Json cases = pooling_cases();
  ASSERT_EQ(cases.size(), 5u);
  for (const Json& one : cases) {
    Random random(1);
    const PagedCache::Shape shape = shape_of(one);
    const std::int64_t tokens = one["T"], window = one["N"];
    PagedCache cache(shape, tokens / kPageTokens + 1, random);
    const auto blocks = cache.take_blocks(tokens);
    put_golden(one, cache, blocks);
    const auto expect = [&](const PoolSpec& spec, std::int64_t begin, const char* head_values, const char* tail_values,
                            bool unit) {
      const std::int64_t features = pool_features(spec, cache.view());
      GuardedMatrix out(1, features, DType::kF32);
      const PoolItem item{.blocks = blocks.data(), .begin = begin, .end = tokens};
      backend->kv_pool(
          {.pages = cache.view(), .spec = spec, .items = {&item, 1}, .features = out.view(), .head = {}, .out = {}});
      const auto magnitudes = reference_of(cache, shape, spec, blocks, begin, tokens).magnitudes;
      double length = 1;
      if (unit) {
        length = 0;
        for (const float x : out.values()) length += double{x} * double{x};
        length = std::sqrt(length);
      }
      const Json &first = one[head_values], &last = one[tail_values];
      const double largest = *std::max_element(magnitudes.begin(), magnitudes.end());
      const double tolerance = 2 * kFeatureRoundings * kFloatEps * largest / length;
      for (std::size_t c = 0; c < first.size(); ++c)
        EXPECT_NEAR(out.at(0, static_cast<std::int64_t>(c)) / length, first[c].get<double>(), tolerance)
            << head_values << " " << c;
      for (std::size_t c = 0; c < last.size(); ++c)
        EXPECT_NEAR(out.at(0, features - static_cast<std::int64_t>(last.size() - c)) / length, last[c].get<double>(),
                    tolerance)
            << tail_values << " " << c;
    };
    expect({.part = GaugePart::kKV, .layers = {}}, std::max<std::int64_t>(0, tokens - window), "cls_head8", "cls_tail4",
           false);
    expect({.part = GaugePart::kKV, .layers = {}, .mean_over_positions = true, .mean_over_heads = true}, 0,
           "mteb_head8", "mteb_tail4", true);
  }
}

// The network alone: a window of one position whose values are the golden's features.
TEST_P(KvPool, ReproducesTheHeadsGoldens) {
  const auto backend = backend_for(GetParam());
  const Json golden = parse_json(read_file(repo_path("tests/golden/mlp.json")), "mlp.json");
  ASSERT_EQ(golden["cases"].size(), 3u);
  for (const Json& one : golden["cases"]) {
    const std::size_t features = one["F"], hidden = one["hidden"], items = one["B"];
    Lcg numbers(one["seed"]);
    const auto floats = [&](std::size_t count, double scale) {
      const auto values = numbers.values(count, &Lcg::f24, scale);
      return std::vector<float>(values.begin(), values.end());
    };
    const double share = 1 / std::sqrt(static_cast<double>(features)),
                 hidden_share = 1 / std::sqrt(static_cast<double>(hidden));
    auto w1 = floats(hidden * features, share), b1 = floats(hidden, share), w2 = floats(hidden, hidden_share);
    const Head head(std::move(w1), std::move(b1), std::move(w2), floats(1, hidden_share)[0]);
    const int heads = features > 1000 ? 8 : 1;
    Random random(1);
    PagedCache cache(
        {.layers = 1, .kv_heads = heads, .head_dim = static_cast<int>(features) / 2 / heads, .dtype = DType::kF32}, 2,
        random);
    std::vector<std::vector<std::int32_t>> blocks;
    std::vector<PoolItem> windows;
    std::vector<std::vector<float>> x;
    for (std::size_t i = 0; i < items; ++i) {
      blocks.push_back(i == 0 ? cache.take_blocks(32) : blocks[0]);
      x.push_back(floats(features, 4));
      for (int part = 0; part < 2; ++part)
        for (int h = 0; h < heads; ++h)
          cache.put(part == 1, 0, blocks[i], static_cast<std::int64_t>(i), h,
                    x[i].data() + features / 2 * static_cast<std::size_t>(part) +
                        features / 2 / static_cast<std::size_t>(heads) * static_cast<std::size_t>(h));
      windows.push_back(
          {.blocks = blocks[0].data(), .begin = static_cast<std::int64_t>(i), .end = static_cast<std::int64_t>(i) + 1});
    }
    std::vector<float> d(items);
    backend->kv_pool(
        {.pages = cache.view(), .spec = {}, .items = windows, .features = {}, .head = head.view(), .out = d});
    for (std::size_t i = 0; i < items; ++i) {
      std::vector<double> values(x[i].begin(), x[i].end()), sizes;
      for (const double value : values) sizes.push_back(std::abs(value));
      const auto number = reference_pool_head(values, sizes, head.w1, head.b1, head.w2, head.b2);
      EXPECT_NEAR(d[i], one["out"][i].get<double>(), head_roundings(features) * kFloatEps * number.magnitude)
          << features;
    }
  }
}

TEST_P(KvPool, BitsDoNotDependOnBatchOrPagesAndNaNStaysInItsWindow) {
  Random random(test_seed(122));
  const PagedCache::Shape shape{.layers = 3, .kv_heads = 2, .head_dim = 40};
  PagedCache cache(shape, 30, random);
  const auto blocks = cache.take_blocks(200), moved = cache.take_blocks(200);
  cache.fill(blocks, 200, random);
  for (int layer = 0; layer < shape.layers; ++layer)
    for (std::int64_t t = 0; t < 200; ++t)
      for (int head = 0; head < shape.kv_heads; ++head)
        for (const bool value : {false, true}) {
          std::vector<float> row;
          for (int j = 0; j < shape.head_dim; ++j) row.push_back(cache.get(value, layer, blocks, t, head, j));
          cache.put(value, layer, moved, t, head, row.data());
        }
  std::vector<float> bad(40, std::numeric_limits<float>::quiet_NaN());
  cache.put(true, 1, blocks, 199, 0, bad.data());
  const Head head(160, 33, random);
  const auto backend = backend_for(GetParam());
  const auto pool = [&](const std::vector<PoolItem>& items) {
    GuardedMatrix features(static_cast<std::int64_t>(items.size()), 160, DType::kF32, 0);
    std::vector<float> d(items.size());
    backend->kv_pool({.pages = cache.view(),
                      .spec = {},
                      .items = items,
                      .features = features.view(),
                      .head = head.view(),
                      .out = d});
    auto all = features.values();
    all.insert(all.end(), d.begin(), d.end());
    return std::pair(features.values(), d);
  };
  const auto together = pool({{.blocks = blocks.data(), .begin = 3, .end = 199},
                              {.blocks = moved.data(), .begin = 3, .end = 199},
                              {.blocks = blocks.data(), .begin = 168, .end = 200}});
  const auto alone = pool({{.blocks = moved.data(), .begin = 3, .end = 199}});
  for (int item = 0; item < 2; ++item) {
    EXPECT_TRUE(std::equal(alone.first.begin(), alone.first.end(), together.first.begin() + 160 * item));
    EXPECT_EQ(together.second[static_cast<std::size_t>(item)], alone.second[0]);
  }
  EXPECT_TRUE(std::isnan(together.second[2]));
  EXPECT_FALSE(std::isnan(together.second[0]));
}

KVGAUGE_ON_EVERY_EXECUTOR(KvPool);

}  // namespace
}  // namespace kvgauge::testing
