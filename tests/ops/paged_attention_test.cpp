#include "reference/paged_attention.h"

#include "ops_support.h"

namespace kvgauge::testing {
namespace {

class PagedAttention : public OnEveryExecutor {};

struct Sequence {
  std::int64_t context = 0, rows = 0;  ///< tokens in the pages before, and the new ones
};
struct Case {
  int heads, kv_heads, head_dim, page_tokens;
  DType pages, out;
  std::vector<Sequence> sequences;
};

struct Problem {
  Problem(const Case& c, Random& random)
      : shape(c),
        cache({.layers = 2,
               .kv_heads = c.kv_heads,
               .head_dim = c.head_dim,
               .page_tokens = c.page_tokens,
               .dtype = c.pages},
              blocks_needed(c), random),
        q(rows_of(c), std::int64_t{c.heads} * c.head_dim, DType::kF32),
        out(rows_of(c), std::int64_t{c.heads} * c.head_dim, c.out) {
    q.set(uniform_floats(random, static_cast<std::size_t>(rows_of(c) * c.heads * c.head_dim), -3, 3));
    tables.reserve(c.sequences.size());
    std::int64_t row = 0;
    for (const Sequence& s : c.sequences) {
      tables.push_back(cache.take_blocks(s.context + s.rows));
      cache.fill(tables.back(), s.context + s.rows, random);
      slices.push_back({.first_row = row, .rows = s.rows, .first_position = s.context, .blocks = tables.back().data()});
      row += s.rows;
    }
  }
  static std::int64_t rows_of(const Case& c) {
    std::int64_t rows = 0;
    for (const Sequence& s : c.sequences) rows += s.rows;
    return rows;
  }
  static std::int64_t blocks_needed(const Case& c) {
    std::int64_t blocks = 3;
    for (const Sequence& s : c.sequences) blocks += (s.context + s.rows) / c.page_tokens + 1;
    return blocks;
  }
  PagedAttentionArgs args() {
    return {.q = q.view(),
            .heads = shape.heads,
            .scale = static_cast<float>(1 / std::sqrt(shape.head_dim)),
            .sequences = slices,
            .layer = 1,
            .pages = cache.view(),
            .out = out.view()};
  }

