// Statistics of p = softmax(z) of one row of logits for one token, in one pass over the vocabulary (METHOD.md C). With
// m = max z, S = sum exp(z - m):
//   max p = 1/S,  ln p = z - m - ln S,  entropy = ln S - (1/S) sum exp(z - m) (z - m),  mean ln p = (1/n) sum z - m -
//   ln S over n finite z
// One block a row. A thread takes kChunk packs of four neighbours at a time; the exponentials are against its largest
// logit so far, and its sums are scaled (in double) when a chunk has a larger one. Exponentials are f32, the sums of a
// pack of four too, all others double. The threads' parts are brought to the block's maximum and added in a fixed order
// that depends on the vocabulary only. Read: vocab * 4 bytes a row, once; between tiles of a vocabulary the threads'
// parts are written and read (20 KiB a row, beside the 64 KiB of its logits).
#include "cuda/logits_stats.h"

#include <bit>
#include <limits>

#include "core/check.h"
#include "cuda/device.cuh"

namespace kvgauge::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kPack = 4, kChunk = 8;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

/// What a thread knows of its logits.
struct RowPart {
  float maximum = -std::numeric_limits<float>::infinity(), second = maximum;  ///< the two largest, equal on a tie
  double sum_exp = 0, sum_exp_z = 0;  ///< of exp(z - maximum), of exp(z - maximum) (z - maximum)
  double sum_finite = 0;
  int finite = 0;
  bool unusable = false;  ///< there is a NaN or +infinity
};

struct LogitsStatsKernelArgs {
  const float* logits = nullptr;
  std::int64_t stride = 0;
  int columns = 0, first_token = 0, vocab = 0;  ///< of this tile; of this tile; of all
  RowPart* parts = nullptr;                     ///< [count][threads], of the tiles before; nullptr: whole rows
  LogitsStatsTables tables;
};

namespace {

/// Scales the sums to a new maximum: exp(z - new) = exp(z - old) f with f = exp(old - new), z - new = (z - old) + (old
/// - new).
__device__ __forceinline__ void move_to(RowPart& part, float maximum) {
  if (part.maximum > -kInfinity) {
    const double shift = static_cast<double>(part.maximum) - static_cast<double>(maximum), factor = exp(shift);
    part.sum_exp_z = factor * (part.sum_exp_z + shift * part.sum_exp);
    part.sum_exp *= factor;
  }
  part.maximum = maximum;
}

__device__ __forceinline__ void absorb(RowPart& part, const Pack<float, kPack> (&chunk)[kChunk]) {
  float maximum = part.maximum;
#pragma unroll
  for (const auto& pack : chunk) {
#pragma unroll
    for (const float z : pack.values) {
      part.unusable = part.unusable || !(z < kInfinity);
      part.second = fmaxf(part.second, fminf(z, maximum));
      maximum = fmaxf(maximum, z);
    }
  }
  if (maximum > part.maximum) move_to(part, maximum);
  if (!(maximum > -kInfinity)) return;
#pragma unroll
  for (const auto& pack : chunk) {
    float e[kPack], ez[kPack], finite[kPack];
#pragma unroll
    for (int i = 0; i < kPack; ++i) {
      const float z = pack.values[i], shifted = z - maximum;
      e[i] = expf(shifted);
      ez[i] = e[i] * fmaxf(shifted, -200.f);  // exp is 0 there: an impossible token adds 0, not 0 * infinity
      finite[i] = z > -kInfinity ? z : 0.f;
      part.finite += z > -kInfinity ? 1 : 0;
    }
    part.sum_exp += static_cast<double>((e[0] + e[1]) + (e[2] + e[3]));
    part.sum_exp_z += static_cast<double>((ez[0] + ez[1]) + (ez[2] + ez[3]));
    part.sum_finite += (static_cast<double>(finite[0]) + static_cast<double>(finite[1])) +
                       (static_cast<double>(finite[2]) + static_cast<double>(finite[3]));
  }
}

/// The two largest of two disjoint sets.
__device__ __forceinline__ void merge_extremes(float& maximum, float& second, float other_maximum, float other_second) {
  second = fmaxf(fminf(maximum, other_maximum), fmaxf(second, other_second));
  maximum = fmaxf(maximum, other_maximum);
}

}  // namespace

