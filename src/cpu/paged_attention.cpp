#include "ops/paged_attention.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/ceil_div.h"
#include "core/check.h"
#include "cpu/backend.h"

namespace kvgauge::cpu {
namespace {

/// Softmax state of a block of queries.
struct State {
  float* maximum;
  float* sum;
  float* weighted;
};
constexpr std::int64_t kStateFloats = std::int64_t{kBlockQueries} * (2 + kMaxHeadDim);
State state_at(float* memory) { return {memory, memory + kBlockQueries, memory + 2 * kBlockQueries}; }

/// What one thread works with.
struct ThreadScratch {
  const void* k_rows[kSplitTokens];
  const void* v_rows[kSplitTokens];
  std::int32_t limits[kBlockQueries];
  alignas(64) float q[std::size_t{kBlockQueries} * kMaxHeadDim];
  alignas(64) float running[kStateFloats];
  alignas(64) float split[kStateFloats];
  alignas(64) float convert[split_scratch_floats(kMaxHeadDim)];
};

/// Query vectors [first, first + count) of one (sequence, kv head), numbered row by row, the heads of a group within a
/// row.
struct QueryBlock {
  const SequenceSlice* slice;
  int kv_head;
  std::int64_t first;
  int count;
  std::int64_t splits;  ///< that its last row sees
};

}  // namespace

/// Deals the blocks of all sequences by number: sequence by sequence, then kv head, then block.
class AttentionPlan {
 public:
  explicit AttentionPlan(const PagedAttentionArgs& args) : args_(args), group_(args.heads / args.pages.kv_heads) {}

  std::int64_t blocks_of(const SequenceSlice& slice) const {
    return ceil_div(slice.rows * group_, kBlockQueries) * args_.pages.kv_heads;
  }
  QueryBlock block(const SequenceSlice& slice, std::int64_t number) const {
    const std::int64_t per_head = ceil_div(slice.rows * group_, kBlockQueries);
    QueryBlock block{&slice, static_cast<int>(number / per_head), number % per_head * kBlockQueries, 0, 0};
    block.count = static_cast<int>(std::min<std::int64_t>(kBlockQueries, slice.rows * group_ - block.first));
    const std::int64_t last_row = (block.first + block.count - 1) / group_;
    block.splits = (slice.first_position + last_row) / kSplitTokens + 1;
    return block;
  }

  /// Copies the block's queries, padded with zeros to the kernel's stride.
  void gather(const QueryBlock& block, float* q) const {
    const int head_dim = args_.pages.head_dim, padded = padded_head_dim(head_dim);
    for (int i = 0; i < block.count; ++i) {
      std::memcpy(q + i * padded, query(args_.q, block, i), static_cast<std::size_t>(head_dim) * sizeof(float));
      std::fill(q + i * padded + head_dim, q + (i + 1) * padded, 0.f);
    }
  }

  void limits(const QueryBlock& block, std::int64_t split, std::int32_t* limits) const {
    for (int i = 0; i < block.count; ++i) {
      const std::int64_t seen = block.slice->first_position + (block.first + i) / group_ + 1 - split * kSplitTokens;
      limits[i] = static_cast<std::int32_t>(std::clamp<std::int64_t>(seen, 0, kSplitTokens));
    }
  }

  void attend(const Kernels& kernels, const QueryBlock& block, std::int64_t split, const float* q, State state,
              ThreadScratch& scratch) const {
    const PagedKvView& pages = args_.pages;
    const int tokens = scratch.limits[block.count - 1];
    const std::int64_t row_bytes = pages.token_stride * static_cast<std::int64_t>(size_of(pages.dtype));
    for (int t = 0; t < tokens;) {  // page by page: a division for each token would cost as much as its attention
      const std::int64_t position = split * kSplitTokens + t;
      const std::int64_t page = block.slice->blocks[position / pages.page_tokens];
      const int slot = static_cast<int>(position % pages.page_tokens);
      const std::byte* k = pages.k(args_.layer, page, block.kv_head, slot);
      const std::byte* v = pages.v(args_.layer, page, block.kv_head, slot);
      for (const int end = std::min(tokens, t + pages.page_tokens - slot); t < end;
           ++t, k += row_bytes, v += row_bytes) {
        scratch.k_rows[t] = k;
        scratch.v_rows[t] = v;
      }
    }
    kernels.attend_split({.q = q,
                          .queries = block.count,
                          .head_dim = pages.head_dim,
                          .limits = scratch.limits,
                          .tokens = tokens,
                          .scale = args_.scale,
                          .bf16 = pages.dtype == DType::kBF16,
                          .k_rows = scratch.k_rows,
                          .v_rows = scratch.v_rows,
                          .scratch = scratch.convert,
                          .maximum = state.maximum,
                          .sum = state.sum,
                          .weighted = state.weighted});
  }

  /// The first split sets the state, later ones merge into it in ascending order.
  void absorb(const Kernels& kernels, const QueryBlock& block, std::int64_t split, State running, State part,
              const std::int32_t* limits) const {
    const int padded = padded_head_dim(args_.pages.head_dim);
    if (split == 0) {
      std::copy_n(part.maximum, block.count, running.maximum);
      std::copy_n(part.sum, block.count, running.sum);
      std::copy_n(part.weighted, std::int64_t{block.count} * padded, running.weighted);
    } else {
      kernels.merge_split(running.maximum, running.sum, running.weighted, part.maximum, part.sum, part.weighted, limits,
                          block.count, args_.pages.head_dim);
    }
  }

