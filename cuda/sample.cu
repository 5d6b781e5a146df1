// One token from one row of logits (ops/sample.h), one block a request, without scratch in global memory.
//
// Ranking. A token's key is its logit as an ordered 32-bit number, then its id inverted: larger keys rank first and no
// two are equal. Weights w = exp((z - max z) / temperature) are in fixed point (2^44 for the most likely token), so
// sums over any set of tokens are exact integers and their order does not matter. A token whose weight is 0 in fixed
// point (below 2^-44 of the largest) is left out.
//
// Every filter keeps a prefix of the ranking; so does "the tokens up to the drawn one". Each is the smallest prefix
// with a number or a weight of at least some amount, and is found alike: a pass over the row counts and weighs the
// tokens at or above 7 keys; the interval between two keys that holds the prefix's end is cut again until it has at
// most kWindow tokens; these are gathered, sorted and summed in shared memory. The first pass looks at keys near the
// top, where most prefixes end, and a window is kept for the next search: usually a request reads its row three times
// (largest, first pass, window), from the second time on out of the L2 cache. Read: 3 * vocab * 4 bytes a request, and
// as much again per further pass.
#include "cuda/sample.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "core/check.h"
#include "core/rng.h"
#include "cuda/device.cuh"

namespace kvgauge::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarpSize;
constexpr int kPack = 4, kPacksInFlight = 8;
constexpr int kCuts = 7;       ///< keys that a pass looks at
constexpr int kWindow = 1024;  ///< tokens sorted at a time
constexpr int kWindowShare = kWindow / kThreads;
constexpr float kOne = 0x1p44f;                              ///< weight of the most likely token
constexpr std::int64_t kMostTokens = std::int64_t{1} << 19;  ///< their weights' sum fits in 63 bits
constexpr float kInfinity = std::numeric_limits<float>::infinity();

using Key = std::uint64_t;
constexpr Key kAboveAll = ~Key{0};

}  // namespace

struct SampleKernelArgs {
  const float* logits = nullptr;
  std::int64_t stride = 0;
  int vocab = 0;
  const SampleRequest* requests = nullptr;
  std::int32_t* out = nullptr;
};

namespace {

/// The tokens with keys of at least `key`: how many have a weight, and the sum of it.
struct Cut {
  Key key;
  std::uint64_t weight;
  std::uint32_t count;
};

/// The block's shared memory.
struct Shared {
  Key window_keys[kWindow];               ///< descending
  std::uint64_t window_weights[kWindow];  ///< cumulated from the top of the ranking, this token included
  Cut first_cuts[kCuts], cuts[kCuts];
  Key pivots[kCuts];
  std::uint64_t warp_weights[kWarps][kCuts];
  std::uint32_t warp_counts[kWarps][kCuts];
  Key warp_keys[kWarps];
  int warp_unusable[kWarps];
  int gathered;
  Cut found;
};

__device__ __forceinline__ Key first_key_of(float z) {
  const auto bits = std::bit_cast<std::uint32_t>(z + 0.f);  // -0 becomes 0: the two are equal
  return static_cast<Key>(bits ^ (bits >> 31 != 0 ? 0xffffffffu : 0x80000000u)) << 32;
}
__device__ __forceinline__ Key key_of(float z, int id) {
  return first_key_of(z) | (0xffffffffu - static_cast<std::uint32_t>(id));
}
__device__ __forceinline__ int id_of(Key key) {
  return static_cast<int>(0xffffffffu - static_cast<std::uint32_t>(key));
}
__device__ __forceinline__ float logit_of(Key key) {
  const auto ordered = static_cast<std::uint32_t>(key >> 32);
  return std::bit_cast<float>(ordered ^ (ordered >> 31 != 0 ? 0x80000000u : 0xffffffffu));
}

struct Row {
  const float* z;
  int vocab;
  bool aligned;
  float maximum, scale;

