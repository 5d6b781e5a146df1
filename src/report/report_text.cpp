#include "report/report_text.h"

#include <cmath>

#include "core/cat.h"
#include "core/printable.h"

namespace kvgauge {

std::string decimal(double value, int places) {
  if (!std::isfinite(value)) return "-";
  const bool is_nothing = std::abs(value) < 0.5 * std::pow(10.0, -places);
  return fmt::format("{:.{}f}", is_nothing ? 0.0 : value, places);
}

std::string percent(double fraction) {
  if (!std::isfinite(fraction)) return "-";
  const std::string text = fmt::format("{:.2f}", 100 * fraction);
  return text == "-0.00" ? "0.00" : text;
}

std::string percent_range(const Interval& interval) {
  return std::isfinite(interval.low) ? cat(percent(interval.low), " to ", percent(interval.high)) : "-";
}

std::string p_value(double p) {
  if (!std::isfinite(p)) return "-";
  return p < 0.0001 ? "<0.0001" : fmt::format("{:.4f}", p);
}

std::string markdown_cell(const std::string& text, std::size_t limit) {
  std::string out;
  for (const char c : printable(text, limit)) {
    if (c == '|' || c == '<') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace kvgauge
