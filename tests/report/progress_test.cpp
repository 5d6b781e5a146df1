#include "report/progress.h"

#include <gtest/gtest.h>

namespace kvgauge {
namespace {

TEST(ProgressText, ShowsRowsRateAndRemainingTime) {
  EXPECT_EQ(progress_text(12, 100, 0, 3450, 10), "done 12/100 rows, 345 tok/s, ETA 1:13");
  EXPECT_EQ(progress_text(12, std::nullopt, 0, 100, 10), "done 12 rows, 10 tok/s");
  EXPECT_EQ(progress_text(100, 100, 0, 100, 10), "done 100/100 rows, 10 tok/s");
}

TEST(ProgressText, ResumedRowsDoNotCountAsSpeed) {
  EXPECT_EQ(progress_text(60, 100, 50, 10, 10), "done 60/100 rows, 1 tok/s, ETA 0:40");
  EXPECT_EQ(progress_text(50, 100, 50, 0, 10), "done 50/100 rows, 0 tok/s") << "nothing done yet: no forecast";
}

TEST(ProgressText, HoursAreShown) {
  EXPECT_EQ(progress_text(1, 3601, 0, 0, 1), "done 1/3601 rows, 0 tok/s, ETA 1:00:00");
}

}  // namespace
}  // namespace kvgauge
