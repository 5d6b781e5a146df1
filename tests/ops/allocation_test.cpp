// After warm_up() no operation allocates: every form of operator new is counted, and the C heap's size must not grow
// either.
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "ops_support.h"

namespace {
std::atomic<long> allocations{0};
void* counted(std::size_t bytes, std::size_t alignment) {
  ++allocations;
  void* const memory =
      std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment + (bytes == 0 ? alignment : 0));
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
}  // namespace

void* operator new(std::size_t bytes) { return counted(bytes, alignof(std::max_align_t)); }
void* operator new[](std::size_t bytes) { return counted(bytes, alignof(std::max_align_t)); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return counted(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return counted(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace kvgauge::testing {
namespace {

constexpr int kHeads = 6, kKvHeads = 2, kHeadDim = 32, kHidden = kHeads * kHeadDim, kVocab = 3'000;
constexpr std::int64_t kSequences = 5, kContext = 600;

/// One layer's worth of every operation, for `rows` new tokens of each sequence.
struct Step {
  explicit Step(DType dtype)
      : random(test_seed(111)),
        backend(backend_for(supported_isas().back(), dtype, false, 2)),
        cache({.layers = 2, .kv_heads = kKvHeads, .head_dim = kHeadDim, .dtype = dtype},
              kSequences * (kContext / kPageTokens + 2), random),
        hidden(kRows, kHidden, DType::kF32, 0),
        qkv(kRows, (kHeads + 2 * kKvHeads) * kHeadDim, DType::kF32, 0),
        q(kRows, kHidden, DType::kF32, 0),
        gate_up(kRows, 2 * kHidden, DType::kF32, 0),
        logits(kRows, kVocab, DType::kF32, 0),
        narrow(kRows, kHidden, dtype, 0),
        table(uniform_floats(random, kVocab * kHidden)),
        norm(kHidden, 1.f) {
    for (const std::int64_t columns :
         {std::int64_t{qkv.view().columns}, std::int64_t{2 * kHidden}, std::int64_t{kVocab}}) {
      weights.push_back(pack_made(*backend, columns, kHidden, [&](std::int64_t, std::int64_t count, void* out) {
        const auto bytes = stored(uniform_floats(random, static_cast<std::size_t>(count * kHidden), -0.1, 0.1), dtype);
        std::memcpy(out, bytes.data(), bytes.size());
      }));
    }
    for (int i = 0; i < kHeadDim / 2; ++i) frequencies.push_back(std::pow(1e4, -2.0 * i / kHeadDim));
    for (std::int64_t s = 0; s < kSequences; ++s) {
      tables.push_back(cache.take_blocks(kContext + 32));
      cache.fill(tables.back(), kContext, random);
    }
    for (std::int64_t s = 0; s < kSequences; ++s)
      states.push_back(backend->make_trajectory(kKvHeads * kHeadDim, kContext));
    slices.resize(kSequences);
    items.resize(kSequences);
    stats.resize(kRows);
    tokens.resize(kRows);
    for (std::int32_t row = 0; row < kRows; ++row) {
      rows_of_logits.push_back(row);
      requests.push_back(
          {.row = row, .temperature = row % 2 == 0 ? 0.f : 0.9f, .top_p = 0.95f, .top_k = row % 3 == 0 ? 40 : 0});
    }
    backend->warm_up(kRows, kContext + 32);
  }

  static MatrixView top(const GuardedMatrix& matrix, std::int64_t rows) {
    MatrixView view = matrix.view();
    view.rows = rows;
    return view;
  }

  void run(std::int64_t each, std::int64_t position) {
    const std::int64_t rows = each * kSequences;
    const auto count = static_cast<std::size_t>(rows);
    for (std::int64_t s = 0; s < kSequences; ++s) {
      const auto at = static_cast<std::size_t>(s);
      slices[at] = {.first_row = s * each, .rows = each, .first_position = position, .blocks = tables[at].data()};
      items[at] = {.blocks = tables[at].data(), .begin = position, .end = position + each, .state = states[at].get()};
    }
    const std::vector<std::int32_t>& ids = rows_of_logits;
    backend->embed({.table = table.data(),
                    .table_dtype = DType::kF32,
                    .vocab = kVocab,
                    .hidden = kHidden,
                    .ids = {ids.data(), count},
                    .out = top(hidden, rows)});
    backend->rms_norm({.residual = top(hidden, rows), .x = {}, .weight = norm.data(), .out = top(narrow, rows)});
    backend->linear({.x = top(narrow, rows), .weight = weights[0], .out = top(qkv, rows)});
    backend->rope_append({.qkv = top(qkv, rows),
                          .heads = kHeads,
                          .kv_heads = kKvHeads,
                          .head_dim = kHeadDim,
                          .inverse_frequencies = frequencies.data(),
                          .sequences = slices,
                          .layer = 0,
                          .pages = cache.view(),
                          .q_out = top(q, rows)});
    backend->paged_attention({.q = top(q, rows),
                              .heads = kHeads,
                              .scale = 0.2f,
                              .sequences = slices,
                              .layer = 0,
                              .pages = cache.view(),
                              .out = top(narrow, rows)});
    backend->linear({.x = top(narrow, rows), .weight = weights[1], .out = top(gate_up, rows)});
    backend->swiglu({.gate_up = top(gate_up, rows), .out = top(narrow, rows)});
    backend->linear({.x = top(narrow, rows), .weight = weights[2], .out = top(logits, rows)});
    backend->sample({.logits = top(logits, rows), .requests = {requests.data(), count}, .out = {tokens.data(), count}});
    backend->logits_stats({.logits = top(logits, rows),
                           .rows = {rows_of_logits.data(), count},
                           .chosen = {tokens.data(), count},
                           .out = {stats.data(), count}});
    backend->kv_trajectory({.pages = cache.view(), .spec = {}, .items = items});
    for (const auto& state : states) sum_of_sums += backend->read_trajectory(*state).sum_dr;
    const std::int32_t from[] = {tables[0][0]}, to[] = {tables[1][0]};
    backend->copy_pages({.pages = cache.view(), .source = from, .target = to});
  }

  static constexpr std::int64_t kRows = kSequences * 8;
  Random random;
  std::unique_ptr<Backend> backend;
  PagedCache cache;
  GuardedMatrix hidden, qkv, q, gate_up, logits, narrow;
  std::vector<float> table, norm;
  std::vector<PackedWeight> weights;
  std::vector<double> frequencies;
  std::vector<std::vector<std::int32_t>> tables;
  std::vector<std::unique_ptr<TrajectoryState>> states;
  std::vector<SequenceSlice> slices;
  std::vector<TrajectoryItem> items;
  std::vector<SampleRequest> requests;
  std::vector<TokenLogitStats> stats;
  std::vector<std::int32_t> tokens, rows_of_logits;
  double sum_of_sums = 0;
};

TEST(Allocation, NoOperationAllocatesAfterWarmUp) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    if (dtype == DType::kBF16 && !cpu_supports_bf16()) continue;
    Step step(dtype);
    const auto heap = mallinfo2();
    const long before = allocations.load();
    std::int64_t position = kContext - 20;
    for (const std::int64_t each : {8, 1, 1, 3, 1, 8, 1, 1}) {
      step.run(each, position);
      position += each;
    }
    const long after = allocations.load();
    const auto heap_after = mallinfo2();
    EXPECT_EQ(after - before, 0) << name(dtype);
    EXPECT_LE(heap_after.uordblks + heap_after.hblkhd, heap.uordblks + heap.hblkhd) << name(dtype);
  }
}

}  // namespace
}  // namespace kvgauge::testing
