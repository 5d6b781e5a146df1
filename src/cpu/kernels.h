#pragma once
// The inner loops of the CPU back end: plain functions over pointers, compiled once per instruction set (kernels/) and
// reached through one table. All are single-threaded, check nothing and allocate nothing.
#include <cstdint>
#include <limits>

namespace kvgauge {
enum class CpuIsa : std::uint8_t;
}

namespace kvgauge::cpu {

inline constexpr int kPanelColumns = 64;  ///< output features in one panel of a packed weight
inline constexpr int kSplitTokens = 256;  ///< attention splits lie at multiples of this position
inline constexpr int kTileTokens = 64;    ///< tokens that attention converts at a time; divides kSplitTokens
inline constexpr int kBlockQueries = 48;  ///< query vectors of one attention block
inline constexpr int kMaxHeadDim = 512;

/// Rows of a product against one panel of a packed weight: out[r, c] = sum_k x[r, k] * panel[c, k], columns [first,
/// last). Each output is one sequential sum over k, whatever the number of rows. Panel layout: f32 [k][64]; bf16
/// [k/2][64][2].
struct PanelTask {
  const void* x = nullptr;
  std::int64_t x_stride = 0, rows = 0, depth = 0;
  const void* panel = nullptr;
  const void* coming = nullptr;  ///< the panel that will be multiplied next, if any: to be fetched meanwhile
  int first = 0, last = 0;       ///< columns inside the panel; first is a multiple of 32
  float* out = nullptr;          ///< of row 0, panel column 0
  std::int64_t out_stride = 0;
};

/// The same against a panel of a weight in codes (core/block_codes.h), with the rows of x in codes as well: group by
/// group of `group` neighbours along k, codes [group/4][64][4], or with two codes a byte [group/8][64][4] (the low half
/// is of k, the high one of k + group/2); then f16 scales [64], then f16 shifts [64] where shifted.
struct CodedTask {
  const std::int8_t* x = nullptr;         ///< [rows][depth], from code_row with the same group
  const float* x_scales = nullptr;        ///< [rows][depth / group]
  const std::int32_t* x_sums = nullptr;   ///< [rows][depth / group], of codes
  std::int64_t rows = 0, depth = 0;       ///< depth is a multiple of the group
  const void* panel = nullptr;
  const void* coming = nullptr;           ///< as above
  int first = 0, last = 0;                ///< as above
  float* out = nullptr;
  std::int64_t out_stride = 0;
  int group = 32;                         ///< 32, or 16 with whole bytes and no shifts
  int offset = 0;                         ///< 0 where shifted
  bool nibbles = false, shifted = false;
};
constexpr std::int64_t coded_group_bytes(int group, bool nibbles, bool shifted) {
  return std::int64_t{kPanelColumns} * ((nibbles ? group / 2 : group) + (shifted ? 4 : 2));
}

/// One block of query vectors of one KV head against one split of the context. partial_* hold the softmax state of the
/// split.
struct SplitTask {
  const float* q = nullptr;  ///< [queries][head_dim rounded up to kLanes], zero padded
  int queries = 0, head_dim = 0;
  const std::int32_t* limits = nullptr;  ///< [queries] tokens of this split that a query sees; ascending; may be 0
  int tokens = 0;                        ///< the largest limit
  float scale = 1;
  bool bf16 = false;
  const void* const* k_rows = nullptr;  ///< [tokens]
  const void* const* v_rows = nullptr;
  float* scratch = nullptr;   ///< split_scratch_floats(head_dim)
  float* maximum = nullptr;   ///< [queries]
  float* sum = nullptr;       ///< [queries] of exp(score - maximum)
  float* weighted = nullptr;  ///< [queries][padded head_dim]: of exp(score - maximum) * v
};
constexpr int padded_head_dim(int head_dim) { return (head_dim + 15) / 16 * 16; }
constexpr std::int64_t split_scratch_floats(int head_dim) {
  return std::int64_t{kTileTokens} * padded_head_dim(head_dim) + std::int64_t{kBlockQueries} * kSplitTokens;
}

struct RowStats {
  float maximum = 0, second = 0;
  double sum_exp = 0;     ///< of exp(z - maximum)
  double sum_exp_z = 0;   ///< of exp(z - maximum) * (z - maximum)
  double sum_finite = 0;  ///< of the finite z
  std::int64_t finite = 0;
  bool broken = false;  ///< a NaN or +infinity
  bool usable() const { return !broken && maximum > -std::numeric_limits<float>::infinity(); }
};

/// One step of Adam on a run of parameters (MlpStepArgs), with what follows from the betas and the step's number.
struct AdamTask {
  float* parameters = nullptr;
  const float* gradients = nullptr;
  float *m = nullptr, *v = nullptr;
  std::int64_t count = 0;
  float beta1 = 0, beta2 = 0;
  float fresh1 = 0, fresh2 = 0;  ///< 1 - beta, rounded once
  float rate = 0;     ///< learning rate / (1 - beta1^step)
  float v_scale = 0;  ///< 1 / (1 - beta2^step)
  float epsilon = 0;
  float decay = 0, kept = 1;  ///< what is added to the gradient of each parameter; its share that is kept
};

struct HiddenSums {
  double of_weight = 0, of_bias = 0;
};

struct TrajectoryDistances {
  double difference_squared = 0, a_squared = 0, b_squared = 0;
};

struct Kernels {
  const char* name = "";
  void (*rms_norm_row)(float* residual, const float* x, const float* weight, float eps, void* out, bool out_bf16,
                       std::int64_t columns);
  void (*swiglu_row)(const float* gate_up, void* out, bool out_bf16, std::int64_t columns);
  void (*widen_row)(const std::uint16_t* bf16, float* out, std::int64_t columns);
  void (*narrow_row)(const float* x, std::uint16_t* bf16, std::int64_t columns);

