#pragma once
#include <cmath>

#include "core/check.h"
#include "core/host_device.h"
#include "ops/args.h"
#include "ops/kv_pool.h"

namespace kvgauge {

// Training of the regressor of kv_pool (METHOD.md F.1, F.4): o = w2 . relu(W1 x + b1) + b2 with x = (f - mean) /
// deviation, gradients of a loss, a step of Adam, and the mean and deviation themselves. Examples stay on the device
// that holds their features; a batch is a list of row numbers. All of it is f32 with sums in a fixed order: the same
// bits for any number of threads.

enum class MlpLossKind : std::uint8_t {
  kMse,      ///< (d - label)^2
  kBce,      ///< of "label >= threshold", with the logit (d - 50) / unit
  kOrdinal,  ///< sum over the cuts c of the cross entropy of "label > c", with the logits (d - c) / unit
};

/// What is made of the network's output o and a label in 0..100. Whatever the loss, it sees the difficulty
///   d = offset + scale * o
/// and d is what a head must give: exported with w2 * scale and b2 * scale + offset, the head of kv_pool gives it. So
/// the logistic losses have their logits in units of difficulty: with kBce, d = 50 is p = 1/2 and each `unit` above it
/// multiplies the odds by e; with kOrdinal the same holds at each cut, and one slope serves all (proportional odds,
/// McCullagh 1980). Offset and scale only set the size of the numbers that Adam's steps move.
struct MlpLoss {
  MlpLossKind kind = MlpLossKind::kMse;
  float offset = 0, scale = 1;
  float threshold = 75;  ///< of kBce
  float unit = 12.5f;    ///< of d for each logit, of kBce and kOrdinal
};
/// The settings of METHOD.md F.4 for kMse; o is the logit of d = 50 for the others.
constexpr MlpLoss usual_mlp_loss(MlpLossKind kind) {
  return kind == MlpLossKind::kMse
             ? MlpLoss{}
             : MlpLoss{.kind = kind, .offset = 50, .scale = 12.5f, .threshold = 75, .unit = 12.5f};
}

/// Between the labels 0, 25, 75, 100.
KVGAUGE_HOST_DEVICE constexpr double ordinal_cut(int index) { return index == 0 ? 12.5 : index == 1 ? 50 : 87.5; }
inline constexpr int kOrdinalCuts = 3;

/// A loss and its derivative by its argument.
struct LossAt {
  double value = 0, slope = 0;
};
/// -t log p - (1 - t) log(1 - p) with p = 1 / (1 + exp(-z)), without overflow: log(1 + exp(z)) - t z.
KVGAUGE_HOST_DEVICE inline LossAt cross_entropy(double z, bool target) {
  const double e = exp(-fabs(z)), p = (z < 0 ? e : 1) / (1 + e);
  return {.value = (z > 0 ? z : 0) + log1p(e) - (target ? z : 0), .slope = p - (target ? 1 : 0)};
}
/// Loss of one example and its derivative by o. NaN propagates.
KVGAUGE_HOST_DEVICE inline LossAt mlp_loss_at(const MlpLoss& loss, float o, float label) {
  const double scale = loss.scale, d = loss.offset + scale * o, y = label;
  if (loss.kind == MlpLossKind::kMse) return {.value = (d - y) * (d - y), .slope = 2 * (d - y) * scale};
  const double unit = loss.unit;
  LossAt sum;
  if (loss.kind == MlpLossKind::kBce) {
    sum = cross_entropy((d - 50) / unit, label >= loss.threshold);
  } else {
    for (int i = 0; i < kOrdinalCuts; ++i) {
      const double cut = ordinal_cut(i);
      const LossAt at = cross_entropy((d - cut) / unit, y > cut);
      sum.value += at.value;
      sum.slope += at.slope;
    }
  }
  sum.slope *= scale / unit;
  return sum;
}

/// Device memory that a batch needs between forward and backward: standardised examples in both orders, hidden units,
/// slopes and losses, in whole groups of 64. What lies in it is the back end's own affair.
constexpr std::size_t mlp_workspace_bytes(std::int64_t batch, std::int64_t features, std::int64_t hidden) {
  const std::int64_t rows = (batch + 63) / 64 * 64, columns = (features + 63) / 64 * 64;
  return static_cast<std::size_t>(rows * (2 * columns + hidden) + 4 * rows) * sizeof(float);
}

/// o of a batch: out[i] = w2 . relu(W1 x_i + b1) + b2, x_i = (features[rows[i]] - mean) / deviation.
struct MlpForwardArgs {
  MatrixView features;                 ///< f32 [examples, features]
  std::span<const std::int32_t> rows;  ///< of `features`; may repeat
  PoolHead head;
  std::byte* workspace = nullptr;  ///< mlp_workspace_bytes(), 16-byte aligned
  float* out = nullptr;            ///< device [rows]
};

/// Gradients of L = share * sum_i weights[rows[i]] * loss(o_i, labels[rows[i]]).
///   g_i = share * weight_i * loss'(o_i);  dw2 = sum_i g_i a_i, db2 = sum_i g_i with a = relu(W1 x + b1)
///   h_i = g_i w2 where a_i > 0, else 0;  dW1 = sum_i h_i x_i^T, db1 = sum_i h_i
struct MlpBackwardArgs {
  MlpForwardArgs forward;          ///< as forward had it, which was the last to use the workspace
  const float* labels = nullptr;   ///< device [examples], 0..100
  const float* weights = nullptr;  ///< device [examples]; nullptr: all 1
  MlpLoss loss;
  double share = 1;                                                  ///< 1 / rows: the mean
  float *w1 = nullptr, *b1 = nullptr, *w2 = nullptr, *b2 = nullptr;  ///< device, written: shaped as the head's
  double* total = nullptr;                                           ///< on the host, there after wait(): L
};

/// One step of Adam (Kingma and Ba 2015) on `count` parameters, or of AdamW (Loshchilov and Hutter 2019):
///   g += weight_decay * p            (Adam)     p -= learning_rate * weight_decay * p   (AdamW, before the rest)
///   m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
///   p -= learning_rate * m / (1 - beta1^step) / (sqrt(v / (1 - beta2^step)) + epsilon)
struct MlpStepArgs {
  float* parameters = nullptr;  ///< device [count], as all of them
  const float* gradients = nullptr;
  float *m = nullptr, *v = nullptr;  ///< zeros before the first step
  std::int64_t count = 0;
  std::int64_t step = 1;  ///< from 1
  double learning_rate = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
  bool decoupled = false;  ///< AdamW
};

/// Mean and deviation (of the population) of each column over the listed rows, summed in double. A column whose
/// deviation is at most 2^-20 of its mean counts as constant: its deviation is 1. NaN propagates to both.
struct MlpStatisticsArgs {
  MatrixView features;                          ///< f32 [examples, features]
  std::span<const std::int32_t> rows;           ///< at least one
  float *mean = nullptr, *deviation = nullptr;  ///< device [features]
};
inline constexpr double kConstantDeviation = 0x1p-20;

// What every back end requires of its caller.
inline void check_mlp_rows(const MatrixView& features, std::span<const std::int32_t> rows) {
  KVGAUGE_CHECK(features.dtype == DType::kF32 && features.columns > 0 && features.stride >= features.columns,
                "features are ", name(features.dtype), "[", features.rows, ",", features.columns, "] with stride ",
                features.stride);
  for (const std::int32_t row : rows)
    KVGAUGE_CHECK(row >= 0 && row < features.rows, "row ", row, " of ", features.rows);
}
inline void check_mlp(const MlpForwardArgs& args) {
  check_mlp_rows(args.features, args.rows);
  KVGAUGE_CHECK(args.head.w1 != nullptr && args.head.hidden > 0, "a head of ", args.head.hidden, " hidden units");
  KVGAUGE_CHECK(args.workspace != nullptr, "no workspace");
}
inline void check_mlp(const MlpStepArgs& args) {
  KVGAUGE_CHECK(args.step >= 1 && args.count >= 0, "step ", args.step, " of ", args.count, " parameters");
}

/// What a step needs of the betas, rounded once: 1 - beta is not that of the rounded beta.
struct MlpStepFactors {
  float beta1, beta2, fresh1, fresh2, rate, v_scale, epsilon, decay, kept;
  explicit MlpStepFactors(const MlpStepArgs& args)
      : beta1(static_cast<float>(args.beta1)),
        beta2(static_cast<float>(args.beta2)),
        fresh1(static_cast<float>(1 - args.beta1)),
        fresh2(static_cast<float>(1 - args.beta2)),
        rate(static_cast<float>(args.learning_rate / (1 - std::pow(args.beta1, static_cast<double>(args.step))))),
        v_scale(static_cast<float>(1 / (1 - std::pow(args.beta2, static_cast<double>(args.step))))),
        epsilon(static_cast<float>(args.epsilon)),
        decay(args.decoupled ? 0.f : static_cast<float>(args.weight_decay)),
        kept(args.decoupled ? static_cast<float>(1 - args.learning_rate * args.weight_decay) : 1.f) {}
};

}  // namespace kvgauge
