#pragma once
#include <cstdint>

#include "core/host_device.h"

namespace kvgauge {

/// The least number of pieces of size b that hold a; a >= 0, b > 0.
KVGAUGE_HOST_DEVICE constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

}  // namespace kvgauge