__global__ void __launch_bounds__(kThreads, 1) logits_stats_kernel(LogitsStatsKernelArgs a) {
  __shared__ float warp_extremes[kThreads / kWarpSize][2];
  __shared__ double double_scratch[kWarpSize];
  __shared__ int int_scratch[kWarpSize];
  const int item = static_cast<int>(blockIdx.x);
  const float* const row = a.logits + a.tables.rows[item] * a.stride;
  const bool aligned = reinterpret_cast<std::uintptr_t>(row) % sizeof(Pack<float, kPack>) == 0;

  RowPart part;
  RowPart* const kept =
      a.parts == nullptr ? nullptr : a.parts + static_cast<std::int64_t>(item) * kThreads + threadIdx.x;
  if (a.first_token > 0) part = *kept;
  constexpr int kStep = kThreads * kPack;
  static_assert(kVocabTile % (kStep * kChunk) == 0, "a tile is whole chunks: its sums have the order of whole rows");
  for (int first = static_cast<int>(threadIdx.x) * kPack; first < a.columns; first += kStep * kChunk) {
    Pack<float, kPack> chunk[kChunk];
#pragma unroll
    for (int c = 0; c < kChunk; ++c) {
      const int at = first + c * kStep;
      const bool whole = aligned && at + kPack <= a.columns;
      chunk[c] = std::bit_cast<Pack<float, kPack>>(load_constant_16(row + at, whole));
      if (!whole) {
#pragma unroll
        for (int i = 0; i < kPack; ++i) chunk[c].values[i] = at + i < a.columns ? row[at + i] : -kInfinity;
      }
    }
    absorb(part, chunk);
  }

  const int draw = a.tables.draws == nullptr ? -1 : a.tables.draws[item];
  const int token = draw >= 0 ? a.tables.drawn[draw] : a.tables.chosen[item];
  if (threadIdx.x == 0 && token >= a.first_token && token < a.first_token + a.columns)
    a.tables.out[item].chosen_logprob =
        static_cast<double>(row[token - a.first_token]);  // its logit, for the last tile
  if (a.first_token + a.columns < a.vocab) {
    *kept = part;
    return;
  }

  float maximum = part.maximum, second = part.second;
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2)
    merge_extremes(maximum, second, __shfl_xor_sync(kAllLanes, maximum, offset),
                   __shfl_xor_sync(kAllLanes, second, offset));
  if (lane_index() == 0) {
    warp_extremes[warp_index()][0] = maximum;
    warp_extremes[warp_index()][1] = second;
  }
  __syncthreads();
  maximum = second = -kInfinity;
  for (int warp = 0; warp < kThreads / kWarpSize; ++warp)
    merge_extremes(maximum, second, warp_extremes[warp][0], warp_extremes[warp][1]);
  move_to(part, maximum);

  const double sum_exp = block_sum(part.sum_exp, double_scratch);
  const double sum_exp_z = block_sum(part.sum_exp_z, double_scratch);
  const double sum_finite = block_sum(part.sum_finite, double_scratch);
  const int finite = block_sum(part.finite, int_scratch);
  const int unusable = block_sum(part.unusable ? 1 : 0, int_scratch);
  if (threadIdx.x != 0) return;

  TokenLogitStats stats = {kUndefined, kUndefined, kUndefined, kUndefined, kUndefined, kUndefined};
  if (unusable == 0 && finite > 0 && token >= 0) {
    const double log_sum = log(sum_exp), most = maximum;
    stats.max_prob = 1 / sum_exp;
    stats.max_logprob = -log_sum;
    stats.second_prob = exp(static_cast<double>(second) - most) / sum_exp;
    stats.entropy = log_sum - sum_exp_z / sum_exp;
    stats.chosen_logprob = a.tables.out[item].chosen_logprob - most - log_sum;
    stats.mean_logprob = sum_finite / finite - most - log_sum;
  }
  a.tables.out[item] = stats;
}

std::size_t logits_stats_part_bytes(std::int64_t count) {
  return static_cast<std::size_t>(count) * kThreads * sizeof(RowPart);
}

void launch_logits_stats(const LogitsStatsArgs& args, const LogitsStatsTables& tables, StreamHandle stream) {
  if (tables.count == 0) return;
  const std::int64_t vocab = args.all_tokens();
  KVGAUGE_CHECK(vocab < (std::int64_t{1} << 30), "a vocabulary of ", vocab, " tokens");
  const LogitsStatsKernelArgs a = {.logits = static_cast<const float*>(args.logits.data),
                                   .stride = args.logits.stride,
                                   .columns = static_cast<int>(args.logits.columns),
                                   .first_token = static_cast<int>(args.first_token),
                                   .vocab = static_cast<int>(vocab),
                                   .parts = reinterpret_cast<RowPart*>(tables.parts),
                                   .tables = tables};
  launch(stream, LaunchShape{dim3(static_cast<unsigned>(tables.count)), dim3(kThreads), 0}, logits_stats_kernel, a);
}

}  // namespace kvgauge::cuda