  Case shape;
  PagedCache cache;
  GuardedMatrix q, out;
  std::vector<std::vector<std::int32_t>> tables;
  std::vector<SequenceSlice> slices;
};

void expect_matches(Problem& problem, const Executor& executor) {
  const Case& c = problem.shape;
  const int group = c.heads / c.kv_heads;
  const double scale = static_cast<double>(problem.args().scale);
  for (std::size_t s = 0; s < c.sequences.size(); ++s) {
    const SequenceSlice& slice = problem.slices[s];
    const std::int64_t tokens = slice.first_position + slice.rows;
    for (int head = 0; head < c.heads; ++head) {
      std::vector<std::vector<double>> keys, values;
      for (std::int64_t t = 0; t < tokens; ++t) {
        keys.emplace_back();
        values.emplace_back();
        for (int j = 0; j < c.head_dim; ++j) {
          keys.back().push_back(problem.cache.get(false, 1, problem.tables[s], t, head / group, j));
          values.back().push_back(problem.cache.get(true, 1, problem.tables[s], t, head / group, j));
        }
      }
      // all rows of short slices, first, last and a few between of long ones
      const std::int64_t stride = slice.rows > 12 ? slice.rows / 7 : 1;
      for (std::int64_t r = 0; r < slice.rows;
           r = r + stride < slice.rows || r == slice.rows - 1 ? r + stride : slice.rows - 1) {
        const auto seen = static_cast<std::ptrdiff_t>(slice.first_position + r + 1);
        std::vector<double> q;
        for (int j = 0; j < c.head_dim; ++j)
          q.push_back(problem.q.at(slice.first_row + r, std::int64_t{head} * c.head_dim + j));
        const auto want =
            reference_attention(q, {keys.begin(), keys.begin() + seen}, {values.begin(), values.begin() + seen}, scale);
        // |q| <= 3, |k| <= 1: a score is off by at most (d + 2) eps * 3 d scale; that, the exponential (2 ulp) and the
        // chains over the tokens (seen eps) are relative errors of weights; |v| <= 1
        const double score_error = (c.head_dim + 2) * kFloatEps * 3 * c.head_dim * scale;
        const double tolerance =
            2 * (score_error + (8 + static_cast<double>(seen)) * kFloatEps) + (c.out == DType::kBF16 ? kBf16Eps : 0);
        for (int j = 0; j < c.head_dim; ++j)
          ASSERT_NEAR(problem.out.at(slice.first_row + r, std::int64_t{head} * c.head_dim + j),
                      want[static_cast<std::size_t>(j)], tolerance)
              << name(executor) << " heads " << c.heads << '/' << c.kv_heads << " dim " << c.head_dim << " seq " << s
              << " row " << r << " head " << head << " j " << j;
      }
    }
  }
  EXPECT_TRUE(problem.out.intact());
}

TEST_P(PagedAttention, MatchesTheReference) {
  Random random(test_seed(21));
  const auto backend = backend_for(GetParam());
  const DType f32 = DType::kF32, bf16 = DType::kBF16;
  const std::vector<Case> cases = {
      {1, 1, 2, 32, f32, f32, {{0, 1}}},
      {9, 3, 64, 32, bf16, bf16, {{0, 1}, {5, 3}, {255, 2}, {300, 1}}},
      {9, 3, 64, 32, bf16, f32, {{1024, 1}}},
      {4, 4, 32, 32, f32, f32, {{0, 70}}},
      {8, 1, 80, 16, f32, f32, {{100, 40}, {0, 1}}},
      {6, 2, 96, 32, bf16, f32, {{31, 33}}},
      {14, 2, 64, 32, bf16, f32, {{0, 17}, {511, 1}, {512, 1}, {513, 1}}},
      {4, 2, 128, 32, bf16, f32, {{700, 9}}},
      {2, 1, 256, 32, f32, f32, {{250, 12}}},
      {2, 2, 30, 7, f32, f32, {{33, 11}}},
      {3, 1, 512, 32, bf16, f32, {{40, 2}}},
      {2, 1, 64, 32, bf16, f32, {{4000, 1}}},
  };
  for (const Case& c : cases) {
    Problem problem(c, random);
    backend->paged_attention(problem.args());
    expect_matches(problem, GetParam());
    if (HasFatalFailure()) return;
  }
}

TEST_P(PagedAttention, BitsOfARowDoNotDependOnChunksBatchOrThreads) {
  Random random(test_seed(22));
  for (const auto& [heads, kv_heads, dim] : {std::tuple{9, 3, 64}, std::tuple{8, 1, 32}, std::tuple{2, 2, 80}}) {
    Problem whole({heads, kv_heads, dim, 32, DType::kBF16, DType::kF32, {{0, 600}}}, random);
    backend_for(GetParam(), DType::kF32, true, 1)->paged_attention(whole.args());
    for (const int threads : {1, 2, 3}) {
      const auto backend = backend_for(GetParam(), DType::kF32, true, threads);
      GuardedMatrix out(600, std::int64_t{heads} * dim, DType::kF32);
      for (std::int64_t first = 0; first < 600;) {
        // several slices of the same sequence in one call stand for a batch
        std::vector<SequenceSlice> slices;
        for (int i = std::uniform_int_distribution<>(1, 5)(random); i > 0 && first < 600; --i) {
          const std::int64_t most = random() % 3 == 0 ? 200 : random() % 2 == 0 ? 20 : 1;
          const std::int64_t rows =
              std::min<std::int64_t>(600 - first, std::uniform_int_distribution<std::int64_t>(1, most)(random));
          slices.push_back(
              {.first_row = first, .rows = rows, .first_position = first, .blocks = whole.tables[0].data()});
          first += rows;
        }
        PagedAttentionArgs args = whole.args();
        args.sequences = slices;
        args.out = out.view();
        backend->paged_attention(args);
      }
      EXPECT_EQ(out.values(), whole.out.values()) << threads << " threads, heads " << heads;
    }
  }
}

TEST_P(PagedAttention, WhatLiesBehindARowIsNotRead) {
  Random random(test_seed(23));
  Problem problem({4, 2, 64, 32, DType::kF32, DType::kF32, {{60, 30}}}, random);
  const auto backend = backend_for(GetParam());
  backend->paged_attention(problem.args());
  const auto want = problem.out.values();
  // poison the last 10 positions: the rows before them must not change
  const std::vector<float> poison(64, std::numeric_limits<float>::quiet_NaN());
  for (std::int64_t t = 80; t < 90; ++t)
    for (int head = 0; head < 2; ++head)
      for (const bool value : {false, true}) problem.cache.put(value, 1, problem.tables[0], t, head, poison.data());
  backend->paged_attention(problem.args());
  const auto got = problem.out.values();
  for (std::size_t i = 0; i < 20 * 4 * 64; ++i) ASSERT_EQ(got[i], want[i]) << i;
}

KVGAUGE_ON_EVERY_EXECUTOR(PagedAttention);

}  // namespace
}  // namespace kvgauge::testing
