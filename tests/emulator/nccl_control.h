#pragma once
#include <chrono>
#include <cstdint>

namespace kvgauge::cuda::emulator {

/// How long a rank waits for the others before its call fails with what is missing; 10 s unless set. The vendor's
/// library waits forever.
void set_nccl_patience(std::chrono::milliseconds patience);
std::int64_t live_communicators();

}  // namespace kvgauge::cuda::emulator
