#pragma once
// What the emulator's own tests share.
#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cuda/device.cuh"
#include "device_array.h"
#include "emulator_control.h"
#include "kvgauge/error.h"

namespace kvgauge::testing {

namespace emulator = cuda::emulator;

/// A fresh device, fibres as the executor, forward order.
class EmulatorTest : public ::testing::Test {
 protected:
  void SetUp() override { start_again(); }
  void TearDown() override { start_again(); }
  static void start_again() {
    emulator::set_executor("", {});
    emulator::set_order(emulator::Order::kForward);
    emulator::set_every_order(false);
    emulator::set_device_count(1);
  }
};

/// Kernels that race end this build's programs; emulator_races runs them one by one.
#if defined(__SANITIZE_THREAD__)
inline constexpr bool kRacesAreReported = true;
#else
inline constexpr bool kRacesAreReported = false;
#endif

inline constexpr emulator::Order kOrders[] = {emulator::Order::kForward, emulator::Order::kReverse,
                                              emulator::Order::kRandom};

/// Expects that waiting finds the fault, and that its text names what is given.
inline void expect_fault(emulator::FaultKind kind, const std::vector<std::string>& parts) {
  EXPECT_NE(cudaDeviceSynchronize(), cudaSuccess);
  const auto fault = emulator::last_fault();
  ASSERT_TRUE(fault.has_value());
  EXPECT_EQ(fault->kind, kind) << fault->text;
  for (const std::string& part : parts)
    EXPECT_NE(fault->text.find(part), std::string::npos) << part << " in: " << fault->text;
}

}  // namespace kvgauge::testing
