// Training of the regressor. Batches are worked on transposed: row h of `hidden` holds unit h of all examples, so that
// threads own units and no sum crosses threads. Both large products are those of linear(), a row operand against panels
// of 64 columns:
//   hidden[h, i] = sum_c W1[h, c] x[i, c]      panels of 64 examples, [features][64]
//   dW1[h, c]    = sum_i hidden'[h, i] x[i, c] panels of 64 features, [examples][64]
#include "ops/mlp.h"

#include <algorithm>
#include <cmath>

#include "core/ceil_div.h"
#include "cpu/backend.h"

namespace kvgauge::cpu {
namespace {

constexpr std::int64_t kUnitRows = 24;       // hidden units that a thread is dealt: four register tiles
constexpr std::int64_t kUnitColumns = 64;    // columns of a feature matrix
constexpr std::int64_t kStepUnit = 1 << 14;  // parameters
static_assert(kPanelColumns == 64);          // mlp_workspace_bytes() counts on it

struct Workspace {
  Workspace(const MlpForwardArgs& args)
      : batch(std::ssize(args.rows)),
        features(args.features.columns),
        hidden_units(args.head.hidden),
        panels(ceil_div(batch, kPanelColumns)),
        feature_panels(ceil_div(features, kPanelColumns)),
        padded(panels * kPanelColumns) {
    losses = reinterpret_cast<double*>(args.workspace);
    slopes = reinterpret_cast<float*>(losses + padded);
    hidden = slopes + padded;
    columns = hidden + hidden_units * padded;
    rows = columns + padded * features;
  }
  std::int64_t batch, features, hidden_units, panels, feature_panels, padded;
  double* losses;
  float* slopes;
  float* hidden;   // [hidden_units][padded]
  float* columns;  // [panels][features][64]
  float* rows;     // [feature_panels][batch][64]
};

/// 64 examples, standardised, into both orders; zeros behind the last one.
void gather_panel(const MlpForwardArgs& args, const Workspace& work, std::int64_t panel) {
  const std::int64_t first = panel * kPanelColumns, count = std::min<std::int64_t>(kPanelColumns, work.batch - first);
  for (std::int64_t r = 0; r < count; ++r) {
    const float* from = static_cast<const float*>(args.features.data) +
                        args.rows[static_cast<std::size_t>(first + r)] * args.features.stride;
    for (std::int64_t c = 0; c < work.features; c += kPanelColumns) {
      float* to = work.rows + (c * work.batch + (first + r) * kPanelColumns);
      const std::int64_t width = std::min<std::int64_t>(kPanelColumns, work.features - c);
      if (args.head.mean == nullptr) {
        std::copy_n(from + c, width, to);
      } else {
        for (std::int64_t j = 0; j < width; ++j)
          to[j] = (from[c + j] - args.head.mean[c + j]) / args.head.deviation[c + j];
      }
      std::fill(to + width, to + kPanelColumns, 0.f);
    }
  }
  float* to = work.columns + first * work.features;
  for (std::int64_t c = 0; c < work.features; ++c, to += kPanelColumns) {
    const float* from = work.rows + (c / kPanelColumns * work.batch + first) * kPanelColumns + c % kPanelColumns;
    for (std::int64_t r = 0; r < count; ++r) to[r] = from[r * kPanelColumns];
    std::fill(to + count, to + kPanelColumns, 0.f);
  }
}

}  // namespace

void CpuBackend::mlp_forward(const MlpForwardArgs& args) {
  check_mlp(args);
  const Workspace work(args);
  parallel(work.panels, work.batch * work.features < 8'192,
           [&](std::int64_t panel, int) { gather_panel(args, work, panel); });
  const bool tiny = work.batch * work.features * work.hidden_units < 65'536;
  const std::int64_t blocks = ceil_div(work.hidden_units, kUnitRows);
  parallel(work.panels * blocks, tiny, [&](std::int64_t unit, int) {
    const std::int64_t panel = unit / blocks, first = unit % blocks * kUnitRows;
    const std::int64_t count = std::min(kUnitRows, work.hidden_units - first);
    float* const hidden = work.hidden + first * work.padded + panel * kPanelColumns;
    kernels_.panel_f32({.x = args.head.w1 + first * work.features,
                        .x_stride = work.features,
                        .rows = count,
                        .depth = work.features,
                        .panel = work.columns + panel * kPanelColumns * work.features,
                        .first = 0,
                        .last = kPanelColumns,
                        .out = hidden,
                        .out_stride = work.padded});
    for (std::int64_t h = 0; h < count; ++h)
      kernels_.rectify_row(hidden + h * work.padded, args.head.b1[first + h], kPanelColumns);
  });
  parallel(work.panels, tiny, [&](std::int64_t panel, int) {
    float out[kPanelColumns];
    const std::int64_t first = panel * kPanelColumns;
    kernels_.weigh_rows(work.hidden + first, work.padded, work.hidden_units, args.head.w2, *args.head.b2, out,
                        kPanelColumns);
    std::copy_n(out, std::min<std::int64_t>(kPanelColumns, work.batch - first), args.out + first);
  });
}

void CpuBackend::mlp_backward(const MlpBackwardArgs& args) {
  const MlpForwardArgs& forward = args.forward;
  check_mlp(forward);
  const Workspace work(forward);
  parallel(work.panels, work.batch < 512, [&](std::int64_t panel, int) {
    for (std::int64_t i = panel * kPanelColumns; i < (panel + 1) * kPanelColumns; ++i) {
      work.losses[i] = work.slopes[i] = 0;
      if (i >= work.batch) continue;
      const std::int32_t row = forward.rows[static_cast<std::size_t>(i)];
      const LossAt at = mlp_loss_at(args.loss, forward.out[i], args.labels[row]);
      const double share = args.share * static_cast<double>(args.weights == nullptr ? 1.f : args.weights[row]);
      work.losses[i] = share * at.value;
      work.slopes[i] = static_cast<float>(share * at.slope);
    }
  });
  double total = 0, of_bias = 0;
  for (std::int64_t i = 0; i < work.batch; ++i) {
    total += work.losses[i];
    of_bias += static_cast<double>(work.slopes[i]);
  }
  *args.total = total;
  *args.b2 = static_cast<float>(of_bias);

  const bool tiny = work.batch * work.features * work.hidden_units < 65'536;
  parallel(work.hidden_units, tiny, [&](std::int64_t h, int) {
    const HiddenSums sums =
        kernels_.backward_row(work.hidden + h * work.padded, work.slopes, forward.head.w2[h], work.padded);
    args.w2[h] = static_cast<float>(sums.of_weight);
    args.b1[h] = static_cast<float>(sums.of_bias);
  });
  const std::int64_t blocks = ceil_div(work.hidden_units, kUnitRows);
  parallel(work.feature_panels * blocks, tiny, [&](std::int64_t unit, int) {
    const std::int64_t panel = unit / blocks, first = unit % blocks * kUnitRows, column = panel * kPanelColumns;
    kernels_.panel_f32({.x = work.hidden + first * work.padded,
                        .x_stride = work.padded,
                        .rows = std::min(kUnitRows, work.hidden_units - first),
                        .depth = work.batch,
                        .panel = work.rows + column * work.batch,
                        .first = 0,
                        .last = static_cast<int>(std::min<std::int64_t>(kPanelColumns, work.features - column)),
                        .out = args.w1 + first * work.features + column,
                        .out_stride = work.features});
  });
}

void CpuBackend::mlp_step(const MlpStepArgs& args) {
  check_mlp(args);
  const MlpStepFactors factors(args);
  const std::int64_t units = ceil_div(args.count, kStepUnit);
  parallel(units, false, [&](std::int64_t unit, int) {
    const std::int64_t first = unit * kStepUnit;
    kernels_.adam_row({.parameters = args.parameters + first,
                       .gradients = args.gradients + first,
                       .m = args.m + first,
                       .v = args.v + first,
                       .count = std::min(kStepUnit, args.count - first),
                       .beta1 = factors.beta1,
                       .beta2 = factors.beta2,
                       .fresh1 = factors.fresh1,
                       .fresh2 = factors.fresh2,
                       .rate = factors.rate,
                       .v_scale = factors.v_scale,
                       .epsilon = factors.epsilon,
                       .decay = factors.decay,
                       .kept = factors.kept});
  });
}

void CpuBackend::mlp_statistics(const MlpStatisticsArgs& args) {
  check_mlp_rows(args.features, args.rows);
  KVGAUGE_CHECK(!args.rows.empty(), "statistics of no rows");
  const std::int64_t columns = args.features.columns;
  parallel(ceil_div(columns, kUnitColumns), std::ssize(args.rows) * columns < 8'192, [&](std::int64_t unit, int) {
    const std::int64_t first = unit * kUnitColumns, count = std::min(kUnitColumns, columns - first);
    const float* const from = static_cast<const float*>(args.features.data) + first;
    double mean[kUnitColumns] = {}, squares[kUnitColumns] = {};
    const auto rows = static_cast<double>(args.rows.size());
    for (const std::int32_t row : args.rows)
      for (std::int64_t c = 0; c < count; ++c) mean[c] += static_cast<double>(from[row * args.features.stride + c]);
    for (std::int64_t c = 0; c < count; ++c) mean[c] /= rows;
    for (const std::int32_t row : args.rows) {
      for (std::int64_t c = 0; c < count; ++c) {
        const double off = static_cast<double>(from[row * args.features.stride + c]) - mean[c];
        squares[c] += off * off;
      }
    }
    for (std::int64_t c = 0; c < count; ++c) {
      const double deviation = std::sqrt(squares[c] / rows);
      args.mean[first + c] = static_cast<float>(mean[c]);
      args.deviation[first + c] =
          deviation <= kConstantDeviation * std::abs(mean[c]) ? 1.f : static_cast<float>(deviation);
    }
  });
}

}  // namespace kvgauge::cpu
