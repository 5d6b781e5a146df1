#pragma once
#include <cmath>
#include <cstddef>
#include <vector>

namespace kvgauge::testing {

/// The regressor's training in double, example by example (METHOD.md F.4). `*_size`: the sum of the magnitudes of what
/// was added, by which rounding is judged.
struct MlpReference {
  std::size_t features = 0, hidden = 0;
  std::vector<double> w1, b1, w2;  ///< [hidden][features], [hidden], [hidden]
  double b2 = 0;
};

struct MlpOutput {
  double out = 0, out_size = 0;
  std::vector<double> sum, sum_size;  ///< of each hidden unit, before the relu
};

inline MlpOutput reference_mlp_forward(const MlpReference& net, const std::vector<double>& x) {
  MlpOutput o{net.b2, std::abs(net.b2), {}, {}};
  for (std::size_t h = 0; h < net.hidden; ++h) {
    double sum = net.b1[h], size = std::abs(net.b1[h]);
    for (std::size_t c = 0; c < net.features; ++c) {
      sum += net.w1[h * net.features + c] * x[c];
      size += std::abs(net.w1[h * net.features + c] * x[c]);
    }
    o.sum.push_back(sum);
    o.sum_size.push_back(size);
    o.out += net.w2[h] * (sum > 0 ? sum : 0);
    o.out_size += std::abs(net.w2[h]) * size;
  }
  return o;
}

enum class ReferenceLoss { kMse, kBce, kOrdinal };
/// d = offset + scale * out; `threshold` of kBce; `unit` of difficulty for each logit.
struct ReferenceLossSpec {
  ReferenceLoss kind = ReferenceLoss::kMse;
  double offset = 0, scale = 1, threshold = 75, unit = 12.5;
};

/// -log p of what is true, p = 1 / (1 + exp(-z)).
inline double reference_cross_entropy(double z, bool target) {
  return target ? std::log1p(std::exp(-z)) : std::log1p(std::exp(z));
}

inline double reference_loss(const ReferenceLossSpec& spec, double out, double label) {
  const double d = spec.offset + spec.scale * out;
  switch (spec.kind) {
    case ReferenceLoss::kMse: return std::pow(d - label, 2);
    case ReferenceLoss::kBce: return reference_cross_entropy((d - 50) / spec.unit, label >= spec.threshold);
    case ReferenceLoss::kOrdinal: break;
  }
  double sum = 0;
  for (const double cut : {12.5, 50.0, 87.5}) sum += reference_cross_entropy((d - cut) / spec.unit, label > cut);
  return sum;
}
inline double reference_loss_slope(const ReferenceLossSpec& spec, double out, double label) {
  const double d = spec.offset + spec.scale * out;
  const auto logistic = [&](double at) { return 1 / (1 + std::exp(-(d - at) / spec.unit)); };
  switch (spec.kind) {
    case ReferenceLoss::kMse: return 2 * (d - label) * spec.scale;
    case ReferenceLoss::kBce: return (logistic(50) - (label >= spec.threshold)) * spec.scale / spec.unit;
    case ReferenceLoss::kOrdinal: break;
  }
  double sum = 0;
  for (const double cut : {12.5, 50.0, 87.5}) sum += logistic(cut) - (label > cut);
  return sum * spec.scale / spec.unit;
}

/// A gradient; also the sizes of its sums.
struct MlpGradient {
  double total = 0;
  std::vector<double> w1, b1, w2;
  double b2 = 0;
};
struct MlpGradients {
  MlpGradient value, size;
};

/// Of share * sum weight * loss. A unit is active where its sum is positive.
inline MlpGradients reference_mlp_backward(const MlpReference& net, const std::vector<std::vector<double>>& x,
                                           const std::vector<double>& labels, const std::vector<double>& weights,
                                           const ReferenceLossSpec& spec, double share) {
  MlpGradients g;
  for (MlpGradient* part : {&g.value, &g.size}) {
    part->w1.assign(net.w1.size(), 0);
    part->b1.assign(net.hidden, 0);
    part->w2.assign(net.hidden, 0);
  }
  for (std::size_t i = 0; i < x.size(); ++i) {
    const MlpOutput o = reference_mlp_forward(net, x[i]);
    const double value = share * weights[i] * reference_loss(spec, o.out, labels[i]);
    const double slope = share * weights[i] * reference_loss_slope(spec, o.out, labels[i]);
    g.value.total += value;
    g.size.total += std::abs(value);
    g.value.b2 += slope;
    g.size.b2 += std::abs(slope);
    for (std::size_t h = 0; h < net.hidden; ++h) {
      if (!(o.sum[h] > 0)) continue;
      const double back = slope * net.w2[h];
      g.value.w2[h] += slope * o.sum[h];
      g.size.w2[h] += std::abs(slope) * o.sum_size[h];
      g.value.b1[h] += back;
      g.size.b1[h] += std::abs(back);
      for (std::size_t c = 0; c < net.features; ++c) {
        g.value.w1[h * net.features + c] += back * x[i][c];
        g.size.w1[h * net.features + c] += std::abs(back * x[i][c]);
      }
    }
  }
  return g;
}

/// Adam, or AdamW where `decoupled` (Loshchilov and Hutter 2019, algorithm 2).
struct AdamReference {
  double learning_rate = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
  bool decoupled = false;
  int step = 0;
  std::vector<double> m = {}, v = {};

  void apply(std::vector<double>& parameters, std::vector<double> gradients) {
    ++step;
    m.resize(parameters.size());
    v.resize(parameters.size());
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      if (decoupled) {
        parameters[i] -= learning_rate * weight_decay * parameters[i];
      } else {
        gradients[i] += weight_decay * parameters[i];
      }
      m[i] = beta1 * m[i] + (1 - beta1) * gradients[i];
      v[i] = beta2 * v[i] + (1 - beta2) * gradients[i] * gradients[i];
      parameters[i] -= learning_rate * (m[i] / (1 - std::pow(beta1, step))) /
                       (std::sqrt(v[i] / (1 - std::pow(beta2, step))) + epsilon);
    }
  }
};

}  // namespace kvgauge::testing
