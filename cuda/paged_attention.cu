// Which kernels a call takes, and the merge of splits. The context of a slice is split at multiples of kSplitTokens
// (attention.cuh).
//   A slice of one row (decode): a block for each (slice, kv head, split lane) forms the states of its splits, and
//     attention_merge_kernel: out = merge_{split = 0, 1, ...} state(split), weighted / sum
//   All others (prefill), and all where there are so many sequences that they fill a device by themselves: a block for
//   each (slice, kv head, tile of packed rows) walks over its splits and merges as it goes, by the same arithmetic.
// The merge: one thread for each element of an output row; bytes 4 * (head_dim + 2) * heads for each split read,
// written once before.
#include "cuda/paged_attention.h"

#include <algorithm>

#include "core/cat.h"
#include "core/check.h"
#include "cuda/attention.cuh"
#include "kvgauge/error.h"

namespace kvgauge::cuda {
namespace {

/// Blocks of a decode launch: enough to fill any device several times over, so that sequences of different lengths
/// spread evenly, and few enough that those of a captured graph that have nothing to do cost little.
constexpr std::int64_t kWantedBlocks = 2048;
/// Where states would take more, there are enough sequences to fill a device without splitting them.
constexpr std::int64_t kMostStateBytes = 64 << 20;

std::int64_t splits_of(std::int64_t context) { return ceil_div(context, kSplitTokens); }
std::int64_t state_bytes(std::int64_t sequences, std::int64_t context, int heads, int head_dim) {
  return sequences * splits_of(context) * heads * (head_dim + 2) * static_cast<std::int64_t>(sizeof(float));
}

bool tensor_cores_take(const PagedKvView& pages, bool rows_are_aligned) {
  const int d = pages.head_dim;
  return pages.dtype == DType::kBF16 && (d == 32 || d == 64 || d == 96 || d == 128 || d == 256) &&
         pages.page_tokens % kTileTokens == 0 && rows_are_aligned;
}

}  // namespace

__global__ void __launch_bounds__(128) attention_merge_kernel(AttentionArgs a) {
  const DeviceSlice slice = a.slices[blockIdx.y];
  const std::int64_t element = global_thread_index();
  const int head_dim = a.pages.head_dim;
  if (slice.rows != 1 || element >= std::int64_t{a.heads} * head_dim) return;
  const std::int64_t first = (std::int64_t{blockIdx.y} * a.heads + element / head_dim) * a.states.splits;
  const float* const weighted = a.states.weighted + first * head_dim + element % head_dim;
  const float* const states = a.states.maximum_and_sum + first * 2;
  const int splits = static_cast<int>(slice.first_position / kSplitTokens) + 1;
  SoftmaxState state;
  float value = 0;
#pragma unroll 4
  for (int split = 0; split < splits; ++split) {
    const auto part = load_pack<float, 2>(states + 2 * split);
    const MergeWeights w = merge_into(state, {part.values[0], part.values[1]});
    value = merged(value, weighted[std::int64_t{split} * head_dim], w);
  }
  store_out(a, slice.first_row * a.out_stride + element, value * (1 / state.sum));
}

std::size_t paged_attention_scratch_bytes(std::int64_t /*rows*/, std::int64_t sequences, std::int64_t context,
                                          int heads, int head_dim) {
  return static_cast<std::size_t>(std::min(state_bytes(sequences, context, heads, head_dim), kMostStateBytes));
}

void launch_paged_attention(const PagedAttentionArgs& args, const SliceTable& table, std::byte* scratch,
                            StreamHandle stream) {
  const PagedKvView& pages = args.pages;
  KVGAUGE_CHECK(args.heads > 0 && pages.kv_heads > 0 && args.heads % pages.kv_heads == 0, args.heads, " heads over ",
                pages.kv_heads);
  KVGAUGE_CHECK(args.q.dtype == DType::kF32 && args.q.columns == std::int64_t{args.heads} * pages.head_dim &&
                    args.layer < pages.layers,
                "q is ", name(args.q.dtype), " of ", args.q.columns, " columns");
  KVGAUGE_CHECK(args.out.columns == args.q.columns && args.out.dtype != DType::kF16 && pages.dtype != DType::kF16,
                "out has ", args.out.columns, " columns");
  if (pages.head_dim < 1 || pages.head_dim > 256)
    throw DeviceError(
        cat("paged_attention: head_dim ", pages.head_dim, " has no kernel (1 to 256); run with --device cpu"));
  if (table.count == 0 || table.longest_rows == 0) return;

  AttentionArgs a;
  a.q = static_cast<const float*>(args.q.data);
  a.q_stride = args.q.stride;
  a.out = args.out.data;
  a.out_stride = args.out.stride;
  a.out_is_bf16 = args.out.dtype == DType::kBF16;
  a.heads = args.heads;
  a.group = args.heads / pages.kv_heads;
  a.layer = args.layer;
  a.q_factor = static_cast<float>(static_cast<double>(args.scale) * 1.4426950408889634);
  a.pages = pages;
  a.slices = table.slices;
  const auto unit = static_cast<std::int64_t>(16 / size_of(pages.dtype));
  a.rows_are_aligned = pages.head_dim % unit == 0 && pages.block_stride % unit == 0 && pages.head_stride % unit == 0 &&
                       pages.token_stride % unit == 0;
  const auto launch_attention =
      tensor_cores_take(pages, a.rows_are_aligned) ? launch_attention_mma : launch_attention_f32;

  const std::int64_t splits = splits_of(table.longest_context);
  const std::int64_t lanes = std::clamp<std::int64_t>(ceil_div(kWantedBlocks, table.count * pages.kv_heads), 1, splits);
  const bool splits_single_rows =
      lanes > 1 && state_bytes(table.count, table.longest_context, args.heads, pages.head_dim) <= kMostStateBytes;
  if (splits_single_rows) {
    AttentionArgs apart = a;
    apart.splits_apart = true;
    apart.split_lanes = static_cast<int>(lanes);
    apart.states.splits = static_cast<int>(splits);
    apart.states.weighted = reinterpret_cast<float*>(scratch);
    apart.states.maximum_and_sum = apart.states.weighted + table.count * args.heads * splits * pages.head_dim;
    launch_attention(apart, table.count, 1, stream);
    const LaunchShape shape{
        .grid = dim3(static_cast<unsigned>(ceil_div(args.q.columns, 128)), static_cast<unsigned>(table.count)),
        .block = dim3(128)};
    launch(stream, shape, attention_merge_kernel, apart);
    if (table.longest_rows == 1) return;
    a.skips_single_rows = true;
  }
  launch_attention(a, table.count, table.longest_rows, stream);
}

}  // namespace kvgauge::cuda
