// Products with weights that stay in the codes of a quantized file, on every instruction set.
#include <limits>

#include "core/block_codes.h"
#include "cpu/cpu_backend.h"
#include "ops_support.h"
#include "stored_rows.h"

namespace kvgauge::testing {
namespace {

constexpr StoredType kTypes[] = {StoredType::kQ8_0, StoredType::kQ4_0, StoredType::kQ4_1, StoredType::kQ5_0,
                                 StoredType::kQ5_1, StoredType::kQ4_K, StoredType::kQ5_K, StoredType::kQ6_K};

std::vector<DType> dtypes(CpuIsa isa) {
  return isa >= CpuIsa::kAvx2 ? std::vector{DType::kF32, DType::kBF16} : std::vector{DType::kF32};
}
std::unique_ptr<Backend> coded_backend(CpuIsa isa, DType dtype, int threads = 2) {
  return make_cpu_backend({.threads = threads, .compute_dtype = dtype, .keep_codes = true, .isa = isa});
}

/// A weight by its definition: values in double, and the magnitude |scale (code - offset)| + |shift| of each.
struct Weight {
  std::vector<double> value, magnitude;
};
Weight decoded(StoredRows& rows, StoredType type, std::int64_t columns) {
  const CodeFormat format = *code_format(type);
  const auto row_bytes = stored_bytes(type, static_cast<std::uint64_t>(columns));
  std::vector<std::byte> bytes(static_cast<std::size_t>(rows.rows()) * row_bytes);
  rows.read_stored(0, rows.rows(), bytes.data());
  Weight out;
  const std::int64_t block = block_elements(type);
  const auto block_bytes = stored_bytes(type, static_cast<std::uint64_t>(block));
  BlockCodes codes;
  for (std::size_t at = 0; at < bytes.size(); at += block_bytes) {
    read_block_codes(type, bytes.data() + at, codes);
    for (std::int64_t i = 0; i < block; ++i) {
      const auto group = static_cast<std::size_t>(i / format.group);
      const double scaled = double{codes.scale[group]} * (codes.codes[static_cast<std::size_t>(i)] - format.offset);
      const double shift = format.shifted ? double{codes.shift[group]} : 0;
      out.value.push_back(scaled + shift);
      out.magnitude.push_back(std::abs(scaled) + std::abs(shift));
    }
  }
  return out;
}

/// Activations as the products see them: rounded to 8 bits with one scale for each group of neighbours in a row.
std::vector<double> in_eight_bits(const std::vector<float>& x, int group) {
  std::vector<double> out;
  for (std::size_t first = 0; first < x.size(); first += static_cast<std::size_t>(group)) {
    float largest = 0;
    for (std::size_t i = first; i < first + static_cast<std::size_t>(group); ++i)
      largest = std::max(largest, std::abs(x[i]));
    for (std::size_t i = first; i < first + static_cast<std::size_t>(group); ++i)
      out.push_back(largest == 0 ? 0 : std::nearbyint(x[i] * (127 / largest)) * double{largest / 127});
  }
  return out;
}

class CodedLinear : public ::testing::TestWithParam<CpuIsa> {};

TEST_P(CodedLinear, IsTheProductOfTheCodesInEveryTypeAndShape) {
  Random random(test_seed(91));
  for (const StoredType type : kTypes) {
    const std::int64_t block = block_elements(type);
    for (const DType dtype : dtypes(GetParam())) {
      for (const auto& [rows, features, blocks] :
           {std::array<std::int64_t, 3>{1, 64, 1}, {2, 100, 2}, {3, 200, 3}, {4, 31, 2}, {7, 130, 1}, {200, 97, 2}}) {
        const std::int64_t depth = blocks * block;
        const std::uint64_t seed = random();
        Random once(seed), again(seed);
        StoredRows source({{type, features}}, depth, once), same({{type, features}}, depth, again);
        const Weight weight = decoded(same, type, depth);
        const auto backend = coded_backend(GetParam(), dtype);
        const PackedWeight packed = backend->pack_weight(features, depth, source);
        EXPECT_EQ(source.given(), features);
        auto x = rounded(uniform_floats(random, static_cast<std::size_t>(rows * depth)), dtype);
        std::fill_n(x.begin(), 32, 0.0f);  // a group of nothing
        GuardedMatrix in(rows, depth, dtype, dtype == DType::kBF16 ? 6 : 5), out(rows, features, DType::kF32);
        in.set(x);
        backend->linear({.x = in.view(), .weight = packed, .out = out.view()});
        const auto coded = in_eight_bits(x, code_format(type)->group);
        // K types: scales and shifts are products that f16 rounds. And float steps, one or two for each group.
        const bool rounds = block == 256;
        const double tolerance = (rounds ? 0x1p-11 : 0) + kFloatEps * static_cast<double>(2 * depth / 16 + 8);
        for (std::int64_t r = 0; r < rows; ++r) {
          for (std::int64_t n = 0; n < features; ++n) {
            double want = 0, magnitude = 0;
            for (std::int64_t k = 0; k < depth; ++k) {
              const double a = coded[static_cast<std::size_t>(r * depth + k)];
              want += a * weight.value[static_cast<std::size_t>(n * depth + k)];
              magnitude += std::abs(a) * weight.magnitude[static_cast<std::size_t>(n * depth + k)];
            }
            ASSERT_NEAR(out.at(r, n), want, tolerance * magnitude)
                << kvgauge::name(type) << ' ' << kvgauge::name(dtype) << " [" << rows << ',' << features << ',' << depth
                << "] at " << r << ", " << n;
          }
        }
        EXPECT_TRUE(out.intact());
      }
    }
  }
}

/// Runs of several types, as files mix them; plain rows among them are products of plain numbers.
TEST_P(CodedLinear, ARangeOfAMixedWeightIsThoseFeatures) {
  Random random(test_seed(92));
  constexpr std::int64_t kRows = 9, kDepth = 256;
  for (const DType dtype : dtypes(GetParam())) {
    StoredRows source(
        {{StoredType::kQ4_K, 128}, {StoredType::kQ6_K, 64}, {StoredType::kBF16, 64}, {StoredType::kQ8_0, 70}}, kDepth,
        random);
    const std::vector<float> w = source.widened();
    const auto backend = coded_backend(GetParam(), dtype);
    const PackedWeight packed = backend->pack_weight(source.rows(), kDepth, source);
    const auto x = rounded(uniform_floats(random, kRows * kDepth), dtype);
    GuardedMatrix in(kRows, kDepth, dtype, 8);
    in.set(x);
    for (const auto& [first, count] :
         {std::pair<std::int64_t, std::int64_t>{0, 326}, {64, 64}, {64, 128}, {128, 128}, {192, 134}, {320, 6}}) {
      GuardedMatrix out(kRows, count, DType::kF32);
      backend->linear({.x = in.view(), .weight = packed, .first_feature = first, .out = out.view()});
      for (std::int64_t r = 0; r < kRows; ++r) {
        for (std::int64_t n = 0; n < count; ++n) {
          double want = 0, bound = 0;
          for (std::int64_t k = 0; k < kDepth; ++k) {
            const double value = w[static_cast<std::size_t>((first + n) * kDepth + k)];
            want += double{x[static_cast<std::size_t>(r * kDepth + k)]} * value;
            // half a step of 1/127, rounded bf16 weights, and a K type's scale and shift (at most 2 |value| + 8 here)
            bound += (0.5 / 127 + 0x1p-8) * std::abs(value) + 0x1p-11 * (2 * std::abs(value) + 8);
          }
          ASSERT_NEAR(out.at(r, n), want, bound) << first << " + " << n;
        }
      }
      EXPECT_TRUE(out.intact());
    }
  }
}

TEST_P(CodedLinear, RunsThatEndWithinAPanelAreWidened) {
  Random random(test_seed(93));
  constexpr std::int64_t kRows = 2, kDepth = 64;
  StoredRows source({{StoredType::kQ8_0, 40}, {StoredType::kQ4_0, 30}}, kDepth, random);
  const std::vector<float> w = source.widened();
  const auto backend = coded_backend(GetParam(), DType::kF32);
  const PackedWeight packed = backend->pack_weight(70, kDepth, source);
  const auto x = uniform_floats(random, kRows * kDepth);
  GuardedMatrix in(kRows, kDepth, DType::kF32, 5), out(kRows, 70, DType::kF32);
  in.set(x);
  backend->linear({.x = in.view(), .weight = packed, .out = out.view()});
  for (std::int64_t r = 0; r < kRows; ++r)
    for (std::int64_t n = 0; n < 70; ++n) {
      double want = 0, magnitude = 0;
      for (std::int64_t k = 0; k < kDepth; ++k) {
        const double term =
            double{x[static_cast<std::size_t>(r * kDepth + k)]} * double{w[static_cast<std::size_t>(n * kDepth + k)]};
        want += term;
        magnitude += std::abs(term);
      }
      ASSERT_NEAR(out.at(r, n), want, 2 * (kDepth + 1) * kFloatEps * magnitude);
    }
}

TEST_P(CodedLinear, ARowHasTheSameBitsInAnyBatch) {
  Random random(test_seed(94));
  for (const StoredType type : {StoredType::kQ8_0, StoredType::kQ4_1, StoredType::kQ6_K}) {
    constexpr std::int64_t kRows = 205, kFeatures = 130, kDepth = 512;
    StoredRows source({{type, kFeatures}}, kDepth, random);
    const auto backend = coded_backend(GetParam(), DType::kF32);
    const PackedWeight packed = backend->pack_weight(kFeatures, kDepth, source);
    GuardedMatrix in(kRows, kDepth, DType::kF32, 6), all(kRows, kFeatures, DType::kF32);
    in.set(uniform_floats(random, kRows * kDepth));
    backend->linear({.x = in.view(), .weight = packed, .out = all.view()});
    for (std::int64_t first = 0; first < kRows;) {
      const std::int64_t count = std::min<std::int64_t>(kRows - first, std::uniform_int_distribution<>(1, 40)(random));
      GuardedMatrix part(count, kFeatures, DType::kF32);
      MatrixView rows = in.view();
      rows.data = static_cast<float*>(rows.data) + first * rows.stride;
      rows.rows = count;
      backend->linear({.x = rows, .weight = packed, .out = part.view()});
      for (std::int64_t r = 0; r < count; ++r)
        for (std::int64_t n = 0; n < kFeatures; ++n) ASSERT_EQ(part.at(r, n), all.at(first + r, n));
      first += count;
    }
  }
}

TEST_P(CodedLinear, WhatIsNotFiniteStaysSoInItsRowAlone) {
  Random random(test_seed(95));
  for (const StoredType type : {StoredType::kQ8_0, StoredType::kQ4_1}) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity()}) {
      StoredRows source({{type, 64}}, 96, random);
      const auto backend = coded_backend(GetParam(), DType::kF32);
      const PackedWeight packed = backend->pack_weight(64, 96, source);
      auto x = uniform_floats(random, 3 * 96);
      x[96 + static_cast<std::size_t>(random() % 96)] = bad;
      GuardedMatrix in(3, 96, DType::kF32, 5), out(3, 64, DType::kF32);
      in.set(x);
      backend->linear({.x = in.view(), .weight = packed, .out = out.view()});
      for (std::int64_t n = 0; n < 64; ++n) {
        EXPECT_TRUE(std::isfinite(out.at(0, n)));
        EXPECT_FALSE(std::isfinite(out.at(1, n)));
        EXPECT_TRUE(std::isfinite(out.at(2, n)));
      }
    }
  }
}

TEST(CodedLinearMemory, EightBitsTakeHalfOfBf16) {
  Random random(test_seed(96));
  StoredRows source({{StoredType::kQ8_0, 640}}, 512, random);
  const auto backend = coded_backend(supported_isas().back(), DType::kF32);
  backend->pack_weight(640, 512, source);
  EXPECT_EQ(backend->packed_bytes(), 640u * 512 * 34 / 32);  // a byte each, and two for 32 of them
}

INSTANTIATE_TEST_SUITE_P(Isa, CodedLinear, ::testing::ValuesIn(supported_isas()),
                         [](const auto& test) { return std::string(name(test.param)); });

}  // namespace
}  // namespace kvgauge::testing
