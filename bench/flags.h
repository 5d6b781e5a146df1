#pragma once
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "kvgauge/error.h"

namespace kvgauge::bench {

/// A flag and what its value is put into.
struct Flag {
  std::string name;
  std::function<void(const std::string&)> put;
};

inline Flag text_flag(std::string name, std::string& to) {
  return {std::move(name), [&to](const std::string& value) { to = value; }};
}
/// A whole number; what is below `least` counts as `least`.
template <class Number>
Flag count_flag(std::string name, Number& to, std::int64_t least = 1) {
  return {std::move(name), [&to, least](const std::string& value) {
            to = static_cast<Number>(std::max<std::int64_t>(least, std::atoll(value.c_str())));
          }};
}

/// Reads `--flag value ...` and calls `run`; what goes wrong becomes one line. @return of main()
inline int run_bench(const char* program, int argc, char** argv, const std::vector<Flag>& flags,
                     const std::function<void()>& run) {
  try {
    for (int i = 1; i < argc; i += 2) {
      const std::string name = argv[i];
      const auto flag = std::find_if(flags.begin(), flags.end(), [&](const Flag& f) { return f.name == name; });
      if (flag == flags.end()) {
        std::string known;
        for (const Flag& f : flags) known += (known.empty() ? "" : ", ") + f.name;
        throw UsageError(fmt::format("{}: '{}' is unknown; one of {} was needed", program, name, known));
      }
      if (i + 1 >= argc) throw UsageError(fmt::format("{}: '{}' lacks its value", program, name));
      flag->put(argv[i + 1]);
    }
    run();
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "kvgauge: %s\n", error.what());
    return 2;
  }
}

}  // namespace kvgauge::bench
