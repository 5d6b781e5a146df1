#include "reference/linear.h"

#include "ops_support.h"

namespace kvgauge::testing {
namespace {

class Linear : public OnEveryExecutor {};

constexpr std::uint64_t kDeviceMemory = std::uint64_t{160} << 20;  // the workspace of products takes 32 MiB of it

PackedWeight pack(Backend& backend, const std::vector<float>& weight, std::int64_t rows, std::int64_t columns) {
  std::int64_t next = 0;
  const PackedWeight packed = pack_made(backend, rows, columns, [&](std::int64_t first, std::int64_t count, void* out) {
    EXPECT_EQ(first, next);
    next = first + count;
    const std::vector<float> part(weight.begin() + first * columns, weight.begin() + next * columns);
    const auto bytes = stored(part, backend.compute_dtype());
    std::memcpy(out, bytes.data(), bytes.size());
  });
  EXPECT_EQ(next, rows);
  return packed;
}

struct Case {
  std::int64_t rows, columns, depth;
};
// none of the widths is a multiple of the 64 features of a panel except where the name of a real model stands
const std::vector<Case> kCases = {{1, 1, 1},    {1, 7, 3},     {2, 33, 5},    {3, 64, 16},   {5, 65, 31},  {6, 100, 64},
                                  {7, 31, 128}, {13, 130, 77}, {33, 96, 192}, {200, 70, 50}, {8, 960, 576}};

void expect_matches(const Executor& executor, DType dtype, bool batch_invariant, const Case& shape, Random& random) {
  const auto backend = backend_for(executor, dtype, batch_invariant, 2, kDeviceMemory);
  const auto x = rounded(uniform_floats(random, static_cast<std::size_t>(shape.rows * shape.depth)), dtype);
  const auto w = rounded(uniform_floats(random, static_cast<std::size_t>(shape.columns * shape.depth)), dtype);
  const PackedWeight packed = pack(*backend, w, shape.columns, shape.depth);
  GuardedMatrix in(shape.rows, shape.depth, dtype, dtype == DType::kBF16 ? 6 : 5),
      out(shape.rows, shape.columns, DType::kF32);
  in.set(x);
  backend->warm_up(shape.rows, 64);
  backend->linear({.x = in.view(), .weight = packed, .out = out.view()});
  const auto want = reference_linear(x, w, shape.rows, shape.columns, shape.depth);
  const auto got = out.values();
  for (std::size_t i = 0; i < got.size(); ++i) {
    // one chain (or several shorter ones) of `depth` roundings, each at most eps of a partial sum <= magnitude;
    // a pair product may round its parts separately
    const double tolerance = 2 * (static_cast<double>(shape.depth) + 1) * kFloatEps * want.magnitude[i];
    ASSERT_NEAR(got[i], want.out[i], tolerance) << name(executor) << ' ' << name(dtype) << " [" << shape.rows << ','
                                                << shape.columns << ',' << shape.depth << "] at " << i;
  }
  EXPECT_TRUE(out.intact());
}

TEST_P(Linear, MatchesTheReferenceInEveryShapeAndType) {
  Random random(test_seed(11));
  for (const bool batch_invariant : {true, false})
    for (const Case& shape : kCases) {
      expect_matches(GetParam(), DType::kF32, batch_invariant, shape, random);
      if (has_bf16_products()) expect_matches(GetParam(), DType::kBF16, batch_invariant, shape, random);
    }
}

TEST_P(Linear, ARangeOfFeaturesIsThoseFeatures) {
  Random random(test_seed(14));
  constexpr std::int64_t kRows = 9, kColumns = 200, kDepth = 96;
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    if (dtype == DType::kBF16 && !has_bf16_products()) continue;
    const auto backend = backend_for(GetParam(), dtype, false, 2, kDeviceMemory);
    const auto x = rounded(uniform_floats(random, kRows * kDepth), dtype);
    const auto w = rounded(uniform_floats(random, kColumns * kDepth), dtype);
    const PackedWeight packed = pack(*backend, w, kColumns, kDepth);
    GuardedMatrix in(kRows, kDepth, dtype, dtype == DType::kBF16 ? 6 : 5);
    in.set(x);
    const auto want = reference_linear(x, w, kRows, kColumns, kDepth);
    for (const auto& [first, count] : {std::pair<std::int64_t, std::int64_t>{0, 64}, {64, 128}, {128, 72}, {192, 8}}) {
      GuardedMatrix out(kRows, count, DType::kF32);
      backend->linear({.x = in.view(), .weight = packed, .first_feature = first, .out = out.view()});
      backend->wait();
      for (std::int64_t r = 0; r < kRows; ++r) {
        for (std::int64_t c = 0; c < count; ++c) {
          const auto at = static_cast<std::size_t>(r * kColumns + first + c);
          ASSERT_NEAR(out.at(r, c), want.out[at], 2 * (kDepth + 1) * kFloatEps * want.magnitude[at])
              << first << " + " << c;
        }
      }
      EXPECT_TRUE(out.intact());
    }
  }
}

TEST_P(Linear, ARowHasTheSameBitsInAnyBatch) {
  Random random(test_seed(12));
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    if (dtype == DType::kBF16 && !has_bf16_products()) continue;
    const auto backend = backend_for(GetParam(), dtype, true, 1, kDeviceMemory);
    constexpr std::int64_t kRows = 250, kColumns = 130, kDepth = 300;
    const PackedWeight packed = pack(*backend, uniform_floats(random, kColumns * kDepth), kColumns, kDepth);
    GuardedMatrix in(kRows, kDepth, dtype, 6), all(kRows, kColumns, DType::kF32);
    in.set(uniform_floats(random, kRows * kDepth));
    backend->linear({.x = in.view(), .weight = packed, .out = all.view()});
    for (std::int64_t first = 0; first < kRows;) {
      const std::int64_t count = std::min<std::int64_t>(kRows - first, std::uniform_int_distribution<>(1, 40)(random));
      GuardedMatrix part(count, kColumns, DType::kF32);
      MatrixView rows = in.view();
      rows.data = static_cast<std::byte*>(rows.data) + first * rows.stride * static_cast<std::int64_t>(size_of(dtype));
      rows.rows = count;
      backend->linear({.x = rows, .weight = packed, .out = part.view()});
      for (std::int64_t r = 0; r < count; ++r)
        for (std::int64_t c = 0; c < kColumns; ++c)
          ASSERT_EQ(part.at(r, c), all.at(first + r, c)) << "row " << first + r << " in a batch of " << count;
      first += count;
    }
  }
}

