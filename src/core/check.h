#pragma once
#include <string>

#include "core/cat.h"

namespace kvgauge {

/// Reports a broken invariant of ours (a programmer error, never reachable from user input) and aborts.
[[noreturn]] void check_failed(const char* file, int line, const char* condition, const std::string& message);

}  // namespace kvgauge

/// Always on. For what must hold at boundaries between modules; user input is checked with exceptions instead.
#define KVGAUGE_CHECK(condition, ...) \
  ((condition) ? void(0) : ::kvgauge::check_failed(__FILE__, __LINE__, #condition, ::kvgauge::cat(__VA_ARGS__)))
