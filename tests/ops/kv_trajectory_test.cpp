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
  return reference_trajectory_point(layers);
}

TEST_P(KvTrajectory, MatchesTheReference) {
  Random random(test_seed(101));
  const auto backend = backend_for(GetParam());
  const std::vector<std::int32_t> some_layers = {0, 2, 3};
  for (const PagedCache::Shape& shape :
       {PagedCache::Shape{.layers = 5, .kv_heads = 3, .head_dim = 64},
        PagedCache::Shape{.layers = 4, .kv_heads = 1, .head_dim = 22, .page_tokens = 7, .dtype = DType::kF32}}) {
    for (const GaugePart part : {GaugePart::kV, GaugePart::kK, GaugePart::kKV}) {
      for (const bool subset : {false, true}) {
        PagedCache cache(shape, 40, random);
        const auto blocks = cache.take_blocks(90);
        cache.fill(blocks, 90, random, 3);
        TrajectorySpec spec{.part = part, .layers = {}};
        if (subset) spec.layers = some_layers;
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
          // e: `layers` f32 additions of |v| <= 3 and one product, so each entry is off by at most delta; both points
          const double delta = (layers + 1) * kFloatEps * 3, size = static_cast<double>(now.size());
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

/// The same numbers on two sets of pages.
struct TwoPlaces {
  explicit TwoPlaces(Random& random) : cache(shape, 200, random) {
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
  const PagedCache::Shape shape{.layers = 6, .kv_heads = 3, .head_dim = 24};
  const TrajectorySpec spec{.part = GaugePart::kKV, .layers = {}};
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
      return std::min<std::int64_t>(
          700, at + (random() % 4 == 0 ? 300 : 1) * std::uniform_int_distribution<>(0, 2)(random));
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

TEST(KvTrajectoryBits, DoNotDependOnThreadsOrInstructionSet) {
  Random random(test_seed(102));
  const TwoPlaces places(random);
  const Bits whole = gauged_at_once(*backend_for(CpuIsa::kBaseline), places);
  for (const CpuIsa isa : supported_isas()) {
    for (const int threads : {1, 2, 3}) {
      SCOPED_TRACE(std::string(name(isa)) + ", " + std::to_string(threads) + " threads");
      expect_any_split_equals(*backend_for(isa, DType::kF32, true, threads), places, whole, random);
    }
  }
}

TEST_P(KvTrajectory, ACopyGoesOnByItself) {
  Random random(test_seed(105));
  const TwoPlaces places(random);
  const auto backend = backend_for(GetParam());
  const Bits whole = gauged_at_once(*backend, places);
  const auto parent = backend->make_trajectory(places.values, 700), child = backend->make_trajectory(places.values, 900);
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
