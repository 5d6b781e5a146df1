#pragma once
// KVGAUGE_EMULATOR_ASAN where the address sanitizer is on, under either compiler. (KVGAUGE_EMULATOR_TSAN comes from
// CMake.)
#if defined(__SANITIZE_ADDRESS__)
#define KVGAUGE_EMULATOR_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KVGAUGE_EMULATOR_ASAN 1
#endif
#endif