/// Our panels handed to oneDNN as its layout BA16a64b2a; where the processor has AMX this is the default for many rows.
TEST(LinearOneDnn, ReadsOurPanelsAndMatchesTheReference) {
  if (supported_isas().back() < CpuIsa::kAvx512Bf16) GTEST_SKIP() << "needs AVX-512 BF16";
  Random random(test_seed(13));
  const auto backend = make_cpu_backend(
      {.threads = 2, .compute_dtype = DType::kBF16, .batch_invariant = false, .isa = {}, .onednn = true});
  for (const auto& [columns, depth] :
       {std::pair<std::int64_t, std::int64_t>{960, 576}, {130, 96}, {64, 40}, {70, 50}, {100, 77}}) {
    const auto w = rounded(uniform_floats(random, static_cast<std::size_t>(columns * depth)), DType::kBF16);
    const PackedWeight packed = pack(*backend, w, columns, depth);
    backend->warm_up(300, 64);
    for (const std::int64_t rows : {1, 8, 13, 16, 75, 128, 300}) {
      const auto x = rounded(uniform_floats(random, static_cast<std::size_t>(rows * depth)), DType::kBF16);
      GuardedMatrix in(rows, depth, DType::kBF16, 0), out(rows, columns, DType::kF32, 0);
      in.set(x);
      backend->linear({.x = in.view(), .weight = packed, .out = out.view()});
      const auto want = reference_linear(x, w, rows, columns, depth);
      const auto got = out.values();
      for (std::size_t i = 0; i < got.size(); ++i)
        ASSERT_NEAR(got[i], want.out[i], 2 * (static_cast<double>(depth) + 1) * kFloatEps * want.magnitude[i])
            << '[' << rows << ',' << columns << ',' << depth << "] at " << i;
      EXPECT_TRUE(out.intact());
    }
  }
}

KVGAUGE_ON_EVERY_EXECUTOR(Linear);

}  // namespace
}  // namespace kvgauge::testing