  void (*panel_f32)(const PanelTask& task);
  void (*panel_bf16)(const PanelTask& task);
  void (*panel_coded)(const CodedTask& task);
  /// codes[i] = round(x[i] / scale) with scale = max |x| / 127 in every group of `group` (16 or 32); sums of codes. A
  /// scale is NaN where a number of its group is not finite. `count` is a multiple of the group.
  void (*code_row)(const void* x, bool bf16, std::int64_t count, int group, std::int8_t* codes, float* scales,
                   std::int32_t* sums);

  void (*attend_split)(const SplitTask& task);
  /// state (maximum, sum, weighted) of `queries` vectors absorbs a later split's; queries that saw nothing there are
  /// left alone
  void (*merge_split)(float* maximum, float* sum, float* weighted, const float* split_maximum, const float* split_sum,
                      const float* split_weighted, const std::int32_t* limits, int queries, int head_dim);

  void (*row_extremes)(const float* z, std::int64_t count, RowStats& stats);  ///< maximum, second, usable
  void (*row_stats)(const float* z, std::int64_t count, RowStats& stats);     ///< everything
  /// weights = exp((z - maximum) * scale); returns their sum
  double (*row_weights)(const float* z, std::int64_t count, float scale, float maximum, float* weights);
  /// Appends to ids the indices of weights in [from, below), ascending; returns how many.
  std::int64_t (*indices_between)(const float* weights, std::int64_t count, float from, float below, std::int32_t* ids);

  /// sums[i] += values of row i, `count` elements each: a layer's part of e_t
  void (*add_row_f32)(const float* row, float* sums, std::int64_t count);
  void (*add_row_bf16)(const std::uint16_t* row, float* sums, std::int64_t count);
  void (*add_row_f16)(const std::uint16_t* row, float* sums, std::int64_t count);
  void (*scale_row)(float* values, float factor, std::int64_t count);
  TrajectoryDistances (*distances)(const float* a, const float* b, std::int64_t count);

  // Of the regressor's training. Counts are multiples of 16, but for adam_row.
  void (*rectify_row)(float* a, float bias, std::int64_t count);  ///< a = max(a + bias, 0); NaN stays
  /// out[i] = bias + sum over r of weights[r] a[r * stride + i], in double, r ascending
  void (*weigh_rows)(const float* a, std::int64_t stride, std::int64_t rows, const float* weights, float bias,
                     float* out, std::int64_t count);
  /// The sum of a[i] slopes[i]; then a[i] becomes slopes[i] * weight where it is positive, 0 elsewhere, and is summed.
  HiddenSums (*backward_row)(float* a, const float* slopes, float weight, std::int64_t count);
  void (*adam_row)(const AdamTask& task);
};

/// The table of an instruction set; nullptr where this build or processor lacks it.
const Kernels* kernels(CpuIsa isa);

}  // namespace kvgauge::cpu
