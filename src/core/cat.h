#pragma once
#include <fmt/format.h>

#include <iterator>
#include <string>

namespace kvgauge {

/// Concatenates the parts as text: cat("page ", 3, " of ", 4.5) == "page 3 of 4.5".
template <class... Parts>
std::string cat(const Parts&... parts) {
  std::string out;
  (fmt::format_to(std::back_inserter(out), "{}", parts), ...);
  return out;
}

/// Joins the elements of a range: join({2, 3}, ",") == "2,3".
template <class Range>
std::string join(const Range& range, const char* separator = ",") {
  return fmt::format("{}", fmt::join(range, separator));
}

}  // namespace kvgauge
