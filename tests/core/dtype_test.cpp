#include "core/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/json.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

using testing::read_file;
using testing::repo_path;

TEST(Bf16, MatchesTheGoldenRounding) {
  const Json cases = parse_json(read_file(repo_path("tests/golden/bf16.json")), "bf16.json");
  ASSERT_GT(cases.size(), 10u);
  for (const Json& c : cases) {
    const auto f32 = static_cast<std::uint32_t>(std::stoul(c["f32_bits"].get<std::string>(), nullptr, 16));
    const auto want = static_cast<std::uint16_t>(std::stoul(c["bf16_bits"].get<std::string>(), nullptr, 16));
    EXPECT_EQ(to_bf16(std::bit_cast<float>(f32)).bits, want) << c.dump();
  }
}

TEST(Bf16, KeepsNanAndEveryBf16Value) {
  EXPECT_TRUE(std::isnan(to_float(to_bf16(std::numeric_limits<float>::quiet_NaN()))));
  EXPECT_TRUE(std::isnan(to_float(to_bf16(std::bit_cast<float>(0x7f800001u)))));  // payload in the low half only
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const bf16_t x{static_cast<std::uint16_t>(bits)};
    if (!std::isnan(to_float(x))) {
      EXPECT_EQ(to_bf16(to_float(x)).bits, x.bits);
    }
  }
}

TEST(Half, RoundTripsEveryValueAndRoundsTiesToEven) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const half_t x{static_cast<std::uint16_t>(bits)};
    if (!std::isnan(to_float(x))) {
      EXPECT_EQ(to_half(to_float(x)).bits, x.bits) << bits;
    }
  }
  EXPECT_EQ(to_half(1.0f + 0x1p-11f).bits, 0x3c00);             // tie to even: down
  EXPECT_EQ(to_half(1.0f + 0x1p-10f + 0x1p-11f).bits, 0x3c02);  // tie to even: up
  EXPECT_EQ(to_half(65519.0f).bits, 0x7bff);
  EXPECT_EQ(to_half(65520.0f).bits, 0x7c00);
  EXPECT_EQ(to_half(-0x1p-25f).bits, 0x8000);  // half of the smallest subnormal: tie to zero
  EXPECT_TRUE(std::isnan(to_float(to_half(std::numeric_limits<float>::quiet_NaN()))));
}

}  // namespace
}  // namespace kvgauge
