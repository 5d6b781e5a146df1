#pragma once
#include <fmt/format.h>

#include <cstddef>
#include <iterator>
#include <string>
#include <utility>

#include "metrics/interval.h"

namespace kvgauge {

/// fmt::format behind what `out` has already.
template <class... Parts>
void put(std::string& out, fmt::format_string<Parts...> format, Parts&&... parts) {
  fmt::format_to(std::back_inserter(out), format, std::forward<Parts>(parts)...);
}

// Numbers as tables and pages show them; "-" if undefined, never "-0.00".
std::string decimal(double value, int places);
std::string percent(double fraction);                 ///< "12.34" of 0.1234 (half to even on doubles)
std::string percent_range(const Interval& interval);  ///< "12.34 to 56.78"
std::string p_value(double p);                        ///< four decimals, "<0.0001" below

/// A name out of a file in a cell of a Markdown table, cut behind about `limit` bytes.
std::string markdown_cell(const std::string& text, std::size_t limit = 200);

}  // namespace kvgauge