  __device__ __forceinline__ std::uint64_t weight(float logit) const {
    const float shifted = logit - maximum;
    return static_cast<std::uint64_t>(kOne * (shifted < 0 ? expf(shifted * scale) : 1.f));
  }
};

/// use(logit, id) for this thread's share of the row.
template <class Use>
__device__ __forceinline__ void for_each_logit(const Row& row, const Use& use) {
  constexpr int kStep = kThreads * kPack;
  for (int first = static_cast<int>(threadIdx.x) * kPack; first < row.vocab; first += kStep * kPacksInFlight) {
    if (row.aligned && first + (kPacksInFlight - 1) * kStep + kPack <= row.vocab) {
      Pack<float, kPack> packs[kPacksInFlight];
#pragma unroll
      for (int p = 0; p < kPacksInFlight; ++p) packs[p] = load_pack<float, kPack>(row.z + first + p * kStep);
#pragma unroll
      for (int p = 0; p < kPacksInFlight; ++p) {
#pragma unroll
        for (int i = 0; i < kPack; ++i) use(packs[p].values[i], first + p * kStep + i);
      }
    } else {
#pragma unroll 1
      for (int p = 0; p < kPacksInFlight; ++p) {
#pragma unroll 1
        for (int i = 0; i < kPack; ++i) {
          const int id = first + p * kStep + i;
          if (id < row.vocab) use(row.z[id], id);
        }
      }
    }
  }
}

/// The first token of the ranking; 0 if the row has a NaN or +infinity, or nothing finite. Begins and ends with a
/// barrier.
__device__ Key first_of_ranking(const Row& row, Shared& s) {
  Key best = 0;
  int unusable = 0;
  for_each_logit(row, [&](float z, int id) {
    unusable |= z < kInfinity ? 0 : 1;
    if (z > -kInfinity) best = max(best, key_of(z, id));
  });
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) {
    best = max(best, __shfl_xor_sync(kAllLanes, best, offset));
    unusable |= __shfl_xor_sync(kAllLanes, unusable, offset);
  }
  __syncthreads();
  if (lane_index() == 0) {
    s.warp_keys[warp_index()] = best;
    s.warp_unusable[warp_index()] = unusable;
  }
  __syncthreads();
  for (int warp = 0; warp < kWarps; ++warp) {
    best = max(best, s.warp_keys[warp]);
    unusable |= s.warp_unusable[warp];
  }
  __syncthreads();
  return unusable != 0 ? 0 : best;
}

/// Fills s.cuts for the keys in s.pivots, which this thread block has just written. Begins and ends with a barrier.
__device__ __forceinline__ void weigh(const Row& row, Shared& s) {
  __syncthreads();
  Key pivots[kCuts];
  std::uint64_t weights[kCuts] = {};
  std::uint32_t counts[kCuts] = {};
#pragma unroll
  for (int c = 0; c < kCuts; ++c) pivots[c] = s.pivots[c];
  for_each_logit(row, [&](float z, int id) {
    const std::uint64_t weight = row.weight(z);
    const Key key = key_of(z, id);
    const std::uint32_t one = weight != 0 ? 1 : 0;
#pragma unroll
    for (int c = 0; c < kCuts; ++c) {
      weights[c] += key >= pivots[c] ? weight : 0;
      counts[c] += key >= pivots[c] ? one : 0;
    }
  });
#pragma unroll
  for (int c = 0; c < kCuts; ++c) {
    weights[c] = warp_sum(weights[c]);
    counts[c] = warp_sum(counts[c]);
    if (lane_index() == 0) {
      s.warp_weights[warp_index()][c] = weights[c];
      s.warp_counts[warp_index()][c] = counts[c];
    }
  }
  __syncthreads();
  if (threadIdx.x < kCuts) {
    const int c = static_cast<int>(threadIdx.x);
    Cut cut = {s.pivots[c], 0, 0};
    for (int warp = 0; warp < kWarps; ++warp) {
      cut.weight += s.warp_weights[warp][c];
      cut.count += s.warp_counts[warp][c];
    }
    s.cuts[c] = cut;
  }
  __syncthreads();
}

/// Descending. `size` is a power of 2. Begins and ends with a barrier.
__device__ __forceinline__ void sort_window(Shared& s, int size) {
  __syncthreads();
  for (int run = 2; run <= size; run *= 2) {
    for (int apart = run / 2; apart > 0; apart /= 2) {
      for (int pair = static_cast<int>(threadIdx.x); pair < size / 2; pair += kThreads) {
        const int low = pair / apart * 2 * apart + pair % apart, high = low + apart;
        const Key a = s.window_keys[low], b = s.window_keys[high];
        if ((a < b) == ((low & run) == 0)) {
          s.window_keys[low] = b;
          s.window_keys[high] = a;
        }
      }
      __syncthreads();
    }
  }
}

