#include "reference/paged_attention.h"

#include "kvgauge/error.h"
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

/// kDiffuse: weights are spread over the context. kNeedles: each (row, head) asks for the key of one position, so that
/// its output is that position's value. The q of both, times scale / ln 2, are bf16 numbers: an executor that rounds
/// them loses nothing. kUnrounded: diffuse, any f32 numbers.
enum class Queries { kDiffuse, kNeedles, kUnrounded };

/// Tensor cores take these pages; q * scale / ln 2 and the weights are rounded to bf16.
bool rounds_to_bf16(const Executor& executor, const Case& c) {
  constexpr int kDims[] = {32, 64, 96, 128, 256};
  return executor.on_device() && c.pages == DType::kBF16 && c.page_tokens % 32 == 0 &&
         std::ranges::find(kDims, c.head_dim) != std::end(kDims);
}

struct Problem {
  Problem(const Case& c, Random& random, Queries queries = Queries::kDiffuse)
      : shape(c),
        cache({.layers = 2,
               .kv_heads = c.kv_heads,
               .head_dim = c.head_dim,
               .page_tokens = c.page_tokens,
               .dtype = c.pages},
              blocks_needed(c), random),
        q(rows_of(c), std::int64_t{c.heads} * c.head_dim, DType::kF32),
        out(rows_of(c), std::int64_t{c.heads} * c.head_dim, c.out) {
    tables.reserve(c.sequences.size());
    std::int64_t row = 0;
    for (const Sequence& s : c.sequences) {
      tables.push_back(cache.take_blocks(s.context + s.rows));
      cache.fill(tables.back(), s.context + s.rows, random);
      slices.push_back({.first_row = row, .rows = s.rows, .first_position = s.context, .blocks = tables.back().data()});
      row += s.rows;
    }
    if (queries == Queries::kNeedles) {
      ask_for_needles(random);
    } else {
      for (std::int64_t r = 0; r < q.view().rows; ++r)
        for (std::int64_t i = 0; i < q.view().columns; ++i) {
          const float x = uniform_in(random, -3, 3);
          q.set(r, i, queries == Queries::kUnrounded ? x : unharmed(x));
        }
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
  float scale() const { return static_cast<float>(1 / std::sqrt(shape.head_dim)); }
  PagedAttentionArgs args() {
    return {.q = q.view(),
            .heads = shape.heads,
            .scale = scale(),
            .sequences = slices,
            .layer = 1,
            .pages = cache.view(),
            .out = out.view()};
  }
  double get(bool value, std::size_t sequence, std::int64_t position, int head, int j) const {
    return cache.get(value, 1, tables[sequence], position, head / (shape.heads / shape.kv_heads), j);
  }

  Case shape;
  PagedCache cache;
  GuardedMatrix q, out;
  std::vector<std::vector<std::int32_t>> tables;
  std::vector<SequenceSlice> slices;

 private:
  /// The number nearest to x (within 2^-8) whose product with scale / ln 2 is a bf16 number within three roundings.
  float unharmed(float x) const {
    const double factor = static_cast<double>(scale()) / std::log(2.0);
    return static_cast<float>(to_float(to_bf16(static_cast<float>(x * factor))) / factor);
  }
  /// Keys of +-1 everywhere; q = 16 times the sought key, whose score is 16 sqrt(d), others' about 16.
  void ask_for_needles(Random& random) {
    for (std::size_t s = 0; s < slices.size(); ++s) {
      const std::int64_t tokens = slices[s].first_position + slices[s].rows;
      std::vector<float> key(static_cast<std::size_t>(shape.head_dim));
      for (std::int64_t t = 0; t < tokens; ++t)
        for (int head = 0; head < shape.kv_heads; ++head) {
          for (float& x : key) x = random() % 2 == 0 ? 1.f : -1.f;
          cache.put(false, 1, tables[s], t, head, key.data());
        }
      int at = 0;
      for (std::int64_t r = 0; r < slices[s].rows; ++r) {
        const std::int64_t last = slices[s].first_position + r;
        const std::int64_t edges[] = {last, 0, 31, 32, 255, 256, last - 1};
        for (int head = 0; head < shape.heads; ++head) {
          std::int64_t sought = at++ % 2 == 0 ? edges[at / 2 % std::ssize(edges)] : -1;
          if (sought < 0 || sought > last) sought = std::uniform_int_distribution<std::int64_t>(0, last)(random);
          for (int j = 0; j < shape.head_dim; ++j)
            q.set(slices[s].first_row + r, std::int64_t{head} * shape.head_dim + j,
                  unharmed(static_cast<float>(16 * get(false, s, sought, head, j))));
        }
      }
    }
  }
};

/// One (sequence, q head) in double.
struct HeadContext {
  HeadContext(const Problem& problem, std::size_t sequence, int head) {
    const std::int64_t tokens = problem.slices[sequence].first_position + problem.slices[sequence].rows;
    for (std::int64_t t = 0; t < tokens; ++t) {
      keys.emplace_back();
      values.emplace_back();
      for (int j = 0; j < problem.shape.head_dim; ++j) {
        keys.back().push_back(problem.get(false, sequence, t, head, j));
        values.back().push_back(problem.get(true, sequence, t, head, j));
      }
    }
  }
  std::vector<std::vector<double>> keys, values;
};

void expect_row_matches(const Problem& problem, const Executor& executor, Queries queries, const HeadContext& context,
                        std::size_t sequence, std::int64_t r, int head) {
  const Case& c = problem.shape;
  const SequenceSlice& slice = problem.slices[sequence];
  const auto seen = static_cast<std::ptrdiff_t>(slice.first_position + r + 1);
  const auto scale = static_cast<double>(problem.scale());
  std::vector<double> q;
  for (int j = 0; j < c.head_dim; ++j)
    q.push_back(problem.q.at(slice.first_row + r, std::int64_t{head} * c.head_dim + j));
  const std::vector<std::vector<double>> keys(context.keys.begin(), context.keys.begin() + seen);
  std::vector<std::vector<double>> values(context.values.begin(), context.values.begin() + seen);
  const auto want = reference_attention(q, keys, values, scale);

  // Weights w_t (1 + e_t), |e_t| <= e, in numerator and denominator move an output by at most e / (1 - e) times
  // spread_j = sum_t w_t |v_tj - out_j|.
  for (auto& value : values)
    for (int j = 0; j < c.head_dim; ++j) {
      double& x = value[static_cast<std::size_t>(j)];
      x = std::abs(x - want[static_cast<std::size_t>(j)]);
    }
  const auto spread = reference_attention(q, keys, values, scale);
  // A score is off by (d + 6) eps of size = scale sum_j |q_j k_j|: the chain, the scaling, the exponent's difference; a
  // rounded q adds 2^-8 of size. Then the exponential (2 ulp) and the rounding of a weight.
  double size = 0;
  for (const auto& key : keys) {
    double sum = 0;
    for (std::size_t j = 0; j < q.size(); ++j) sum += std::abs(q[j] * key[j]);
    size = std::max(size, sum * scale);
  }
  const bool rounds = rounds_to_bf16(executor, c);
  const double score_error =
      size * ((c.head_dim + 6) * kFloatEps + (rounds && queries == Queries::kUnrounded ? kBf16Eps : 0));
  const double e = std::expm1(2 * score_error) + 4 * kFloatEps + (rounds ? kBf16Eps : 0);
  ASSERT_LT(e, 0.5);
  for (int j = 0; j < c.head_dim; ++j) {
    const double expected = want[static_cast<std::size_t>(j)];
    // |v| <= 1: the chains over the tokens and the merges are off by seen eps each
    double tolerance =
        e / (1 - e) * spread[static_cast<std::size_t>(j)] + 2 * (8 + static_cast<double>(seen)) * kFloatEps;
    if (c.out == DType::kBF16) tolerance += kBf16Eps * (std::abs(expected) + tolerance);
    ASSERT_NEAR(problem.out.at(slice.first_row + r, std::int64_t{head} * c.head_dim + j), expected, tolerance)
        << name(executor) << " heads " << c.heads << '/' << c.kv_heads << " dim " << c.head_dim << " seq " << sequence
        << " row " << r << " head " << head << " j " << j;
  }
}

void expect_matches(const Problem& problem, const Executor& executor, Queries queries) {
  for (std::size_t s = 0; s < problem.slices.size(); ++s) {
    const std::int64_t rows = problem.slices[s].rows;
    for (int head = 0; head < problem.shape.heads; ++head) {
      const HeadContext context(problem, s, head);
      // all rows of short slices, first, last and a few between of long ones
      const std::int64_t stride = rows > 12 ? rows / 7 : 1;
      for (std::int64_t r = 0; r < rows; r = r + stride < rows || r == rows - 1 ? r + stride : rows - 1) {
        expect_row_matches(problem, executor, queries, context, s, r, head);
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
  EXPECT_TRUE(problem.out.intact());
}

constexpr DType kF32 = DType::kF32, kBF16 = DType::kBF16;

TEST_P(PagedAttention, MatchesTheReference) {
  Random random(test_seed(21));
  const auto backend = backend_for(GetParam());
  std::vector<Case> cases = {
      {1, 1, 2, 32, kF32, kF32, {{0, 1}}},
      {9, 3, 64, 32, kBF16, kBF16, {{0, 1}, {5, 3}, {255, 2}, {300, 1}}},
      {9, 3, 64, 32, kBF16, kF32, {{1024, 1}}},
      {4, 4, 32, 32, kF32, kF32, {{0, 70}}},
      {8, 1, 80, 16, kF32, kF32, {{100, 40}, {0, 1}}},
      {6, 2, 96, 32, kBF16, kF32, {{31, 33}}},
      {14, 2, 64, 32, kBF16, kF32, {{0, 17}, {511, 1}, {512, 1}, {513, 1}}},
      {4, 2, 128, 32, kBF16, kF32, {{700, 9}}},
      {2, 1, 256, 32, kF32, kF32, {{250, 12}}},
      {2, 2, 30, 7, kF32, kF32, {{33, 11}}},
      {2, 2, 30, 7, kBF16, kBF16, {{250, 3}, {260, 1}}},
      {3, 1, 512, 32, kBF16, kF32, {{40, 2}}},
      {2, 1, 64, 32, kBF16, kF32, {{4000, 1}}},
      // decode only: contexts of one token to several splits, each head_dim and each size of a group
      {5, 1, 32, 32, kBF16, kF32, {{0, 1}, {30, 1}, {31, 1}, {32, 1}, {254, 1}, {255, 1}, {256, 1}, {999, 1}}},
      {8, 1, 128, 32, kBF16, kBF16, {{513, 1}, {0, 1}, {255, 1}}},
      {12, 2, 96, 64, kBF16, kF32, {{600, 1}, {64, 1}}},
      {4, 1, 256, 32, kBF16, kF32, {{290, 1}, {256, 1}}},
      {20, 1, 64, 32, kBF16, kF32, {{300, 1}, {7, 1}}},
      {7, 1, 64, 32, kF32, kF32, {{300, 1}, {256, 1}, {3, 1}}},
      // chunks of 64 rows and more
      {2, 1, 32, 32, kBF16, kF32, {{0, 64}, {300, 1}}},
      {8, 2, 128, 32, kBF16, kBF16, {{200, 64}}},
      {3, 1, 256, 32, kBF16, kF32, {{240, 20}, {255, 1}, {0, 65}}},
      // pages that the tensor-core kernel does not take
      {3, 1, 80, 16, kBF16, kF32, {{300, 3}, {10, 1}}},
      {3, 3, 200, 16, kBF16, kF32, {{40, 2}}},
      {2, 1, 64, 16, kBF16, kF32, {{270, 1}, {270, 2}}},
      {5, 1, 20, 16, kBF16, kBF16, {{270, 5}, {3, 1}}},
  };
  if (GetParam().on_device()) std::erase_if(cases, [](const Case& c) { return c.head_dim > 256; });
  for (const Case& c : cases) {
    Problem problem(c, random);
    backend->paged_attention(problem.args());
    expect_matches(problem, GetParam(), Queries::kDiffuse);
    if (HasFatalFailure()) return;
  }
}

TEST_P(PagedAttention, FindsEveryPosition) {
  Random random(test_seed(24));
  const auto backend = backend_for(GetParam());
  for (const Case& c : std::vector<Case>{
           {2, 1, 64, 32, kBF16, kF32, {{3936, 64}}},
           {8, 1, 32, 32, kBF16, kF32, {{1, 1}, {63, 1}, {100, 1}, {256, 1}, {1000, 1}, {3999, 1}}},
           {8, 1, 64, 32, kBF16, kF32, {{0, 300}}},
           {6, 1, 96, 32, kBF16, kF32, {{290, 20}, {300, 1}}},
           {4, 2, 128, 32, kBF16, kF32, {{250, 40}, {700, 1}}},
           {2, 1, 256, 32, kBF16, kF32, {{250, 40}, {300, 1}}},
           {4, 1, 64, 32, kF32, kF32, {{230, 60}, {600, 1}}},
           {3, 1, 80, 7, kF32, kF32, {{230, 60}, {600, 1}}},
       }) {
    Problem problem(c, random, Queries::kNeedles);
    backend->paged_attention(problem.args());
    expect_matches(problem, GetParam(), Queries::kNeedles);
    if (HasFatalFailure()) return;
  }
}

TEST_P(PagedAttention, RoundedQueriesStayWithinTheirBound) {
  Random random(test_seed(25));
  const auto backend = backend_for(GetParam());
  for (const Case& c : std::vector<Case>{{4, 2, 64, 32, kBF16, kF32, {{40, 30}, {500, 1}}},
                                         {2, 1, 128, 32, kBF16, kF32, {{40, 30}, {500, 1}}}}) {
    Problem problem(c, random, Queries::kUnrounded);
    backend->paged_attention(problem.args());
    expect_matches(problem, GetParam(), Queries::kUnrounded);
    if (HasFatalFailure()) return;
  }
}

TEST_P(PagedAttention, BitsOfARowDoNotDependOnChunksBatchOrThreads) {
  Random random(test_seed(22));
  // crosses the boundary of a split; the interpreters of kernels get fewer rows
  const std::int64_t context = GetParam().on_device() ? 215 : 0, rows = GetParam().on_device() ? 85 : 600;
  for (const auto& [heads, kv_heads, dim, pages] :
       {std::tuple{9, 3, 64, kBF16}, std::tuple{8, 1, 32, kBF16}, std::tuple{2, 1, 96, kBF16},
        std::tuple{4, 1, 128, kBF16}, std::tuple{2, 2, 256, kBF16}, std::tuple{2, 2, 80, kBF16},
        std::tuple{4, 2, 64, kF32}}) {
    Problem whole({heads, kv_heads, dim, 32, pages, kF32, {{context, rows}}}, random);
    backend_for(GetParam(), kF32, true, 1)->paged_attention(whole.args());
    for (const int threads : GetParam().on_device() ? std::vector{1} : std::vector{1, 2, 3}) {
      const auto backend = backend_for(GetParam(), kF32, true, threads);
      const auto slice_at = [&](std::int64_t first, std::int64_t count) {
        return SequenceSlice{
            .first_row = first, .rows = count, .first_position = context + first, .blocks = whole.tables[0].data()};
      };
      const auto run = [&](const std::vector<SequenceSlice>& slices, GuardedMatrix& out) {
        PagedAttentionArgs args = whole.args();
        args.sequences = slices;
        args.out = out.view();
        backend->paged_attention(args);
      };
      GuardedMatrix out(rows, std::int64_t{heads} * dim, kF32);
      for (std::int64_t first = 0; first < rows;) {
        // several slices of the same sequence in one call stand for a batch
        std::vector<SequenceSlice> slices;
        for (int i = std::uniform_int_distribution<>(1, 5)(random); i > 0 && first < rows; --i) {
          const std::int64_t most = random() % 3 == 0 ? 200 : random() % 2 == 0 ? 20 : 1;
          slices.push_back(slice_at(
              first,
              std::min<std::int64_t>(rows - first, std::uniform_int_distribution<std::int64_t>(1, most)(random))));
          first += slices.back().rows;
        }
        run(slices, out);
      }
      EXPECT_EQ(out.values(), whole.out.values()) << threads << " threads, heads " << heads << " dim " << dim;

      // decode: a row alone, and all of some rows in one batch
      GuardedMatrix single(rows, std::int64_t{heads} * dim, kF32);
      std::vector<SequenceSlice> batch;
      for (std::int64_t r = 1; r < rows; r += 8) batch.push_back(slice_at(r, 1));
      run(batch, single);
      for (const std::int64_t r : {std::int64_t{0}, rows / 2, rows - 1}) {
        batch.push_back(slice_at(r, 1));
        run({batch.back()}, single);
      }
      for (const SequenceSlice& slice : batch)
        for (std::int64_t i = 0; i < out.view().columns; ++i)
          ASSERT_EQ(single.at(slice.first_row, i), whole.out.at(slice.first_row, i))
              << "row " << slice.first_row << " heads " << heads << " dim " << dim;
    }
  }
}

TEST_P(PagedAttention, WhatLiesBehindARowIsNotRead) {
  Random random(test_seed(23));
  for (const DType pages : {kF32, kBF16}) {
    Problem problem({4, 2, 64, 32, pages, kF32, {{60, 30}}}, random);
    const auto backend = backend_for(GetParam());
    backend->paged_attention(problem.args());
    const auto want = problem.out.values();
    // poison the last 10 positions: the rows before them must not change, those that see them must show it
    const std::vector<float> poison(64, std::numeric_limits<float>::quiet_NaN());
    for (std::int64_t t = 80; t < 90; ++t)
      for (int head = 0; head < 2; ++head)
        for (const bool value : {false, true}) problem.cache.put(value, 1, problem.tables[0], t, head, poison.data());
    backend->paged_attention(problem.args());
    const auto got = problem.out.values();
    for (std::size_t i = 0; i < 20 * 4 * 64; ++i) ASSERT_EQ(got[i], want[i]) << i;
    for (std::size_t i = 20 * 4 * 64; i < got.size(); ++i) ASSERT_TRUE(std::isnan(got[i])) << i;
  }
}

TEST_P(PagedAttention, AHeadDimWithoutAKernelIsRefused) {
  Random random(test_seed(26));
  Problem problem({1, 1, 264, 32, kBF16, kF32, {{0, 2}}}, random);
  const auto backend = backend_for(GetParam());
  if (!GetParam().on_device()) {  // its loops take any
    backend->paged_attention(problem.args());
    return expect_matches(problem, GetParam(), Queries::kDiffuse);
  }
  try {
    backend->paged_attention(problem.args());
    FAIL() << "nothing was thrown";
  } catch (const DeviceError& error) {
    EXPECT_STREQ(error.what(), "paged_attention: head_dim 264 has no kernel (1 to 256); run with --device cpu");
  }
}

KVGAUGE_ON_EVERY_EXECUTOR(PagedAttention);

}  // namespace
}  // namespace kvgauge::testing
