#include "reference/rope_append.h"

#include "ops_support.h"

namespace kvgauge::testing {
namespace {

class RopeAppend : public OnEveryExecutor {};

struct Case {
  int heads, kv_heads, head_dim;
  DType pages;
  bool bias, norms;
  std::int64_t gap;  ///< behind the rows of qkv and q_out; 4: they start on 16 bytes
  std::vector<std::pair<std::int64_t, std::int64_t>> sequences;  ///< first position, rows
};

TEST_P(RopeAppend, MatchesTheReferenceAndWritesOnlyItsSlots) {
  Random random(test_seed(71));
  const auto backend = backend_for(GetParam());
  const std::vector<Case> cases = {
      {9, 3, 64, DType::kBF16, false, false, 4, {{0, 5}, {31, 2}, {2000, 1}}},
      {4, 4, 30, DType::kF32, true, false, 4, {{0, 40}}},
      {2, 1, 128, DType::kF32, false, true, 5, {{20'000, 2}, {7, 1}}},
      {8, 1, 2, DType::kBF16, true, true, 5, {{3, 3}}},
      {5, 1, 96, DType::kBF16, true, true, 4, {{60, 6}, {0, 1}}},
      {7, 1, 256, DType::kF32, true, true, 4, {{2'000, 1}, {31, 3}}},
      {3, 1, 32, DType::kBF16, false, true, 4, {{130'000, 1}, {1, 2}}},
      {6, 2, 250, DType::kBF16, false, true, 5, {{5, 2}}},
  };
  for (const Case& c : cases) {
    const int all_heads = c.heads + 2 * c.kv_heads;
    std::int64_t rows = 1, tokens = 0;  // the first row belongs to no sequence
    for (const auto& [first, count] : c.sequences) {
      rows += count;
      tokens += first + count;
    }
    PagedCache cache({.layers = 2, .kv_heads = c.kv_heads, .head_dim = c.head_dim, .dtype = c.pages}, tokens / 32 + 4,
                     random);
    GuardedMatrix qkv(rows, std::int64_t{all_heads} * c.head_dim, DType::kF32, c.gap),
        q_out(rows, std::int64_t{c.heads} * c.head_dim, DType::kF32, c.gap);
    qkv.set(uniform_floats(random, static_cast<std::size_t>(rows * all_heads * c.head_dim), -2, 2));
    const auto bias = on_device(uniform_floats(random, static_cast<std::size_t>(all_heads * c.head_dim)));
    const auto q_norm = on_device(uniform_floats(random, static_cast<std::size_t>(c.head_dim), 0.5, 2)),
               k_norm = on_device(uniform_floats(random, static_cast<std::size_t>(c.head_dim), 0.5, 2));
    std::vector<double> frequencies;
    for (int i = 0; i < c.head_dim / 2; ++i) frequencies.push_back(std::pow(10'000.0, -2.0 * i / c.head_dim));
    std::vector<std::vector<std::int32_t>> tables;
    tables.reserve(c.sequences.size());
    std::vector<SequenceSlice> slices;
    std::int64_t row = 1;
    for (const auto& [first, count] : c.sequences) {
      tables.push_back(cache.take_blocks(first + count));
      slices.push_back({.first_row = row, .rows = count, .first_position = first, .blocks = tables.back().data()});
      row += count;
    }
    const auto empty = cache.bytes();
    backend->rope_append({.qkv = qkv.view(),
                          .heads = c.heads,
                          .kv_heads = c.kv_heads,
                          .head_dim = c.head_dim,
                          .bias = c.bias ? bias.data() : nullptr,
                          .q_norm = c.norms ? q_norm.data() : nullptr,
                          .k_norm = c.norms ? k_norm.data() : nullptr,
                          .norm_eps = 1e-6f,
                          .inverse_frequencies = frequencies.data(),
                          .sequences = slices,
                          .layer = 1,
                          .pages = cache.view(),
                          .q_out = q_out.view()});
    // roundings: bias, square sum (in double), two products of the norm, cos and sin to f32, two products and a sum
    const double relative = 8 * kFloatEps, page_eps = c.pages == DType::kBF16 ? kBf16Eps : 0;
    for (std::size_t s = 0; s < slices.size(); ++s) {
      for (std::int64_t i = 0; i < slices[s].rows; ++i) {
        const std::int64_t r = slices[s].first_row + i, position = slices[s].first_position + i;
        for (int head = 0; head < all_heads; ++head) {
          std::vector<double> x;
          double largest = 0;
          for (int j = 0; j < c.head_dim; ++j) {
            const std::int64_t column = std::int64_t{head} * c.head_dim + j;
            x.push_back(double{qkv.at(r, column)} + (c.bias ? double{bias[static_cast<std::size_t>(column)]} : 0));
          }
          const bool is_q = head < c.heads, is_v = head >= c.heads + c.kv_heads;
          const std::vector<double> norm(is_q ? q_norm.begin() : k_norm.begin(), is_q ? q_norm.end() : k_norm.end());
          const auto want =
              reference_rope(x, c.norms && !is_v ? &norm : nullptr, double{1e-6f}, !is_v, position, frequencies);
          for (const double v : want) largest = std::max(largest, std::abs(v));
          for (int j = 0; j < c.head_dim; ++j) {
            const double expected = want[static_cast<std::size_t>(j)];
            const float got =
                is_q ? q_out.at(r, std::int64_t{head} * c.head_dim + j)
                     : cache.get(is_v, 1, tables[s], position, is_v ? head - c.heads - c.kv_heads : head - c.heads, j);
            const double partner = std::abs(want[static_cast<std::size_t>((j + c.head_dim / 2) % c.head_dim)]);
            ASSERT_NEAR(got, expected,
                        relative * (std::abs(expected) + partner) + (is_q ? 0 : page_eps) * std::abs(expected) * 1.01)
                << "head " << head << " position " << position << " j " << j;
          }
        }
      }
    }
    EXPECT_TRUE(q_out.intact());
    for (int j = 0; j < c.heads * c.head_dim; ++j)
      ASSERT_TRUE(std::isnan(q_out.at(0, j))) << "a row of no sequence was written";
    // exactly the bytes of the new slots changed
    std::size_t changed = 0;
    for (std::size_t i = 0; i < empty.size(); ++i) changed += empty[i] != cache.bytes()[i];
    const std::size_t written = static_cast<std::size_t>((rows - 1) * 2 * c.kv_heads * c.head_dim) * size_of(c.pages);
    EXPECT_LE(changed, written);
    EXPECT_GE(changed, written * 9 / 10);  // a written byte may be 0xff by chance
  }
}

TEST_P(RopeAppend, ATokenHasTheSameBitsInAnyChunk) {
  Random random(test_seed(72));
  const auto backend = backend_for(GetParam(), DType::kF32, true, 2);
  PagedCache cache({.kv_heads = 2, .head_dim = 64}, 20, random);
  const auto one = cache.take_blocks(100), other = cache.take_blocks(100);
  GuardedMatrix qkv(100, 6 * 64, DType::kF32), q(100, 2 * 64, DType::kF32), q_chunks(100, 2 * 64, DType::kF32);
  qkv.set(uniform_floats(random, 100 * 6 * 64));
  std::vector<double> frequencies;
  for (int i = 0; i < 32; ++i) frequencies.push_back(std::pow(1e6, -i / 32.0));
  const auto append = [&](const std::vector<std::int32_t>& blocks, std::int64_t first, std::int64_t rows,
                          const MatrixView& out) {
    const SequenceSlice slice{.first_row = first, .rows = rows, .first_position = first, .blocks = blocks.data()};
    backend->rope_append({.qkv = qkv.view(),
                          .heads = 2,
                          .kv_heads = 2,
                          .head_dim = 64,
                          .inverse_frequencies = frequencies.data(),
                          .sequences = {&slice, 1},
                          .layer = 0,
                          .pages = cache.view(),
                          .q_out = out});
  };
  append(one, 0, 100, q.view());
  for (std::int64_t first = 0; first < 100; first += 7)
    append(other, first, std::min<std::int64_t>(7, 100 - first), q_chunks.view());
  EXPECT_EQ(q.values(), q_chunks.values());
  for (std::int64_t t = 0; t < 100; ++t)
    for (int head = 0; head < 2; ++head)
      for (const bool value : {false, true})
        for (int j = 0; j < 64; ++j)
          ASSERT_EQ(cache.get(value, 0, one, t, head, j), cache.get(value, 0, other, t, head, j));
}

KVGAUGE_ON_EVERY_EXECUTOR(RopeAppend);

}  // namespace
}  // namespace kvgauge::testing
