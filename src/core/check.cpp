#include "core/check.h"

#include <cstdio>
#include <cstdlib>

namespace kvgauge {

void check_failed(const char* file, int line, const char* condition, const std::string& message) {
  std::fprintf(stderr, "kvgauge: internal error at %s:%d: %s is false: %s\n", file, line, condition, message.c_str());
  std::abort();
}

}  // namespace kvgauge
