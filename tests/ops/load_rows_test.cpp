// A matrix whose rows are stored in several types, as quantized files mix them, against the loader's widening.
#include <bit>

#include "ops_support.h"
#include "stored_rows.h"

namespace kvgauge::testing {
namespace {

class LoadRows : public OnEveryExecutor {};

constexpr std::int64_t kColumns = 256;

TEST_P(LoadRows, TakesEveryRowOnceInWhateverTypeItIsStored) {
  Random random(test_seed(82));
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    if (dtype == DType::kBF16 && !has_bf16_products()) continue;
    const auto backend = backend_for(GetParam(), dtype);
    StoredRows source({{StoredType::kQ4_K, 5},
                       {StoredType::kBF16, 9},
                       {StoredType::kQ6_K, 1},
                       {StoredType::kF32, 3},
                       {StoredType::kQ8_0, 40},
                       {StoredType::kF16, 2}},
                      kColumns, random);
    GuardedMatrix out(source.rows(), kColumns, dtype, 0);
    backend->load_rows(source.rows(), kColumns, source, static_cast<std::byte*>(out.view().data));
    EXPECT_EQ(source.given(), source.rows());
    const std::vector<float> want = rounded(source.widened(), dtype);
    for (std::int64_t r = 0; r < source.rows(); ++r) {
      for (std::int64_t c = 0; c < kColumns; ++c) {
        const float got = out.at(r, c), expected = want[static_cast<std::size_t>(r * kColumns + c)];
        if (std::isnan(expected)) {
          ASSERT_TRUE(std::isnan(got)) << "row " << r << " column " << c;
        } else {
          ASSERT_EQ(std::bit_cast<std::uint32_t>(got), std::bit_cast<std::uint32_t>(expected))
              << "row " << r << " column " << c;
        }
      }
    }
    EXPECT_TRUE(out.intact());
  }
}

KVGAUGE_ON_EVERY_EXECUTOR(LoadRows);

}  // namespace
}  // namespace kvgauge::testing
