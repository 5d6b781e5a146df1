// EmbeddingPooler over the pages of every back end and executor, against the pooling goldens.
#include "gauge/embedding.h"

#include "pooling_golden.h"

namespace kvgauge::testing {
namespace {

class Embeddings : public OnEveryExecutor {};

TEST_P(Embeddings, ReproduceThePoolingGoldens) {
  const auto backend = backend_for(GetParam());
  const Json cases = pooling_cases();
  ASSERT_EQ(cases.size(), 5u);
  for (const Json& one : cases) {
    Random random(1);
    const PagedCache::Shape shape = shape_of(one);
    const std::int64_t tokens = one["T"], window = one["N"];
    PagedCache cache(shape, 2 * (tokens / kPageTokens + 1), random);
    cache.take_blocks(1);  // the table does not begin with the first block
    const auto blocks = cache.take_blocks(tokens);
    put_golden(one, cache, blocks);
    EmbeddingPooler pooler(*backend);
    const auto pool = [&](const EmbeddingSpec& spec, std::int64_t begin) {
      const PoolItem items[] = {{.blocks = blocks.data(), .begin = begin, .end = tokens},
                                {.blocks = blocks.data(), .begin = 0, .end = 1}};
      return pooler.pool(cache.view(), spec, items)[0];
    };
    const auto expect_ends = [](const Json& head, const Json& tail, const std::vector<float>& found, double tolerance) {
      for (std::size_t c = 0; c < head.size(); ++c) EXPECT_NEAR(found[c], head[c].get<double>(), tolerance) << c;
      for (std::size_t c = 0; c < tail.size(); ++c)
        EXPECT_NEAR(found[found.size() - tail.size() + c], tail[c].get<double>(), tolerance) << "from the end: " << c;
    };
    // Means of values below 1 have 17 roundings of 2^-24; divided by lengths that are not below 0.05.
    const auto mean = pool({.normalize = true}, 0);
    ASSERT_EQ(std::ssize(mean), one["mteb_dim"].get<std::int64_t>());
    expect_ends(one["mteb_head8"], one["mteb_tail4"], mean, 17 * 0x1p-24 / 0.05);

    // The regressor's vector has all heads of K before V's: the same numbers in another order.
    const auto sum = pool({.positions = EmbeddingPositions::kSum, .heads = EmbeddingHeads::kFlatten},
                          std::max<std::int64_t>(0, tokens - window));
    ASSERT_EQ(std::ssize(sum), one["cls_dim"].get<std::int64_t>());
    std::vector<float> regressor;
    const auto d = static_cast<std::size_t>(shape.head_dim), heads = static_cast<std::size_t>(shape.kv_heads);
    for (std::size_t part = 0; part < 2; ++part)
      for (std::size_t head = 0; head < heads; ++head)
        for (std::size_t j = 0; j < d; ++j) regressor.push_back(sum[(head * 2 + part) * d + j]);
    expect_ends(one["cls_head8"], one["cls_tail4"], regressor, 17 * 0x1p-24 * static_cast<double>(window));
  }
}

// Layers one after another, each as if it were alone; the sum of layers is their mean times their number.
TEST_P(Embeddings, LayersMayBeFlattenedSummedOrTheLastOne) {
  Random random(test_seed(431));
  const PagedCache::Shape shape{.layers = 4, .kv_heads = 3, .head_dim = 24};
  PagedCache cache(shape, 10, random);
  const auto blocks = cache.take_blocks(70);
  cache.fill(blocks, 70, random);
  const auto backend = backend_for(GetParam());
  EmbeddingPooler pooler(*backend);
  const auto pool = [&](const EmbeddingSpec& spec) {
    const PoolItem item{.blocks = blocks.data(), .begin = 5, .end = 70};
    return pooler.pool(cache.view(), spec, {&item, 1})[0];
  };
  for (const GaugePart part : {GaugePart::kV, GaugePart::kK, GaugePart::kKV}) {
    EmbeddingSpec spec{.part = part, .layers = {1, 3}, .heads = EmbeddingHeads::kFlatten};
    std::vector<float> one_by_one;
    for (const std::int32_t layer : {1, 3}) {
      EmbeddingSpec alone = spec;
      alone.layers = {layer};
      const auto vector = pool(alone);
      one_by_one.insert(one_by_one.end(), vector.begin(), vector.end());
    }
    const auto mean = pool(spec);
    spec.aggregate = EmbeddingLayers::kFlatten;
    EXPECT_EQ(pool(spec), one_by_one);
    spec.aggregate = EmbeddingLayers::kLast;
    const auto last = pool(spec);
    EXPECT_TRUE(std::equal(last.begin(), last.end(), one_by_one.end() - std::ssize(last)));
    spec.aggregate = EmbeddingLayers::kSum;
    const auto sum = pool(spec);
    for (std::size_t i = 0; i < sum.size(); ++i) EXPECT_NEAR(sum[i], 2 * mean[i], 4 * kFloatEps * std::abs(sum[i]));
  }
}

KVGAUGE_ON_EVERY_EXECUTOR(Embeddings);

}  // namespace
}  // namespace kvgauge::testing