/// The tokens between two cuts, sorted and summed. At most kWindow have a weight. Begins and ends with a barrier.
__device__ __forceinline__ void gather_window(const Row& row, const Cut& high, const Cut& low, Shared& s) {
  const int thread = static_cast<int>(threadIdx.x);
  __syncthreads();
  if (thread == 0) s.gathered = 0;
  for (int i = thread; i < kWindow; i += kThreads) s.window_keys[i] = 0;
  __syncthreads();
  for_each_logit(row, [&](float z, int id) {
    const Key key = key_of(z, id);
    if (key >= low.key && key < high.key && row.weight(z) != 0) s.window_keys[atomicAdd(&s.gathered, 1)] = key;
  });
  __syncthreads();
  int size = 2;
  while (size < s.gathered) size *= 2;
  sort_window(s, size);

  std::uint64_t share[kWindowShare], sum = 0;
#pragma unroll
  for (int i = 0; i < kWindowShare; ++i) {
    const Key key = s.window_keys[thread * kWindowShare + i];
    share[i] = sum += key != 0 ? row.weight(logit_of(key)) : 0;
  }
  std::uint64_t before = sum;  // of this warp's threads up to this one
  for (int offset = 1; offset < kWarpSize; offset *= 2) {
    const std::uint64_t other = __shfl_up_sync(kAllLanes, before, static_cast<unsigned>(offset));
    if (lane_index() >= offset) before += other;
  }
  if (lane_index() == kWarpSize - 1) s.warp_weights[warp_index()][0] = before;
  before += high.weight - sum;
  __syncthreads();
  for (int warp = 0; warp < warp_index(); ++warp) before += s.warp_weights[warp][0];
#pragma unroll
  for (int i = 0; i < kWindowShare; ++i) s.window_weights[thread * kWindowShare + i] = before + share[i];
  __syncthreads();
}

/// What a prefix of the ranking must have: a number of tokens, or a weight.
struct Goal {
  bool by_count;
  std::uint64_t amount;
  __device__ __forceinline__ std::uint64_t of(const Cut& cut) const { return by_count ? cut.count : cut.weight; }
};

/// Brings the interval's ends together around the end of the goal's prefix: `high` falls short of it, `low` does not.
__device__ __forceinline__ void narrow(const Goal& goal, const Cut (&cuts)[kCuts], Cut& high, Cut& low) {
  for (int c = 0; c < kCuts; ++c) {
    if (goal.of(cuts[c]) < goal.amount) {
      if (cuts[c].key < high.key) high = cuts[c];
    } else if (cuts[c].key > low.key) {
      low = cuts[c];
    }
  }
}

/// What the block's window covers.
struct Window {
  Cut high, low;
};

/// The smallest prefix that reaches the goal; `all` reaches it. Begins and ends with a barrier.
__device__ __forceinline__ Cut find_prefix(const Row& row, const Goal& goal, const Cut& all, Window& window,
                                           Shared& s) {
  const Cut top = {kAboveAll, 0, 0};
  if (window.low.count == 0 || goal.of(window.high) >= goal.amount || goal.of(window.low) < goal.amount) {
    Cut high = top, low = all;
    narrow(goal, s.first_cuts, high, low);
    while (low.count - high.count > kWindow) {
      __syncthreads();
      if (threadIdx.x < kCuts) s.pivots[threadIdx.x] = low.key + (high.key - low.key) / (kCuts + 1) * (threadIdx.x + 1);
      weigh(row, s);
      narrow(goal, s.cuts, high, low);
    }
    if (low.count <= kWindow) high = top;  // of more use to the next search
    gather_window(row, high, low, s);
    window = {high, low};
  }
  const int tokens = static_cast<int>(window.low.count - window.high.count);
  for (int i = static_cast<int>(threadIdx.x); i < tokens; i += kThreads) {
    const Cut now = {s.window_keys[i], s.window_weights[i], window.high.count + static_cast<std::uint32_t>(i) + 1};
    const Cut before = i == 0 ? window.high : Cut{s.window_keys[i - 1], s.window_weights[i - 1], now.count - 1};
    if (goal.of(now) >= goal.amount && goal.of(before) < goal.amount) s.found = now;
  }
  __syncthreads();
  const Cut found = s.found;
  __syncthreads();
  return found;
}

