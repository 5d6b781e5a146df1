#include "measure/value_grid.h"

#include <gtest/gtest.h>

#include "kvgauge/error.h"

namespace kvgauge {
namespace {

using Values = std::vector<std::int64_t>;
Values grid(const char* text) { return parse_grid("--batch", text, 0, 4096); }

TEST(ValueGrid, ListsAndRanges) {
  EXPECT_EQ(grid("7"), Values({7}));
  EXPECT_EQ(grid("32,1,8"), Values({32, 1, 8}));
  EXPECT_EQ(grid("128-512+128"), Values({128, 256, 384, 512}));
  EXPECT_EQ(grid("128-500+128"), Values({128, 256, 384}));
  EXPECT_EQ(grid("1-32*2"), Values({1, 2, 4, 8, 16, 32}));
  EXPECT_EQ(grid("3-5"), Values({3, 4, 5}));
  EXPECT_EQ(grid("0,1-4*2,2"), Values({0, 1, 2, 4}));
}

TEST(ValueGrid, RefusesWhatIsNoGrid) {
  for (const char* const text : {"", ",", "1,", "a", "1-", "-1", "4-1", "1-4+0", "1-4*1", "0-4*2", "3+1", "1-4+1+1",
                                 "1 ,2", "4097", "1-9999", "99999999999999999999", "1-4*99999999999999999999"})
    EXPECT_THROW(grid(text), UsageError) << text;
  EXPECT_THROW(grid("0-4096"), UsageError);  // 4,097 values
  EXPECT_EQ(parse_grid("-n", "1-9223372036854775807*9223372036854775807", 1, INT64_MAX), Values({1, INT64_MAX}));
  EXPECT_EQ(parse_grid("-n", "9223372036854775807", 1, INT64_MAX), Values({INT64_MAX}));
}

}  // namespace
}  // namespace kvgauge
