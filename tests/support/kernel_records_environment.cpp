// Compiled into every test program that runs kernels: a library's object without a caller would not be linked.
#include <gtest/gtest.h>

#include "support/kernel_records.h"

namespace {

class Recording final : public ::testing::Environment {
  void SetUp() override { kvgauge::testing::record_kernels(); }
};
[[maybe_unused]] const auto* const g_recording = ::testing::AddGlobalTestEnvironment(new Recording);

}  // namespace
