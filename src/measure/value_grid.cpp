#include "measure/value_grid.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "core/cat.h"
#include "core/printable.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace {

std::optional<std::int64_t> number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

struct Range {
  std::int64_t first = 0, last = 0, step = 1;
  bool multiplies = false;
};

std::optional<Range> range_of(std::string_view item) {
  Range range;
  if (const std::size_t sign = item.find_first_of("+*"); sign != std::string_view::npos) {
    const auto step = number(item.substr(sign + 1));
    range.multiplies = item[sign] == '*';
    if (!step || *step < (range.multiplies ? 2 : 1) || item.find('-') == std::string_view::npos) return std::nullopt;
    range.step = *step;
    item = item.substr(0, sign);
  }
  const std::size_t dash = item.find('-');
  const auto first = number(item.substr(0, dash)),
             last = dash == std::string_view::npos ? first : number(item.substr(dash + 1));
  if (!first || !last || *first > *last || (range.multiplies && *first == 0)) return std::nullopt;
  range.first = *first;
  range.last = *last;
  return range;
}

}  // namespace

std::vector<std::int64_t> parse_grid(std::string_view flag, std::string_view text, std::int64_t least,
                                     std::int64_t most) {
  const auto wrong = [&](const std::string& needed) {
    return UsageError(cat(flag, ": found '", printable(text), "', ", needed, " was needed"));
  };
  std::vector<std::int64_t> values;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const auto range = range_of(text.substr(at, comma - at));
    if (!range) throw wrong("a list such as 1,8,32, 128-512+128 or 1-32*2");
    if (range->first < least || range->last > most) throw wrong(cat("values from ", least, " to ", most));
    for (std::int64_t value = range->first;;) {
      if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
      if (std::ssize(values) > kMostGridValues) throw wrong(cat("at most ", kMostGridValues, " values"));
      if (value > (range->multiplies ? range->last / range->step : range->last - range->step)) break;
      value = range->multiplies ? value * range->step : value + range->step;
    }
    at = comma + 1;
  }
  return values;
}

}  // namespace kvgauge
