#include "reference/kv_trajectory.h"

#include "core/trajectory_sums.h"
#include "ops_support.h"

namespace kvgauge::testing {
namespace {

class KvTrajectory : public OnEveryExecutor {};

void extend(Backend& backend, const PagedKvView& pages, const TrajectorySpec& spec,
            const std::vector<std::int32_t>& blocks, std::int64_t begin, std::int64_t end, TrajectoryState& state) {
  const TrajectoryItem item{.blocks = blocks.data(), .begin = begin, .end = end, .state = &state};
  backend.kv_trajectory({.pages = pages, .spec = spec, .items = {&item, 1}});
}

std::vector<double> point(const PagedCache& cache, const PagedCache::Shape& shape, const TrajectorySpec& spec,
                          const std::vector<std::int32_t>& blocks, std::int64_t position) {
  std::vector<std::vector<double>> layers;
  for (int layer = 0; layer < shape.layers; ++layer) {
    if (!spec.layers.empty() && std::find(spec.layers.begin(), spec.layers.end(), layer) == spec.layers.end()) continue;
    layers.emplace_back();
    for (const bool value : {false, true}) {
      if (value ? spec.part == GaugePart::kK : spec.part == GaugePart::kV) continue;
      for (int head = 0; head < shape.kv_heads; ++head)
        for (int j = 0; j < shape.head_dim; ++j)
          layers.back().push_back(cache.get(value, layer, blocks, position, head, j));
    }
  }
  auto e = reference_trajectory_point(layers);
  if (spec.part != GaugePart::kV && !spec.inverse_frequencies.empty())
    reference_turn_back(e, shape.kv_heads, shape.head_dim, position,
                        {spec.inverse_frequencies.begin(), spec.inverse_frequencies.end()});
  return e;
}

/// Those of a RoPE with base 10000.
std::vector<double> inverse_frequencies(int head_dim) {
  std::vector<double> frequencies;
  for (int i = 0; i < head_dim / 2; ++i) frequencies.push_back(std::pow(10000.0, -2.0 * i / head_dim));
  return frequencies;
}

TEST_P(KvTrajectory, MatchesTheReference) {
  Random random(test_seed(101));
  const auto backend = backend_for(GetParam());
  const std::vector<std::int32_t> some_layers = {0, 2, 3};
  for (const PagedCache::Shape& shape :
       {PagedCache::Shape{.layers = 5, .kv_heads = 3, .head_dim = 64},
        PagedCache::Shape{.layers = 4, .kv_heads = 1, .head_dim = 22, .page_tokens = 7, .dtype = DType::kF32},
        PagedCache::Shape{.layers = 4, .kv_heads = 2, .head_dim = 36, .page_tokens = 16, .dtype = DType::kF16}}) {
    const auto frequencies = inverse_frequencies(shape.head_dim);
    for (const GaugePart part : {GaugePart::kV, GaugePart::kK, GaugePart::kKV}) {
      for (const bool subset : {false, true}) {
        PagedCache cache(shape, 40, random);
        const auto blocks = cache.take_blocks(90);
        cache.fill(blocks, 90, random, 3);
        TrajectorySpec spec{.part = part, .layers = {}};
        if (subset) spec.layers = some_layers;
        const bool turned = subset == (part == GaugePart::kK);  // both ways for K and for K and V
        if (turned) spec.inverse_frequencies = frequencies;
        const std::int64_t values = (part == GaugePart::kKV ? 2 : 1) * shape.kv_heads * shape.head_dim;
        const auto state = backend->make_trajectory(values, 86);
        extend(*backend, cache.view(), spec, blocks, 4, 90, *state);
        ASSERT_EQ(state->points(), 86);
        const TrajectorySteps steps = backend->read_steps(*state);
        ASSERT_EQ(steps.dr.size(), 85u);
        ASSERT_EQ(steps.dtheta.size(), 85u);
        const double layers = subset ? 3 : shape.layers;
        auto before = point(cache, shape, spec, blocks, 4);
        const auto first = before;
        for (std::int64_t t = 5; t < 90; ++t) {
          const auto now = point(cache, shape, spec, blocks, t);
          const auto want = reference_trajectory_step(now, before);
          // e: `layers` f32 additions of |v| <= 3 and one product, so each entry is off by at most delta; both points.
          // Turned back: two such errors and three roundings of values below 3 sqrt(2).
          const double delta = (turned ? 2 * (layers + 1) + 5 : layers + 1) * kFloatEps * 3,
                       size = static_cast<double>(now.size());
          const double distance = 2 * delta * std::sqrt(size);
          double norm = 0;
          for (const double x : before) norm += x * x;
          const auto at = static_cast<std::size_t>(t - 5);
          EXPECT_NEAR(steps.dr[at], want.dr, distance + kFloatEps * want.dr);
          EXPECT_NEAR(steps.dtheta[at], want.dtheta, 2 * distance / std::sqrt(norm) + 2 * kFloatEps * want.dtheta);
          before = now;
        }
        const TrajectorySums sums = backend->read_trajectory(*state);
        const auto ends = reference_trajectory_step(before, first);
        EXPECT_EQ(sums.tokens, 86);
        EXPECT_NEAR(sums.end_dr, ends.dr, 1e-5);
        EXPECT_NEAR(sums.end_dtheta, ends.dtheta, 1e-5);
        const auto again = sum_trajectory<float>(steps.dr, steps.dtheta, sums.end_dr, sums.end_dtheta);
        EXPECT_EQ(std::memcmp(&again, &sums, sizeof sums), 0);
        double total = 0;
        for (const float dr : steps.dr) total += dr;
        EXPECT_EQ(sums.sum_dr, total);
      }
    }
  }
}

/// Every bit that a trajectory has.
struct Bits {
  Bits(Backend& backend, const TrajectoryState& state)
      : points(state.points()), steps(backend.read_steps(state)), sums(backend.read_trajectory(state)) {}
  friend bool operator==(const Bits& a, const Bits& b) {
    return a.points == b.points && a.steps.dr == b.steps.dr && a.steps.dtheta == b.steps.dtheta &&
           std::memcmp(&a.sums, &b.sums, sizeof a.sums) == 0;
  }
  std::int64_t points;
  TrajectorySteps steps;
  TrajectorySums sums;
};

// Keys that were equal before RoPE are so again, behind any position that models have.
TEST_P(KvTrajectory, TurningKeysBackIsExactAtLongPositions) {
  constexpr int kHeadDim = 16, kHeads = 3;
  constexpr std::int64_t kFirst = 131'060, kEnd = 131'100;
  Random random(test_seed(106));
  const auto backend = backend_for(GetParam());
  PagedCache cache({.layers = 2, .kv_heads = kHeads, .head_dim = kHeadDim, .dtype = DType::kF32}, 4, random);
  const auto taken = cache.take_blocks(3 * kPageTokens);
  std::vector<std::int32_t> blocks(kFirst / kPageTokens, 0);  // never read
  blocks.insert(blocks.end(), taken.begin(), taken.end());
  const auto frequencies = inverse_frequencies(kHeadDim);
  const auto keys = uniform_floats(random, kHeads * kHeadDim);
  double norm = 0;
  for (const float x : keys) norm += static_cast<double>(x) * static_cast<double>(x);
  for (std::int64_t t = kFirst; t < kEnd; ++t)
    for (int layer = 0; layer < 2; ++layer)
      for (int head = 0; head < kHeads; ++head) {
        std::vector<float> row(kHeadDim);
        for (int i = 0; i < kHeadDim / 2; ++i) {
          const double angle = static_cast<double>(t) * frequencies[static_cast<std::size_t>(i)];
          const double x = keys[static_cast<std::size_t>(head * kHeadDim + i)];
          const double y = keys[static_cast<std::size_t>(head * kHeadDim + kHeadDim / 2 + i)];
          row[static_cast<std::size_t>(i)] = static_cast<float>(x * std::cos(angle) - y * std::sin(angle));
          row[static_cast<std::size_t>(kHeadDim / 2 + i)] =
              static_cast<float>(y * std::cos(angle) + x * std::sin(angle));
        }
        cache.put(false, layer, blocks, t, head, row.data());
      }
  const TrajectorySpec spec{.part = GaugePart::kK, .layers = {}, .inverse_frequencies = frequencies};
  const auto state = backend->make_trajectory(kHeads * kHeadDim, kEnd - kFirst);
  extend(*backend, cache.view(), spec, blocks, kFirst, kEnd, *state);
  // A value of a point: one rounding on its way into the cache, one for each of sum, share, cosine, sine and the
  // result, each of a number below sqrt(2); two points.
  const double distance = 2 * 6 * kFloatEps * std::sqrt(2.0 * kHeads * kHeadDim);
  const TrajectorySteps steps = backend->read_steps(*state);
  ASSERT_EQ(steps.dr.size(), static_cast<std::size_t>(kEnd - kFirst - 1));
  for (std::size_t i = 0; i < steps.dr.size(); ++i) {
    EXPECT_LE(steps.dr[i], distance);
    EXPECT_LE(steps.dtheta[i], 2 * distance / std::sqrt(norm));
  }
}

// dr between a point that has the number x at one place and a point that has 1 there is |x - 1| to the last bit,
// because the squares of such differences are exact in double.
TEST_P(KvTrajectory, ReadsEveryHalf) {
  constexpr int kHeadDim = 19;  // vectors and single values
  Random random(test_seed(107));
  const auto backend = backend_for(GetParam());
  std::vector<float> numbers;
  for (std::uint32_t bits = 0; bits < 0x10000; bits += GetParam().on_device() ? 61 : 1) {
    const float x = to_float(half_t{static_cast<std::uint16_t>(bits)});
    if (std::isfinite(x)) numbers.push_back(x);
  }
  const auto tokens = 2 * static_cast<std::int64_t>(numbers.size());
  PagedCache cache({.layers = 1, .kv_heads = 1, .head_dim = kHeadDim, .dtype = DType::kF16}, tokens / kPageTokens + 1,
                   random);
  const auto blocks = cache.take_blocks(tokens);
  for (std::int64_t t = 0; t < tokens; ++t) {
    std::vector<float> row(kHeadDim, 0.f);
    row[static_cast<std::size_t>(t / 2 % kHeadDim)] = t % 2 == 0 ? numbers[static_cast<std::size_t>(t / 2)] : 1.f;
    cache.put(true, 0, blocks, t, 0, row.data());
  }
  const auto state = backend->make_trajectory(kHeadDim, tokens);
  extend(*backend, cache.view(), {}, blocks, 0, tokens, *state);
  const TrajectorySteps steps = backend->read_steps(*state);
  for (std::size_t i = 0; i < numbers.size(); ++i)
    ASSERT_EQ(steps.dr[2 * i], static_cast<float>(std::abs(static_cast<double>(numbers[i]) - 1))) << numbers[i];
}

/// The same numbers on two sets of pages.
struct TwoPlaces {
  explicit TwoPlaces(Random& random, DType dtype = DType::kBF16, bool turned = false)
      : shape{.layers = 6, .kv_heads = 3, .head_dim = 24, .dtype = dtype},
        frequencies(turned ? inverse_frequencies(24) : std::vector<double>()),
        spec{.part = GaugePart::kKV, .layers = {}, .inverse_frequencies = frequencies},
        cache(shape, 200, random) {
    blocks = cache.take_blocks(700);
    moved = cache.take_blocks(700);
    cache.fill(blocks, 700, random);
    for (int layer = 0; layer < shape.layers; ++layer)
      for (std::int64_t t = 0; t < 700; ++t)
        for (int head = 0; head < shape.kv_heads; ++head)
          for (const bool value : {false, true}) {
            std::vector<float> row;
            for (int j = 0; j < shape.head_dim; ++j) row.push_back(cache.get(value, layer, blocks, t, head, j));
            cache.put(value, layer, moved, t, head, row.data());
          }
  }
  const PagedCache::Shape shape;
  const std::vector<double> frequencies;
  const TrajectorySpec spec;
  const std::int64_t values = 2 * 3 * 24;
  PagedCache cache;
  std::vector<std::int32_t> blocks, moved;
};

/// Two sequences extended by random spans in shared calls, beside one that stays empty, must equal `whole`.
void expect_any_split_equals(Backend& backend, const TwoPlaces& places, const Bits& whole, Random& random) {
  const auto a = backend.make_trajectory(places.values, 700), b = backend.make_trajectory(places.values, 700),
             empty = backend.make_trajectory(places.values, 0);
  std::int64_t at_a = 0, at_b = 0;
  while (at_a < 700 || at_b < 700) {
    const auto next = [&](std::int64_t at) {
      return std::min<std::int64_t>(700,
                                    at + (random() % 4 == 0 ? 300 : 1) * std::uniform_int_distribution<>(0, 2)(random));
    };
    const std::int64_t end_a = next(at_a), end_b = next(at_b);
    const TrajectoryItem items[] = {{.blocks = places.moved.data(), .begin = at_a, .end = end_a, .state = a.get()},
                                    {.blocks = places.blocks.data(), .begin = 5, .end = 5, .state = empty.get()},
                                    {.blocks = places.blocks.data(), .begin = at_b, .end = end_b, .state = b.get()}};
    backend.kv_trajectory({.pages = places.cache.view(), .spec = places.spec, .items = items});
    at_a = end_a;
    at_b = end_b;
  }
  EXPECT_EQ(Bits(backend, *a), whole);
  EXPECT_EQ(Bits(backend, *b), whole);
  EXPECT_EQ(empty->points(), 0);
}

Bits gauged_at_once(Backend& backend, const TwoPlaces& places) {
  const auto state = backend.make_trajectory(places.values, 700);
  extend(backend, places.cache.view(), places.spec, places.blocks, 0, 700, *state);
  return {backend, *state};
}

TEST_P(KvTrajectory, BitsDoNotDependOnSplitsBatchOrPages) {
  Random random(test_seed(104));
  const TwoPlaces places(random);
  const auto backend = backend_for(GetParam());
  const Bits whole = gauged_at_once(*backend, places);
  expect_any_split_equals(*backend, places, whole, random);
}

TEST_P(KvTrajectory, BitsDoNotDependOnSplitsBatchOrPagesWithKeysTurnedBack) {
  Random random(test_seed(108));
  const TwoPlaces places(random, DType::kF16, true);
  const auto backend = backend_for(GetParam());
  const Bits whole = gauged_at_once(*backend, places);
  expect_any_split_equals(*backend, places, whole, random);
}

TEST(KvTrajectoryBits, DoNotDependOnThreadsOrInstructionSet) {
  Random random(test_seed(102));
  for (const bool turned : {false, true}) {
    const TwoPlaces places(random, turned ? DType::kF16 : DType::kBF16, turned);
    const Bits whole = gauged_at_once(*backend_for(CpuIsa::kBaseline), places);
    for (const CpuIsa isa : supported_isas()) {
      for (const int threads : {1, 2, 3}) {
        SCOPED_TRACE(std::string(name(isa)) + ", " + std::to_string(threads) +
                     (turned ? " threads, turned" : " threads"));
        expect_any_split_equals(*backend_for(isa, DType::kF32, true, threads), places, whole, random);
      }
    }
  }
}

TEST_P(KvTrajectory, ACopyGoesOnByItself) {
  Random random(test_seed(105));
  const TwoPlaces places(random);
  const auto backend = backend_for(GetParam());
  const Bits whole = gauged_at_once(*backend, places);
  const auto parent = backend->make_trajectory(places.values, 700),
             child = backend->make_trajectory(places.values, 900);
  extend(*backend, places.cache.view(), places.spec, places.blocks, 0, 301, *parent);
  backend->copy_trajectory(*parent, *child);
  extend(*backend, places.cache.view(), places.spec, places.moved, 301, 700, *child);
  EXPECT_EQ(Bits(*backend, *child), whole);
  EXPECT_EQ(parent->points(), 301);
  extend(*backend, places.cache.view(), places.spec, places.blocks, 301, 700, *parent);
  EXPECT_EQ(Bits(*backend, *parent), whole);
  parent->restart();
  EXPECT_EQ(backend->read_trajectory(*parent).tokens, 0);
  extend(*backend, places.cache.view(), places.spec, places.blocks, 0, 700, *parent);
  EXPECT_EQ(Bits(*backend, *parent), whole);
}

TEST_P(KvTrajectory, ZeroVectorsAndEmptyTrajectoriesFollowTheMethod) {
  Random random(test_seed(103));
  const auto backend = backend_for(GetParam());
  PagedCache cache({.layers = 2, .kv_heads = 1, .head_dim = 20, .dtype = DType::kF32}, 3, random);
  const auto blocks = cache.take_blocks(32);
  const std::vector<float> zero(20, 0.f), one(20, 1.f);
  for (std::int64_t t = 0; t < 4; ++t)
    for (int layer = 0; layer < 2; ++layer) cache.put(true, layer, blocks, t, 0, t < 2 ? zero.data() : one.data());
  const auto state = backend->make_trajectory(20, 4);
  EXPECT_EQ(backend->read_trajectory(*state).tokens, 0);
  extend(*backend, cache.view(), {}, blocks, 0, 1, *state);
  EXPECT_EQ(backend->read_trajectory(*state).tokens, 1);
  extend(*backend, cache.view(), {}, blocks, 1, 4, *state);
  const TrajectorySteps steps = backend->read_steps(*state);
  EXPECT_EQ(steps.dtheta, (std::vector<float>{0.f, static_cast<float>(std::acos(0.0)), 0.f}));
  EXPECT_EQ(steps.dr[0], 0.f);
  EXPECT_NEAR(steps.dr[1], std::sqrt(20.0), 1e-6);
}

KVGAUGE_ON_EVERY_EXECUTOR(KvTrajectory);

}  // namespace
}  // namespace kvgauge::testing
