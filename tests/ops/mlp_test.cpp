#include "mlp_problem.h"

namespace kvgauge::testing {
namespace {

class Mlp : public OnEveryExecutor {};

// A hidden unit is one chain of `features` fused steps, its bias, and what standardising costs each x (2, and one for
// the mean's cancellation, which the sizes below leave out).
double unit_roundings(std::size_t features) { return static_cast<double>(features) + 4; }
// The output is summed in double on the CPU; kernels sum hidden / 32 products in f32 and a tree of 5.
double out_roundings(std::size_t features, std::size_t hidden) {
  return unit_roundings(features) + static_cast<double>(hidden) / 32 + 5 + 2;
}

/// x with rounding sizes: |f| + |mean| instead of their difference.
MlpOutput reference_out(const Problem& problem, std::size_t i) {
  MlpOutput o = reference_mlp_forward(problem.reference(), problem.x(i));
  if (problem.mean.empty()) return o;
  std::vector<double> sizes;
  for (std::size_t c = 0; c < problem.features; ++c)
    sizes.push_back((std::abs(double{problem.features_matrix.at(problem.rows[i], static_cast<std::int64_t>(c))}) +
                     std::abs(double{problem.mean[c]})) /
                    double{problem.deviation[c]});
  MlpReference all = problem.reference();
  for (auto* part : {&all.w1, &all.b1, &all.w2})
    for (double& w : *part) w = std::abs(w);
  all.b2 = std::abs(all.b2);
  o.out_size = reference_mlp_forward(all, sizes).out;
  return o;
}

const std::size_t kShapes[][4] = {  // examples, features, hidden, batch
    {3, 1, 1, 1},
    {9, 4, 3, 2},
    {40, 70, 33, 37},
    {70, 64, 24, 64},
    {90, 130, 17, 130}};

TEST_P(Mlp, ForwardMatchesTheReference) {
  Random random(test_seed(301));
  const auto backend = backend_for(GetParam());
  int turn = 0;
  for (const auto& [examples, features, hidden, batch] : kShapes) {
    Problem problem(examples, features, hidden, batch, random);
    if (turn++ % 2 == 0) problem.standardise(random);
    backend->mlp_forward(problem.forward());
    for (std::size_t i = 0; i < batch; ++i) {
      const MlpOutput want = reference_out(problem, i);
      ASSERT_NEAR(problem.out[i], want.out, out_roundings(features, hidden) * kFloatEps * want.out_size)
          << i << " of " << batch << ", " << features << " features";
    }
    EXPECT_TRUE(problem.intact());
  }
}

// Gradients are judged where no unit is so near its kink that rounding decides: such problems are drawn again.
bool near_a_kink(const Problem& problem) {
  for (std::size_t i = 0; i < problem.rows.size(); ++i) {
    const MlpOutput o = reference_mlp_forward(problem.reference(), problem.x(i));
    for (std::size_t h = 0; h < problem.hidden; ++h)
      if (std::abs(o.sum[h]) < 4 * unit_roundings(problem.features) * kFloatEps * o.sum_size[h]) return true;
  }
  return false;
}

/// Of a gradient: what came in with o and the hidden units, through at most 2 (slope of a squared error: relative error
/// of d - y, which the labels' and outputs' sizes bound), and a chain over the batch.
void expect_gradients(const Problem& problem, const MlpLoss& loss, double total, const std::string& what) {
  const MlpGradients want = problem.reference_gradients(loss);
  // How far the slopes may be off, as a share of the largest one: |slope''| |error of o| / |slope|, bounded through the
  // sizes of o.
  double largest_error = 0, least_slope = 1e300;
  const ReferenceLossSpec spec = reference_of(loss);
  for (std::size_t i = 0; i < problem.rows.size(); ++i) {
    const MlpOutput o = reference_out(problem, i);
    const double label = double{problem.labels[static_cast<std::size_t>(problem.rows[i])]};
    const double error = out_roundings(problem.features, problem.hidden) * kFloatEps * o.out_size;
    const double curvature = loss.kind == MlpLossKind::kMse
                                 ? 2 * spec.scale * spec.scale
                                 : kOrdinalCuts * 0.25 * spec.scale * spec.scale / (spec.unit * spec.unit);
    largest_error = std::max(largest_error, curvature * error);
    least_slope = std::min(least_slope, std::abs(reference_loss_slope(spec, o.out, label)));
  }
  const double relative = largest_error / least_slope +
                          (unit_roundings(problem.features) + static_cast<double>(problem.rows.size()) + 6) * kFloatEps;
  const float* at = problem.gradients.data();
  const auto judge = [&](const std::vector<double>& value, const std::vector<double>& size, const char* name) {
    for (std::size_t i = 0; i < value.size(); ++i, ++at)
      ASSERT_NEAR(*at, value[i], relative * size[i] + 1e-30) << name << " " << i << ", " << what;
  };
  judge(want.value.w1, want.size.w1, "w1");
  judge(want.value.b1, want.size.b1, "b1");
  judge(want.value.w2, want.size.w2, "w2");
  judge({want.value.b2}, {want.size.b2}, "b2");
  EXPECT_NEAR(total, want.value.total, (2 * relative + 1e-12) * want.size.total + largest_error * largest_error)
      << what;
}

TEST_P(Mlp, BackwardMatchesTheReferenceForEveryLoss) {
  Random random(test_seed(302));
  const auto backend = backend_for(GetParam());
  int turn = 0;
  for (const auto& [examples, features, hidden, batch] : kShapes) {
    for (const MlpLossKind kind : kKinds) {
      Problem problem(examples, features, hidden, batch);
      do {
        problem = Problem(examples, features, hidden, batch, random);
        if (turn % 2 == 0) problem.standardise(random);
      } while (near_a_kink(problem));
      if (turn++ % 3 == 0) problem.weigh(random);
      MlpLoss loss = usual_mlp_loss(kind);
      if (turn % 4 == 0) loss.scale = 30, loss.offset = 40;
      double total = std::numeric_limits<double>::quiet_NaN();
      backend->mlp_forward(problem.forward());
      backend->mlp_backward(problem.backward(loss, &total));
      expect_gradients(problem, loss, total, cat("loss ", static_cast<int>(kind), ", ", features, " features"));
      EXPECT_TRUE(problem.intact());
    }
  }
}

// The reference's own gradients against central differences of its loss: error O(step^2), double rounding / step.
TEST(MlpReference, GradientsAreTheDifferencesOfEveryLoss) {
  Random random(test_seed(303));
  constexpr double kStep = 1e-5;
  for (const MlpLossKind kind : kKinds) {
    Problem problem(12, 5, 7, 9, random);
    while (near_a_kink(problem)) problem = Problem(12, 5, 7, 9, random);
    problem.weigh(random);
    const MlpLoss loss = usual_mlp_loss(kind);
    const MlpGradients gradients = problem.reference_gradients(loss);
    std::vector<double> all = gradients.value.w1;
    all.insert(all.end(), gradients.value.b1.begin(), gradients.value.b1.end());
    all.insert(all.end(), gradients.value.w2.begin(), gradients.value.w2.end());
    all.push_back(gradients.value.b2);
    MlpReference net = problem.reference();
    std::vector<double*> places;
    for (auto* part : {&net.w1, &net.b1, &net.w2})
      for (double& w : *part) places.push_back(&w);
    places.push_back(&net.b2);
    ASSERT_EQ(places.size(), all.size());
    const auto total = [&] {
      double sum = 0;
      for (std::size_t i = 0; i < problem.rows.size(); ++i) {
        const auto row = static_cast<std::size_t>(problem.rows[i]);
        sum += double{problem.weights[row]} / static_cast<double>(problem.rows.size()) *
               reference_loss(reference_of(loss), reference_mlp_forward(net, problem.x(i)).out,
                              double{problem.labels[row]});
      }
      return sum;
    };
    double largest = 0;
    for (const double g : all) largest = std::max(largest, std::abs(g));
    for (std::size_t i = 0; i < all.size(); ++i) {
      const double before = *places[i];
      *places[i] = before + kStep;
      const double above = total();
      *places[i] = before - kStep;
      const double below = total();
      *places[i] = before;
      EXPECT_NEAR((above - below) / (2 * kStep), all[i], 1e-6 * largest)
          << "loss " << static_cast<int>(kind) << ", " << i;
    }
  }
}

// The executor's own gradient against its own loss: a step of size s along it changes the loss by 2 s |g|, but for the
// third derivative and units that switch on the way; the loss is off by f32 roundings of o, a share of 1e-5 at this
// size.
TEST_P(Mlp, GradientsAreTheDifferencesOfItsOwnLoss) {
  Random random(test_seed(304));
  const auto backend = backend_for(GetParam());
  for (const MlpLossKind kind : kKinds) {
    Problem problem(40, 20, 30, 33, random);
    const MlpLoss loss = usual_mlp_loss(kind);
    double total = 0;
    const auto run = [&] {
      backend->mlp_forward(problem.forward());
      backend->mlp_backward(problem.backward(loss, &total));
      return total;
    };
    run();
    const std::vector<float> g(problem.gradients.begin(), problem.gradients.end());
    const std::vector<float> before(problem.parameters.begin(), problem.parameters.end());
    double squares = 0;
    for (const float x : g) squares += double{x} * double{x};
    const double step = 0.02 / std::sqrt(squares);
    const auto moved = [&](double by) {
      for (std::size_t i = 0; i < g.size(); ++i)
        problem.parameters[i] = static_cast<float>(double{before[i]} + by * double{g[i]});
      return run();
    };
    EXPECT_NEAR((moved(step) - moved(-step)) / (2 * step), squares, 0.01 * squares) << static_cast<int>(kind);
  }
}

TEST_P(Mlp, AnExampleHasTheSameBitsInAnyBatchAndNaNStaysInItsRow) {
  Random random(test_seed(305));
  const auto backend = backend_for(GetParam());
  Problem problem(150, 70, 40, 141, random);
  problem.standardise(random);
  problem.features_matrix.set(5, 69, std::numeric_limits<float>::quiet_NaN());
  problem.rows[7] = 5;
  backend->mlp_forward(problem.forward());
  std::vector<float> of_example(150, 0);
  std::vector<bool> known(150, false);
  for (std::size_t i = 0; i < problem.rows.size(); ++i) {
    const auto row = static_cast<std::size_t>(problem.rows[i]);
    EXPECT_EQ(std::isnan(problem.out[i]), row == 5);
    if (row == 5) continue;
    if (known[row]) {
      EXPECT_EQ(of_example[row], problem.out[i]);
    }
    of_example[row] = problem.out[i];
    known[row] = true;
  }
  double total = 0;
  backend->mlp_backward(problem.backward(usual_mlp_loss(MlpLossKind::kBce), &total));
  EXPECT_TRUE(std::isnan(total));
  std::shuffle(problem.rows.begin(), problem.rows.end(), random);
  for (const std::size_t count : {1u, 30u, 65u}) {
    problem.rows.resize(std::min<std::size_t>(problem.rows.size(), 141 - count));
    backend->mlp_forward(problem.forward());
    for (std::size_t i = 0; i < problem.rows.size(); ++i) {
      if (problem.rows[i] == 5) continue;
      EXPECT_EQ(problem.out[i], of_example[static_cast<std::size_t>(problem.rows[i])]);
    }
  }
}

TEST(MlpThreads, ChangeNoBit) {
  Random random(test_seed(306));
  for (const CpuIsa isa : supported_isas()) {
    Problem problem(300, 200, 100, 270, random);
    problem.standardise(random);
    problem.weigh(random);
    std::vector<float> first;
    double first_total = 0;
    // Most threads first: the list of a pool that grows is not given back by every OpenMP runtime.
    for (const int threads : {7, 1, 2, 3}) {
      const auto backend = backend_for(isa, DType::kF32, false, threads);
      double total = 0;
      Problem copy = problem;
      backend->mlp_forward(copy.forward());
      backend->mlp_backward(copy.backward(usual_mlp_loss(MlpLossKind::kOrdinal), &total));
      DeviceVector<float> m(copy.parameters.size()), v(copy.parameters.size());
      backend->mlp_step({.parameters = copy.parameters.data(),
                         .gradients = copy.gradients.data(),
                         .m = m.data(),
                         .v = v.data(),
                         .count = std::ssize(copy.parameters)});
      std::vector<float> all(copy.gradients.begin(), copy.gradients.end());
      all.insert(all.end(), copy.parameters.begin(), copy.parameters.end());
      if (first.empty()) first = all, first_total = total;
      EXPECT_EQ(all, first) << name(isa) << ", " << threads << " threads";
      EXPECT_EQ(total, first_total);
    }
  }
}

TEST_P(Mlp, StepsAreAdams) {
  Random random(test_seed(307));
  const auto backend = backend_for(GetParam());
  for (const bool decoupled : {false, true}) {
    for (const double decay : {0.0, 0.1}) {
      constexpr std::size_t kCount = 517;
      DeviceVector<float> p = on_device(uniform_floats(random, kCount)), m(kCount), v(kCount);
      AdamReference reference{.learning_rate = 3e-3, .weight_decay = decay, .decoupled = decoupled};
      std::vector<double> want(p.begin(), p.end());
      for (int step = 1; step <= 12; ++step) {
        DeviceVector<float> g = on_device(uniform_floats(random, kCount, -2, 2));
        g[3] = 0;
        g[4] = 1e-30f;
        backend->mlp_step({.parameters = p.data(),
                           .gradients = g.data(),
                           .m = m.data(),
                           .v = v.data(),
                           .count = kCount,
                           .step = step,
                           .learning_rate = 3e-3,
                           .weight_decay = decay,
                           .decoupled = decoupled});
        reference.apply(want, {g.begin(), g.end()});
        for (std::size_t i = 0; i < kCount; ++i) {
          // of each step so far: the parameter's rounding; m and v are off by 3 roundings of their largest terms, the
          // quotient by 8 of itself, and |m| <= 4 sqrt(v) (1 - beta1) / sqrt(1 - beta2) while steps are few
          const double tolerance = step * kFloatEps * (2 * (1 + std::abs(want[i])) + 3e-3 * 100);
          ASSERT_NEAR(p[i], want[i], tolerance) << i << " after " << step << (decoupled ? " of AdamW" : " of Adam");
        }
      }
    }
  }
}

TEST_P(Mlp, StatisticsAreThoseOfTheListedRows) {
  Random random(test_seed(308));
  const auto backend = backend_for(GetParam());
  for (const std::int64_t columns : {1, 33, 70}) {
    constexpr std::int64_t kExamples = 60;
    GuardedMatrix f(kExamples, columns, DType::kF32);
    f.set(uniform_floats(random, static_cast<std::size_t>(kExamples * columns), 90, 110));
    std::vector<std::int32_t> rows;
    for (std::int32_t r = 1; r < kExamples; r += 2) rows.push_back(r);
    for (const std::int32_t row : rows) f.set(row, 0, 0.1f);
    if (columns > 1) f.set(3, 1, std::numeric_limits<float>::quiet_NaN());
    DeviceVector<float> mean(static_cast<std::size_t>(columns)), deviation(mean.size());
    backend->mlp_statistics({.features = f.view(), .rows = rows, .mean = mean.data(), .deviation = deviation.data()});
    for (std::int64_t c = 0; c < columns; ++c) {
      double sum = 0, squares = 0;
      for (const std::int32_t row : rows) sum += double{f.at(row, c)} / static_cast<double>(rows.size());
      for (const std::int32_t row : rows)
        squares += std::pow(double{f.at(row, c)} - sum, 2) / static_cast<double>(rows.size());
      const auto at = static_cast<std::size_t>(c);
      if (c == 1) {
        EXPECT_TRUE(std::isnan(mean[at]) && std::isnan(deviation[at]));
      } else {
        EXPECT_NEAR(mean[at], sum, 2 * kFloatEps * std::abs(sum));
        EXPECT_NEAR(deviation[at], c == 0 ? 1 : std::sqrt(squares), 2 * kFloatEps * std::max(1.0, std::sqrt(squares)));
      }
    }
  }
}

KVGAUGE_ON_EVERY_EXECUTOR(Mlp);

}  // namespace
}  // namespace kvgauge::testing
