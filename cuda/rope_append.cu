// Per new token: q, k, v = qkv row (+ bias); q, k divided by their root mean square per head (* weight) where a norm is
// given; q, k rotated
//   (x_i, x_{i+d/2}) -> (x_i cos - x_{i+d/2} sin,  x_{i+d/2} cos + x_i sin),  angle = position * inverse_frequency[i]
//   in double, i < d/2;
// k, v rounded to the cache's type and written to their page slots, q to q_out.
// One block per row. Its cosines and sines are formed once, in shared memory; then a group of lanes (a power of two, at
// least d/8) takes a head at a time, four pairs a lane, so that a norm is a sum within the group. The row is read once
// and written once: rows * (heads + 2 kv_heads) * d * 4 bytes in, rows * d * (4 heads + 2 kv_heads * page element) out.
#include "cuda/rope_append.h"

#include <algorithm>
#include <bit>

#include "core/check.h"
#include "cuda/rotation.cuh"
#include "cuda/row_access.cuh"

namespace kvgauge::cuda {

struct RopeAppendKernelArgs {
  const float* qkv;
  float* q_out;
  std::int64_t qkv_stride, q_out_stride;
  const float* bias;
  const float* q_norm;
  const float* k_norm;
  const double* inverse_frequencies;
  const DeviceSlice* slices;
  const std::int32_t* slice_of_row;
  PagedKvView pages;
  int heads, kv_heads, head_dim, layer;
  int group;  // lanes of a head
  float norm_eps;
};

inline constexpr int kRopeThreads = 256;
inline constexpr int kMaxHeadDim = 256;

/// A lane's part of one head: values [first, first + 4) of the lower half and of the upper half, `left` of each.
struct HeadPart {
  Pack<float, 4> low, high;
};

template <bool kWhole>
__device__ __forceinline__ HeadPart load_part(const float* head, int half, std::int64_t left) {
  return {load_values<kWhole, 4>(head, left), load_values<kWhole, 4>(head + half, left)};
}

/// x * 1/sqrt(mean(x^2) + eps) * weight over the head that `group` lanes hold together. All 32 lanes call.
template <bool kWhole>
__device__ __forceinline__ void normalise_head(HeadPart& x, const float* weight, float eps, int half, std::int64_t left,
                                               int group) {
  double squares = 0;  // lanes and values that do not exist are zeros
  for (int i = 0; i < 4; ++i) {
    squares = fma(static_cast<double>(x.low.values[i]), static_cast<double>(x.low.values[i]), squares);
    squares = fma(static_cast<double>(x.high.values[i]), static_cast<double>(x.high.values[i]), squares);
  }
  for (int offset = group / 2; offset > 0; offset /= 2) squares += __shfl_xor_sync(kAllLanes, squares, offset);
  if (weight == nullptr) return;
  const auto factor = static_cast<float>(1 / sqrt(squares / (2 * half) + static_cast<double>(eps)));
  const HeadPart w = load_part<kWhole>(weight, half, left);
  for (int i = 0; i < 4; ++i) {
    x.low.values[i] = x.low.values[i] * factor * w.low.values[i];
    x.high.values[i] = x.high.values[i] * factor * w.high.values[i];
  }
}

template <class T, bool kWhole>
__device__ __forceinline__ void store_part(T* head, const HeadPart& x, int half, std::int64_t left) {
  store_values<kWhole>(head, narrowed<T>(x.low), left);
  store_values<kWhole>(head + half, narrowed<T>(x.high), left);
}

template <class T, bool kWhole>
__global__ void __launch_bounds__(kRopeThreads) rope_append_kernel(RopeAppendKernelArgs a) {
  __shared__ float cosines[kMaxHeadDim / 2], sines[kMaxHeadDim / 2];
  const std::int64_t row = blockIdx.x;
  const int slice_index = a.slice_of_row[row];
  if (slice_index < 0) return;  // the whole block leaves: a padding row
  const DeviceSlice slice = a.slices[slice_index];
  const std::int64_t position = slice.first_position + row - slice.first_row;
  const int half = a.head_dim / 2;
  for (int i = static_cast<int>(threadIdx.x); i < half; i += static_cast<int>(blockDim.x)) {
    const Rotation rotation = rotation_by(static_cast<double>(position) * a.inverse_frequencies[i]);
    cosines[i] = rotation.cosine;
    sines[i] = rotation.sine;
  }
  __syncthreads();

  const auto place = static_cast<std::uint32_t>(position),
             page_tokens = static_cast<std::uint32_t>(a.pages.page_tokens);
  const std::int64_t block = slice.blocks[place / page_tokens];
  const int slot = static_cast<int>(place % page_tokens);
  const int heads_of_warp = kWarpSize / a.group, warps = static_cast<int>(blockDim.x) / kWarpSize;
  const int all_heads = a.heads + 2 * a.kv_heads, first = lane_index() % a.group * 4;
  for (int base = warp_index() * heads_of_warp; base < all_heads;
       base += warps * heads_of_warp) {  // the same for all lanes
    const int head = base + lane_index() / a.group;
    const std::int64_t left = head < all_heads ? half - first : 0, offset = std::int64_t{head} * a.head_dim + first;
    const bool is_q = head < a.heads, is_v = head >= a.heads + a.kv_heads;
    HeadPart x = load_part<kWhole>(a.qkv + row * a.qkv_stride + offset, half, left);
    if (a.bias != nullptr) {
      const HeadPart bias = load_part<kWhole>(a.bias + offset, half, left);
      for (int i = 0; i < 4; ++i) {
        x.low.values[i] += bias.low.values[i];
        x.high.values[i] += bias.high.values[i];
      }
    }
    if (a.q_norm != nullptr)
      normalise_head<kWhole>(x, is_v ? nullptr : (is_q ? a.q_norm : a.k_norm) + first, a.norm_eps, half, left, a.group);
    if (left <= 0) continue;  // no shuffle follows in this turn
    if (!is_v) {
      for (int i = 0; i < 4 && i < left; ++i) {
        const float low = x.low.values[i], high = x.high.values[i], c = cosines[first + i], s = sines[first + i];
        x.low.values[i] = low * c - high * s;
        x.high.values[i] = high * c + low * s;
      }
    }
    if (is_q) {
      store_part<float, kWhole>(a.q_out + row * a.q_out_stride + offset, x, half, left);
      continue;
    }
    const int kv_head = head - a.heads - (is_v ? a.kv_heads : 0);
    std::byte* page = is_v ? a.pages.v(a.layer, block, kv_head, slot) : a.pages.k(a.layer, block, kv_head, slot);
    T* const to = reinterpret_cast<T*>(page) + first;
    if (kWhole && reinterpret_cast<std::uintptr_t>(to) % sizeof(Pack<T, 4>) == 0) {
      store_part<T, true>(to, x, half, left);
    } else {
      store_part<T, false>(to, x, half, left);
    }
  }
}

namespace {

void check_rope_append(const RopeAppendArgs& args, const SliceTable& table) {
  const PagedKvView& pages = args.pages;
  KVGAUGE_CHECK(args.head_dim > 0 && args.head_dim % 2 == 0 && args.head_dim <= kMaxHeadDim, "head_dim ",
                args.head_dim);
  KVGAUGE_CHECK(args.qkv.dtype == DType::kF32 && args.qkv.rows >= table.rows &&
                    args.qkv.columns == std::int64_t{args.heads + 2 * args.kv_heads} * args.head_dim,
                "qkv is ", name(args.qkv.dtype), "[", args.qkv.rows, ",", args.qkv.columns, "]");
  KVGAUGE_CHECK(args.q_out.dtype == DType::kF32 && args.q_out.rows >= table.rows &&
                    args.q_out.columns == std::int64_t{args.heads} * args.head_dim,
                "q_out is ", name(args.q_out.dtype), "[", args.q_out.rows, ",", args.q_out.columns, "]");
  KVGAUGE_CHECK(pages.dtype != DType::kF16 && pages.kv_heads == args.kv_heads && pages.head_dim == args.head_dim &&
                    args.layer >= 0 && args.layer < pages.layers,
                "pages of ", pages.kv_heads, " heads of ", pages.head_dim);
  KVGAUGE_CHECK((args.q_norm == nullptr) == (args.k_norm == nullptr), "one of q_norm and k_norm");
}

}  // namespace

void launch_rope_append(const RopeAppendArgs& args, const SliceTable& table, StreamHandle stream) {
  check_rope_append(args, table);
  if (table.rows == 0) return;
  const int half = args.head_dim / 2, all_heads = args.heads + 2 * args.kv_heads;
  const auto aligned = [](const float* data, std::int64_t stride) {
    return rows_are_aligned(data, stride, sizeof(float), 4);
  };
  const bool whole = half % 4 == 0 && aligned(static_cast<const float*>(args.qkv.data), args.qkv.stride) &&
                     aligned(static_cast<const float*>(args.q_out.data), args.q_out.stride) && aligned(args.bias, 0) &&
                     aligned(args.q_norm, 0) && aligned(args.k_norm, 0);
  const auto group = static_cast<int>(std::bit_ceil(static_cast<unsigned>(ceil_div(half, 4))));
  const std::int64_t threads = ceil_div(std::int64_t{all_heads} * group, kWarpSize) * kWarpSize;
  const LaunchShape shape{dim3(static_cast<unsigned>(table.rows)),
                          dim3(static_cast<unsigned>(std::min<std::int64_t>(threads, kRopeThreads))), 0};
  const RopeAppendKernelArgs a{.qkv = static_cast<const float*>(args.qkv.data),
                               .q_out = static_cast<float*>(args.q_out.data),
                               .qkv_stride = args.qkv.stride,
                               .q_out_stride = args.q_out.stride,
                               .bias = args.bias,
                               .q_norm = args.q_norm,
                               .k_norm = args.k_norm,
                               .inverse_frequencies = args.inverse_frequencies,
                               .slices = table.slices,
                               .slice_of_row = table.slice_of_row,
                               .pages = args.pages,
                               .heads = args.heads,
                               .kv_heads = args.kv_heads,
                               .head_dim = args.head_dim,
                               .layer = args.layer,
                               .group = group,
                               .norm_eps = args.norm_eps};
  if (args.pages.dtype == DType::kBF16) {
    launch(stream, shape, whole ? rope_append_kernel<bf16_t, true> : rope_append_kernel<bf16_t, false>, a);
  } else {
    launch(stream, shape, whole ? rope_append_kernel<float, true> : rope_append_kernel<float, false>, a);
  }
}

}  // namespace kvgauge::cuda