  void write(const Kernels& kernels, const QueryBlock& block, State state) const {
    const int head_dim = args_.pages.head_dim, padded = padded_head_dim(head_dim);
    for (int i = 0; i < block.count; ++i) {
      float* weighted = state.weighted + i * padded;
      const float sum = state.sum[i];
      for (int j = 0; j < head_dim; ++j) weighted[j] /= sum;
      if (args_.out.dtype == DType::kBF16) {
        kernels.narrow_row(weighted, query<std::uint16_t>(args_.out, block, i), head_dim);
      } else {
        std::copy_n(weighted, head_dim, query<float>(args_.out, block, i));
      }
    }
  }

 private:
  template <class T = const float>
  T* query(const MatrixView& matrix, const QueryBlock& block, int i) const {
    const std::int64_t number = block.first + i;
    const std::int64_t head = std::int64_t{block.kv_head} * group_ + number % group_;
    return static_cast<T*>(matrix.data) + (block.slice->first_row + number / group_) * matrix.stride +
           head * args_.pages.head_dim;
  }

  const PagedAttentionArgs& args_;
  const std::int64_t group_;
};

void CpuBackend::reserve_attention() {
  reserve(attention_scratch_, sizeof(ThreadScratch) * static_cast<std::size_t>(threads_));
  reserve(attention_partials_, static_cast<std::size_t>(attention_slots() * kStateFloats) * sizeof(float));
}

std::int64_t CpuBackend::attention_slots() const { return std::max(64, 8 * threads_); }

void CpuBackend::paged_attention(const PagedAttentionArgs& args) {
  const PagedKvView& pages = args.pages;
  KVGAUGE_CHECK(args.heads > 0 && pages.kv_heads > 0 && args.heads % pages.kv_heads == 0, args.heads, " heads over ",
                pages.kv_heads);
  KVGAUGE_CHECK(pages.head_dim > 0 && pages.head_dim <= kMaxHeadDim && pages.dtype != DType::kF16, "head_dim ",
                pages.head_dim);
  KVGAUGE_CHECK(args.q.dtype == DType::kF32 && args.q.columns == std::int64_t{args.heads} * pages.head_dim &&
                    args.layer < pages.layers,
                "q is ", name(args.q.dtype), " of ", args.q.columns, " columns");
  KVGAUGE_CHECK(args.out.columns == args.q.columns && args.out.dtype != DType::kF16, "out has ", args.out.columns,
                " columns");
  reserve_attention();
  auto* scratch_of = attention_scratch_.as<ThreadScratch>();
  const AttentionPlan plan(args);

  std::int64_t blocks = 0, work = 0;
  for (const SequenceSlice& slice : args.sequences) {
    KVGAUGE_CHECK(
        slice.rows > 0 && slice.first_row >= 0 && slice.first_row + slice.rows <= std::min(args.q.rows, args.out.rows),
        "slice of rows ", slice.first_row, "+", slice.rows, " of ", args.q.rows);
    blocks += plan.blocks_of(slice);
    work += slice.rows * (slice.first_position + slice.rows) * args.heads * pages.head_dim;
  }
  const bool tiny = work < 65'536;  // products; less work than waking other threads
  const auto block_at = [&](std::int64_t number) {
    for (const SequenceSlice& slice : args.sequences) {
      const std::int64_t count = plan.blocks_of(slice);
      if (number < count) return plan.block(slice, number);
      number -= count;
    }
    KVGAUGE_CHECK(false, "no such block");
    return QueryBlock{};
  };

  if (tiny || threads_ == 1 ||
      blocks >= 4 * threads_) {  // enough blocks for all threads: each walks its splits in order
    parallel_dynamic(blocks, tiny, [&](std::int64_t number, int thread) {
      ThreadScratch& scratch = scratch_of[thread];
      const QueryBlock block = block_at(blocks - 1 - number);  // the later rows of a prompt see more: begin with them
      const State running = state_at(scratch.running), part = state_at(scratch.split);
      plan.gather(block, scratch.q);
      for (std::int64_t split = 0; split < block.splits; ++split) {
        plan.limits(block, split, scratch.limits);
        plan.attend(kernels_, block, split, scratch.q, split == 0 ? running : part, scratch);
        if (split > 0) plan.absorb(kernels_, block, split, running, part, scratch.limits);
      }
      plan.write(kernels_, block, running);
    });
    return;
  }
  // Few blocks, perhaps long ones: the splits of all of them are dealt to threads, in waves of as many states as there
  // is room for.
  std::int64_t splits = 0;
  for (std::int64_t number = 0; number < blocks; ++number) splits += block_at(number).splits;
  const auto split_at = [&](std::int64_t i) {
    for (std::int64_t number = 0;; ++number) {
      const QueryBlock block = block_at(number);
      if (i < block.splits) return std::pair(block, i);
      i -= block.splits;
    }
  };
  const auto partial = [&](std::int64_t i) { return state_at(attention_partials_.as<float>() + i * kStateFloats); };
  ThreadScratch& own = scratch_of[0];
  const State running = state_at(own.running);  // of the block whose splits are being merged
  for (std::int64_t first = 0; first < splits; first += attention_slots()) {
    const std::int64_t count = std::min(attention_slots(), splits - first);
    parallel_dynamic(count, false, [&](std::int64_t i, int thread) {
      ThreadScratch& scratch = scratch_of[thread];
      const auto [block, split] = split_at(first + i);
      plan.gather(block, scratch.q);
      plan.limits(block, split, scratch.limits);
      plan.attend(kernels_, block, split, scratch.q, partial(i), scratch);
    });
    for (std::int64_t i = 0; i < count; ++i) {
      const auto [block, split] = split_at(first + i);
      plan.limits(block, split, own.limits);
      plan.absorb(kernels_, block, split, running, partial(i), own.limits);
      if (split + 1 == block.splits) plan.write(kernels_, block, running);
    }
  }
}

}  // namespace kvgauge::cpu
