#pragma once
#include "core/json.h"
#include "ops_support.h"
#include "reference/lcg.h"
#include "reference/mlp.h"

namespace kvgauge::testing {

inline ReferenceLossSpec reference_of(const MlpLoss& loss) {
  return {.kind = loss.kind == MlpLossKind::kMse   ? ReferenceLoss::kMse
                  : loss.kind == MlpLossKind::kBce ? ReferenceLoss::kBce
                                                   : ReferenceLoss::kOrdinal,
          .offset = double{loss.offset},
          .scale = double{loss.scale},
          .threshold = double{loss.threshold},
          .unit = double{loss.unit}};
}
inline constexpr MlpLossKind kKinds[] = {MlpLossKind::kMse, MlpLossKind::kBce, MlpLossKind::kOrdinal};

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

}  // namespace kvgauge::testing
