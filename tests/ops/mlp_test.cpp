#include "reference/mlp.h"

#include "core/json.h"
#include "ops_support.h"
#include "reference/lcg.h"

namespace kvgauge::testing {
namespace {

class Mlp : public OnEveryExecutor {};

ReferenceLossSpec reference_of(const MlpLoss& loss) {
  return {.kind = loss.kind == MlpLossKind::kMse   ? ReferenceLoss::kMse
                  : loss.kind == MlpLossKind::kBce ? ReferenceLoss::kBce
                                                   : ReferenceLoss::kOrdinal,
          .offset = double{loss.offset},
          .scale = double{loss.scale},
          .threshold = double{loss.threshold},
          .unit = double{loss.unit}};
}
const MlpLossKind kKinds[] = {MlpLossKind::kMse, MlpLossKind::kBce, MlpLossKind::kOrdinal};

/// A network, a feature matrix and a batch of its rows, where the executor reads them.
struct Problem {
  Problem(std::size_t examples, std::size_t features, std::size_t hidden, std::size_t batch)
      : features_matrix(static_cast<std::int64_t>(examples), static_cast<std::int64_t>(features), DType::kF32),
        parameters(hidden * (features + 2) + 1),
        gradients(parameters.size(), std::numeric_limits<float>::quiet_NaN()),
        labels(examples),
        out(batch, std::numeric_limits<float>::quiet_NaN()),
        workspace(mlp_workspace_bytes(static_cast<std::int64_t>(batch), static_cast<std::int64_t>(features),
                                      static_cast<std::int64_t>(hidden)) +
                      kGuard,
                  std::byte{0xff}),
        examples(examples),
        features(features),
        hidden(hidden) {}
  /// Seeded values everywhere; half of the rows are listed twice.
  Problem(std::size_t examples, std::size_t features, std::size_t hidden, std::size_t batch, Random& random)
      : Problem(examples, features, hidden, batch) {
    features_matrix.set(uniform_floats(random, examples * features, -2, 3));
    const double bound = 1 / std::sqrt(static_cast<double>(features));
    for (float& w : parameters) w = uniform_in(random, -bound, bound);
    for (float& label : labels) label = std::array{0.f, 25.f, 75.f, 100.f, 50.f}[random() % 5];
    for (std::size_t i = 0; i < batch; ++i) rows.push_back(static_cast<std::int32_t>(random() % examples));
  }
  void standardise(Random& random) {
    mean = on_device(uniform_floats(random, features, -1, 1));
    deviation = on_device(uniform_floats(random, features, 0.5, 2));
  }
  void weigh(Random& random) {
    weights = on_device(uniform_floats(random, examples, 0, 2));
    weights[0] = 0;
  }

  float* w1(DeviceVector<float>& of) const { return of.data(); }
  float* b1(DeviceVector<float>& of) const { return of.data() + hidden * features; }
  float* w2(DeviceVector<float>& of) const { return b1(of) + hidden; }
  float* b2(DeviceVector<float>& of) const { return w2(of) + hidden; }
  MlpForwardArgs forward() {
    return {.features = features_matrix.view(),
            .rows = rows,
            .head = {.w1 = w1(parameters),
                     .b1 = b1(parameters),
                     .w2 = w2(parameters),
                     .b2 = b2(parameters),
                     .hidden = static_cast<std::int64_t>(hidden),
                     .mean = mean.empty() ? nullptr : mean.data(),
                     .deviation = mean.empty() ? nullptr : deviation.data()},
            .workspace = workspace.data(),
            .out = out.data()};
  }
  MlpBackwardArgs backward(const MlpLoss& loss, double* total) {
    return {.forward = forward(),
            .labels = labels.data(),
            .weights = weights.empty() ? nullptr : weights.data(),
            .loss = loss,
            .share = 1 / static_cast<double>(rows.size()),
            .w1 = w1(gradients),
            .b1 = b1(gradients),
            .w2 = w2(gradients),
            .b2 = b2(gradients),
            .total = total};
  }
  bool intact() const {
    return features_matrix.intact() &&
           std::all_of(workspace.end() - kGuard, workspace.end(), [](std::byte b) { return b == std::byte{0xff}; });
  }

  MlpReference reference() const {
    const auto part = [&](std::size_t first, std::size_t count) {
      const auto from = parameters.begin() + static_cast<std::ptrdiff_t>(first);
      return std::vector<double>(from, from + static_cast<std::ptrdiff_t>(count));
    };
    return {features,
            hidden,
            part(0, hidden * features),
            part(hidden * features, hidden),
            part(hidden * (features + 1), hidden),
            double{parameters.back()}};
  }
  std::vector<double> x(std::size_t i) const {
    std::vector<double> values;
    for (std::size_t c = 0; c < features; ++c) {
      const double f = double{features_matrix.at(rows[i], static_cast<std::int64_t>(c))};
      values.push_back(mean.empty() ? f : (f - double{mean[c]}) / double{deviation[c]});
    }
    return values;
  }
  MlpGradients reference_gradients(const MlpLoss& loss) const {
    std::vector<std::vector<double>> xs;
    std::vector<double> of_rows, their_weights;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      xs.push_back(x(i));
      of_rows.push_back(double{labels[static_cast<std::size_t>(rows[i])]});
      their_weights.push_back(weights.empty() ? 1 : double{weights[static_cast<std::size_t>(rows[i])]});
    }
    return reference_mlp_backward(reference(), xs, of_rows, their_weights, reference_of(loss),
                                  1 / static_cast<double>(rows.size()));
  }

  static constexpr std::ptrdiff_t kGuard = 64;
  GuardedMatrix features_matrix;
  DeviceVector<float> parameters, gradients, labels, weights, mean, deviation, out;
  DeviceVector<std::byte> workspace;
  std::vector<std::int32_t> rows;
  std::size_t examples, features, hidden;
};

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

KVGAUGE_ON_EVERY_EXECUTOR(Mlp);

}  // namespace
}  // namespace kvgauge::testing
