// Training of the regressor (ops/mlp.h):
//   a[i, h] = relu(sum_c x[i, c] W1[h, c] + b1[h]),  o[i] = sum_h w2[h] a[i, h] + b2
//   g[i] = slopes;  dw2[h] = sum_i g[i] a[i, h],  a'[i, h] = g[i] w2[h] (a > 0),  db1[h] = sum_i a'[i, h]
//   dW1[h, c] = sum_i a'[i, h] x[i, c]
// The two large products are tiles of kTile x kTile outputs, one block each, operands passing through shared memory in
// slices of kSlice; a thread holds 4 x 4 outputs, each one chain of fused steps over the whole depth. Examples are
// gathered and standardised on their way to shared memory. Sums over a batch or over hidden units have a fixed order
// that depends on nothing but the sizes.
// Bytes of a product: rows * depth * 4 of each operand for every kTile rows of the other one.
#include "cuda/mlp.h"

#include "core/check.h"
#include "cuda/device.cuh"

namespace kvgauge::cuda {
namespace {

constexpr int kTile = 32, kSlice = 16, kOutputs = 4;  // outputs of a thread: kOutputs^2
constexpr int kTileThreads = (kTile / kOutputs) * (kTile / kOutputs);
constexpr int kRowThreads = 128;               // one warp an example
constexpr int kUnits = kWarpSize, kTeams = 8;  // threads of a block that owns 32 columns
constexpr int kSlopeThreads = 512;
constexpr int kStepThreads = 256;

/// Examples of a batch.
struct Examples {
  const float* features;
  std::int64_t stride;
  const std::int32_t* rows;
  const float* mean;
  const float* deviation;
};
__device__ __forceinline__ float value_of(const Examples& examples, std::int64_t i, int column) {
  const float f = examples.features[examples.rows[i] * examples.stride + column];
  return examples.mean == nullptr ? f : (f - examples.mean[column]) / examples.deviation[column];
}

/// Two slices of kSlice x kTile, one padding column apart.
struct Slices {
  float a[kSlice][kTile + 1], b[kSlice][kTile + 1];
};

/// sums[r][c] += a[k][row + r] b[k][column + c] over the slice, k ascending.
__device__ __forceinline__ void add_slice(const Slices& slices, int row, int column,
                                          float (&sums)[kOutputs][kOutputs]) {
#pragma unroll
  for (int k = 0; k < kSlice; ++k) {
    float a[kOutputs], b[kOutputs];
#pragma unroll
    for (int i = 0; i < kOutputs; ++i) {
      a[i] = slices.a[k][row + i];
      b[i] = slices.b[k][column + i];
    }
#pragma unroll
    for (int r = 0; r < kOutputs; ++r) {
#pragma unroll
      for (int c = 0; c < kOutputs; ++c) sums[r][c] = fmaf(a[r], b[c], sums[r][c]);
    }
  }
}

}  // namespace

struct MlpHiddenKernelArgs {
  Examples examples;
  const float *w1, *b1;
  float* hidden;  // [batch, units]
  std::int64_t batch;
  int features, units;
};

__global__ void __launch_bounds__(kTileThreads, 8) mlp_hidden_kernel(MlpHiddenKernelArgs a) {
  __shared__ Slices slices;
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t first = std::int64_t{blockIdx.x} * kTile;
  const int first_unit = static_cast<int>(blockIdx.y) * kTile;
  const int row = thread / (kTile / kOutputs) * kOutputs, column = thread % (kTile / kOutputs) * kOutputs;
  float sums[kOutputs][kOutputs] = {};
  for (int c = 0; c < a.features; c += kSlice) {
    for (int i = thread; i < kSlice * kTile; i += kTileThreads) {  // neighbours read neighbouring features
      const int k = i % kSlice, at = i / kSlice;
      const bool inside = c + k < a.features;
      slices.a[k][at] = inside && first + at < a.batch ? value_of(a.examples, first + at, c + k) : 0.f;
      slices.b[k][at] = inside && first_unit + at < a.units
                            ? a.w1[static_cast<std::int64_t>(first_unit + at) * a.features + c + k]
                            : 0.f;
    }
    __syncthreads();
    add_slice(slices, row, column, sums);
    __syncthreads();
  }
#pragma unroll
  for (int r = 0; r < kOutputs; ++r) {
#pragma unroll
    for (int u = 0; u < kOutputs; ++u) {
      const int unit = first_unit + column + u;
      if (first + row + r >= a.batch || unit >= a.units) continue;
      const float sum = sums[r][u] + a.b1[unit];
      a.hidden[(first + row + r) * a.units + unit] = sum < 0 ? 0 : sum;  // written so that NaN stays
    }
  }
}

struct MlpOutKernelArgs {
  const float *hidden, *w2, *b2;
  float* out;
  std::int64_t batch;
  int units;
};

__global__ void __launch_bounds__(kRowThreads) mlp_out_kernel(MlpOutKernelArgs a) {
  const std::int64_t i = global_warp_index();
  if (i >= a.batch) return;  // whole warps leave, and no block barrier follows
  float sum = 0;
  for (int h = lane_index(); h < a.units; h += kWarpSize) sum = fmaf(a.w2[h], a.hidden[i * a.units + h], sum);
  sum = warp_sum(sum);
  if (lane_index() == 0) a.out[i] = sum + *a.b2;
}

struct MlpSlopesKernelArgs {
  const float *out, *labels, *weights;
  const std::int32_t* rows;
  MlpLoss loss;
  double share;
  std::int64_t batch;
  float* slopes;
  double* total;
  float* b2;
};

/// Losses and slopes of a batch, and their sums, by one block.
__global__ void __launch_bounds__(kSlopeThreads) mlp_slopes_kernel(MlpSlopesKernelArgs a) {
  __shared__ double scratch[kWarpSize];
  double total = 0, of_bias = 0;
  for (std::int64_t i = threadIdx.x; i < a.batch; i += kSlopeThreads) {
    const std::int32_t row = a.rows[i];
    const LossAt at = mlp_loss_at(a.loss, a.out[i], a.labels[row]);
    const double share = a.share * static_cast<double>(a.weights == nullptr ? 1.f : a.weights[row]);
    const auto slope = static_cast<float>(share * at.slope);
    a.slopes[i] = slope;
    total += share * at.value;
    of_bias += static_cast<double>(slope);
  }
  total = block_sum(total, scratch);
  of_bias = block_sum(of_bias, scratch);
  if (threadIdx.x == 0) {
    *a.total = total;
    *a.b2 = static_cast<float>(of_bias);
  }
}

namespace {

/// Sums of the teams of a column, in the order of teams, for the threads of team 0. Barrier contract: every thread of
/// the block calls; begins and ends with a barrier.
__device__ __forceinline__ double team_sum(double value, double (&scratch)[kTeams][kUnits]) {
  const int unit = lane_index(), team = warp_index();
  __syncthreads();
  scratch[team][unit] = value;
  __syncthreads();
  double sum = 0;
  for (int t = 0; t < kTeams; ++t) sum += scratch[t][unit];
  __syncthreads();
  return sum;
}

}  // namespace

struct MlpUnitsKernelArgs {
  float* hidden;  // becomes the slopes of the hidden units
  const float *slopes, *head_w2;
  float *w2, *b1;
  std::int64_t batch;
  int units;
};

/// 32 hidden units a block; its teams take examples in turn.
__global__ void __launch_bounds__(kUnits* kTeams) mlp_units_kernel(MlpUnitsKernelArgs a) {
  __shared__ double scratch[kTeams][kUnits];
  const int unit = static_cast<int>(blockIdx.x) * kUnits + lane_index();
  const float weight = unit < a.units ? a.head_w2[unit] : 0.f;
  double of_weight = 0, of_bias = 0;
  for (std::int64_t i = warp_index(); i < a.batch; i += kTeams) {
    if (unit >= a.units) break;
    float* const at = a.hidden + i * a.units + unit;
    const float active = *at, slope = a.slopes[i], back = active > 0 ? slope * weight : 0.f;
    of_weight += static_cast<double>(active) * static_cast<double>(slope);
    of_bias += static_cast<double>(back);
    *at = back;
  }
  of_weight = team_sum(of_weight, scratch);
  of_bias = team_sum(of_bias, scratch);
  if (warp_index() == 0 && unit < a.units) {
    a.w2[unit] = static_cast<float>(of_weight);
    a.b1[unit] = static_cast<float>(of_bias);
  }
}

struct MlpGradientKernelArgs {
  Examples examples;
  const float* hidden;  // slopes of the hidden units
  float* w1;
  std::int64_t batch;
  int features, units;
};

__global__ void __launch_bounds__(kTileThreads, 8) mlp_gradient_kernel(MlpGradientKernelArgs a) {
  __shared__ Slices slices;
  const int thread = static_cast<int>(threadIdx.x);
  const int first_unit = static_cast<int>(blockIdx.x) * kTile, first = static_cast<int>(blockIdx.y) * kTile;
  const int row = thread / (kTile / kOutputs) * kOutputs, column = thread % (kTile / kOutputs) * kOutputs;
  float sums[kOutputs][kOutputs] = {};
  for (std::int64_t i = 0; i < a.batch; i += kSlice) {
    for (int j = thread; j < kSlice * kTile; j += kTileThreads) {
      const int k = j / kTile, at = j % kTile;
      const bool inside = i + k < a.batch;
      slices.a[k][at] = inside && first_unit + at < a.units ? a.hidden[(i + k) * a.units + first_unit + at] : 0.f;
      slices.b[k][at] = inside && first + at < a.features ? value_of(a.examples, i + k, first + at) : 0.f;
    }
    __syncthreads();
    add_slice(slices, row, column, sums);
    __syncthreads();
  }
#pragma unroll
  for (int r = 0; r < kOutputs; ++r) {
#pragma unroll
    for (int c = 0; c < kOutputs; ++c) {
      const int unit = first_unit + row + r, feature = first + column + c;
      if (unit < a.units && feature < a.features)
        a.w1[static_cast<std::int64_t>(unit) * a.features + feature] = sums[r][c];
    }
  }
}

struct MlpStepKernelArgs {
  float* parameters;
  const float* gradients;
  float *m, *v;
  std::int64_t count;
  MlpStepFactors by;
};

/// Every number is read and written once: 28 bytes for each parameter.
__global__ void __launch_bounds__(kStepThreads) mlp_step_kernel(MlpStepKernelArgs a) {
  const std::int64_t i = global_thread_index();
  if (i >= a.count) return;
  float p = a.parameters[i];
  const float g = fmaf(a.by.decay, p, a.gradients[i]);
  const float m = fmaf(a.by.beta1, a.m[i], a.by.fresh1 * g);
  const float v = fmaf(a.by.beta2, a.v[i], a.by.fresh2 * (g * g));
  a.m[i] = m;
  a.v[i] = v;
  a.parameters[i] = a.by.kept * p - a.by.rate * m / (sqrtf(v * a.by.v_scale) + a.by.epsilon);
}

struct MlpStatisticsKernelArgs {
  const float* features;
  std::int64_t stride;
  const std::int32_t* rows;
  std::int64_t count;
  int columns;
  float *mean, *deviation;
};

/// 32 columns a block; its teams take rows in turn, twice.
__global__ void __launch_bounds__(kUnits* kTeams) mlp_statistics_kernel(MlpStatisticsKernelArgs a) {
  __shared__ double scratch[kTeams][kUnits];
  const int column = static_cast<int>(blockIdx.x) * kUnits + lane_index();
  const bool inside = column < a.columns;
  const auto rows = static_cast<double>(a.count);
  double sum = 0, squares = 0;
  for (std::int64_t i = warp_index(); i < a.count; i += kTeams)
    if (inside) sum += static_cast<double>(a.features[a.rows[i] * a.stride + column]);
  const double mean = team_sum(sum, scratch) / rows;
  for (std::int64_t i = warp_index(); i < a.count; i += kTeams) {
    const double off = inside ? static_cast<double>(a.features[a.rows[i] * a.stride + column]) - mean : 0;
    squares += off * off;
  }
  const double deviation = sqrt(team_sum(squares, scratch) / rows);
  if (warp_index() != 0 || !inside) return;
  a.mean[column] = static_cast<float>(mean);
  a.deviation[column] = deviation <= kConstantDeviation * fabs(mean) ? 1.f : static_cast<float>(deviation);
}

namespace {

/// A workspace's parts: hidden units of all examples, and the slopes of their losses.
float* hidden_of(const MlpForwardArgs& args) { return reinterpret_cast<float*>(args.workspace); }
float* slopes_of(const MlpForwardArgs& args) { return hidden_of(args) + std::ssize(args.rows) * args.head.hidden; }

Examples examples_of(const MlpForwardArgs& args, const std::int32_t* rows) {
  return {static_cast<const float*>(args.features.data), args.features.stride, rows, args.head.mean,
          args.head.deviation};
}

unsigned blocks(std::int64_t count, std::int64_t each) { return static_cast<unsigned>(ceil_div(count, each)); }

}  // namespace

void launch_mlp_forward(const MlpForwardArgs& args, const std::int32_t* rows, StreamHandle stream) {
  const std::int64_t batch = std::ssize(args.rows);
  if (batch == 0) return;
  const auto features = static_cast<int>(args.features.columns), units = static_cast<int>(args.head.hidden);
  launch(stream, {dim3(blocks(batch, kTile), blocks(units, kTile)), dim3(kTileThreads), 0}, mlp_hidden_kernel,
         MlpHiddenKernelArgs{examples_of(args, rows), args.head.w1, args.head.b1, hidden_of(args), batch, features,
                             units});
  launch(stream, {dim3(blocks(batch, kRowThreads / kWarpSize)), dim3(kRowThreads), 0}, mlp_out_kernel,
         MlpOutKernelArgs{hidden_of(args), args.head.w2, args.head.b2, args.out, batch, units});
}

void launch_mlp_backward(const MlpBackwardArgs& args, const std::int32_t* rows, double* total, StreamHandle stream) {
  const MlpForwardArgs& forward = args.forward;
  const std::int64_t batch = std::ssize(forward.rows);
  const auto features = static_cast<int>(forward.features.columns), units = static_cast<int>(forward.head.hidden);
  launch(stream, {dim3(1), dim3(kSlopeThreads), 0}, mlp_slopes_kernel,
         MlpSlopesKernelArgs{forward.out, args.labels, args.weights, rows, args.loss, args.share, batch,
                             slopes_of(forward), total, args.b2});
  launch(stream, {dim3(blocks(units, kUnits)), dim3(kUnits * kTeams), 0}, mlp_units_kernel,
         MlpUnitsKernelArgs{hidden_of(forward), slopes_of(forward), forward.head.w2, args.w2, args.b1, batch, units});
  launch(stream, {dim3(blocks(units, kTile), blocks(features, kTile)), dim3(kTileThreads), 0}, mlp_gradient_kernel,
         MlpGradientKernelArgs{examples_of(forward, rows), hidden_of(forward), args.w1, batch, features, units});
}

void launch_mlp_step(const MlpStepArgs& args, StreamHandle stream) {
  if (args.count == 0) return;
  launch(stream, {dim3(blocks(args.count, kStepThreads)), dim3(kStepThreads), 0}, mlp_step_kernel,
         MlpStepKernelArgs{args.parameters, args.gradients, args.m, args.v, args.count, MlpStepFactors(args)});
}

void launch_mlp_statistics(const MlpStatisticsArgs& args, const std::int32_t* rows, StreamHandle stream) {
  const auto columns = static_cast<int>(args.features.columns);
  launch(stream, {dim3(blocks(columns, kUnits)), dim3(kUnits * kTeams), 0}, mlp_statistics_kernel,
         MlpStatisticsKernelArgs{static_cast<const float*>(args.features.data), args.features.stride, rows,
                                 std::ssize(args.rows), columns, args.mean, args.deviation});
}

}  // namespace kvgauge::cuda
