// Running sums of a layer's hidden states (ops/layer_states.h):  sums[c] += states[r, c], rows one after another, in
// double. A thread has four columns of one item. Read: rows * columns * 4 bytes and the sums, which are written back:
// 16 * columns bytes an item.
//
// And the steps between the means of neighbouring layers (METHOD.md B), one block a pair of states, which it reads
// once.
#include "cuda/layer_states.h"

#include <bit>
#include <iterator>

#include "core/check.h"
#include "cuda/device.cuh"
#include "cuda/step_between.cuh"

namespace kvgauge::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kPack = 4, kDepth = 8;  // columns of a thread; rows that it has asked for at a time
constexpr int kStepThreads = 256;

}  // namespace

struct LayerStatesKernelArgs {
  const float* states = nullptr;
  std::int64_t stride = 0, columns = 0, state = 0;
  const LayerStatesItem* items = nullptr;
};

__global__ void __launch_bounds__(kThreads, 4) layer_states_kernel(LayerStatesKernelArgs a) {
  __shared__ std::uint64_t item_words[sizeof(LayerStatesItem) / sizeof(std::uint64_t)];
  if (threadIdx.x < std::size(item_words))
    item_words[threadIdx.x] = reinterpret_cast<const std::uint64_t*>(a.items + blockIdx.y)[threadIdx.x];
  __syncthreads();
  const LayerStatesItem item = *reinterpret_cast<const LayerStatesItem*>(item_words);
  const std::int64_t column = global_thread_index() * kPack;
  if (column >= a.columns || item.rows == 0) return;  // no barrier follows
  const float* const states = a.states + item.first_row * a.stride + column;
  double* const sums = item.sums + a.state * a.columns + column;
  const bool whole = column + kPack <= a.columns && a.stride % kPack == 0 &&
                     (reinterpret_cast<std::uintptr_t>(states) | reinterpret_cast<std::uintptr_t>(sums)) % 16 == 0;
  if (whole) {
    Pack<double, 2> low = load_pack<double, 2>(sums), high = load_pack<double, 2>(sums + 2);
    for (std::int64_t first = 0; first < item.rows; first += kDepth) {
      Pack<float, kPack> rows[kDepth];
#pragma unroll
      for (int i = 0; i < kDepth; ++i)
        rows[i] =
            std::bit_cast<Pack<float, kPack>>(load_constant_16(states + (first + i) * a.stride, first + i < item.rows));
#pragma unroll
      for (int i = 0; i < kDepth; ++i) {
        if (first + i < item.rows) {
          low.values[0] += static_cast<double>(rows[i].values[0]);
          low.values[1] += static_cast<double>(rows[i].values[1]);
          high.values[0] += static_cast<double>(rows[i].values[2]);
          high.values[1] += static_cast<double>(rows[i].values[3]);
        }
      }
    }
    store_pack(sums, low);
    store_pack(sums + 2, high);
  } else {
    for (int j = 0; j < kPack && column + j < a.columns; ++j) {
      double sum = sums[j];
      for (std::int64_t r = 0; r < item.rows; ++r) sum += static_cast<double>(states[r * a.stride + j]);
      sums[j] = sum;
    }
  }
}

struct LayerStepsKernelArgs {
  LayerSums sums;
  double* out = nullptr;
};

// One state of the sums, `more` added.
struct SummedState {
  const double* sums;
  const double* more;
  __device__ SummedState(const LayerSums& all, std::int64_t state)
      : sums(all.sums + state * all.columns), more(all.more == nullptr ? nullptr : all.more + state * all.columns) {}
  __device__ double operator[](std::int64_t i) const { return more == nullptr ? sums[i] : sums[i] + more[i]; }
};

__global__ void __launch_bounds__(kStepThreads, 2) layer_steps_kernel(LayerStepsKernelArgs a) {
  __shared__ double scratch[kWarpSize];
  const std::int64_t last = a.sums.states - 1, pair = blockIdx.x;
  const SummedState from(a.sums, pair == last ? 0 : pair), to(a.sums, pair == last ? last : pair + 1);
  const double share = 1 / static_cast<double>(a.sums.positions);
  store_step_between(from, to, a.sums.columns, share, scratch, a.out + 2 * pair);
}

void launch_layer_states(const LayerStatesArgs& args, const LayerStatesItem* items, StreamHandle stream) {
  if (args.items.empty()) return;
  const LayerStatesKernelArgs a = {static_cast<const float*>(args.states.data), args.states.stride, args.states.columns,
                                   args.state, items};
  launch(stream,
         LaunchShape{dim3(static_cast<unsigned>(ceil_div(args.states.columns, kThreads * kPack)),
                          static_cast<unsigned>(args.items.size())),
                     dim3(kThreads), 0},
         layer_states_kernel, a);
}

void launch_layer_steps(const LayerSums& sums, double* out, StreamHandle stream) {
  launch(stream, LaunchShape{dim3(static_cast<unsigned>(sums.states)), dim3(kStepThreads), 0}, layer_steps_kernel,
         LayerStepsKernelArgs{sums, out});
}

}  // namespace kvgauge::cuda