/// share of a weight, rounded up or down to a whole number in [1, weight].
__device__ __forceinline__ std::uint64_t at_least_one(double amount, std::uint64_t weight) {
  const auto whole = static_cast<std::uint64_t>(amount);
  return whole < 1 ? 1 : whole < weight ? whole : weight;
}

__device__ __forceinline__ Cut shorter(const Cut& a, const Cut& b) { return b.count < a.count ? b : a; }

}  // namespace

__global__ void __launch_bounds__(kThreads, 2) sample_kernel(SampleKernelArgs a) {
  Shared& s = *shared<Shared>();
  const SampleRequest request = a.requests[blockIdx.x];
  Row row = {a.logits + request.row * a.stride, a.vocab, false, 0.f, 0.f};
  row.aligned = reinterpret_cast<std::uintptr_t>(row.z) % sizeof(Pack<float, kPack>) == 0;
  const Key first = first_of_ranking(row, s);
  if (first == 0 || !(request.temperature > 0)) {  // the whole block leaves
    if (threadIdx.x == 0) a.out[blockIdx.x] = first == 0 ? -1 : id_of(first);
    return;
  }
  row.maximum = logit_of(first);
  row.scale = 1.f / request.temperature;

  // The first pass: all tokens, those that min_p keeps, and some prefixes of small weight at their end.
  constexpr int kAll = 0, kMinP = 1;
  if (threadIdx.x < kCuts) {
    const int c = static_cast<int>(threadIdx.x);
    const float depth = c == kMinP ? -logf(request.min_p) : static_cast<float>(c * (c - 1) / 2);  // 1, 3, 6, 10, 15
    s.pivots[c] = c == kAll || !(depth < 64.f) ? 0 : first_key_of(row.maximum - fmaxf(depth, 0.f) / row.scale);
  }
  weigh(row, s);
  if (threadIdx.x < kCuts) s.first_cuts[threadIdx.x] = s.cuts[threadIdx.x];
  __syncthreads();
  const Cut all = s.first_cuts[kAll];

  Window window = {};
  Cut kept = all, drawn = {};
#pragma unroll 1
  for (int stage = 0; stage < 3; ++stage) {  // top_k, top_p, the draw
    Goal goal = {stage == 0, 0};
    if (stage == 0) {
      goal.amount = request.top_k > 0 ? static_cast<std::uint64_t>(request.top_k) : kAboveAll;
    } else if (stage == 1) {
      goal.amount =
          request.top_p < 1
              ? at_least_one(ceil(static_cast<double>(request.top_p) * static_cast<double>(kept.weight)), kept.weight)
              : kAboveAll;
    } else {
      kept = shorter(kept, s.first_cuts[kMinP]);
      goal.amount = at_least_one(
          floor(uniform(request.seed, request.stream, request.draw) * static_cast<double>(kept.weight)) + 1,
          kept.weight);
    }
    if (goal.of(kept) <= goal.amount && stage < 2) continue;
    drawn = find_prefix(row, goal, all, window, s);
    if (stage < 2) kept = drawn;
  }
  if (threadIdx.x == 0) a.out[blockIdx.x] = id_of(drawn.key);
}

void launch_sample(const SampleArgs& args, const SampleRequest* requests, std::int32_t* out, StreamHandle stream) {
  if (args.requests.empty()) return;
  KVGAUGE_CHECK(args.logits.dtype == DType::kF32 && args.logits.columns > 0 && args.logits.columns <= kMostTokens,
                "logits are ", name(args.logits.dtype), " of ", args.logits.columns, " columns");
  const SampleKernelArgs a = {static_cast<const float*>(args.logits.data), args.logits.stride,
                              static_cast<int>(args.logits.columns), requests, out};
  launch(stream,
         LaunchShape{dim3(static_cast<unsigned>(args.requests.size())), dim3(kThreads),
                     static_cast<unsigned>(sizeof(Shared))},
         sample_kernel, a);
}

}  // namespace kvgauge::cuda
