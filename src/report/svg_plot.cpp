#include "report/svg_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/html_text.h"
#include "report/report_text.h"

namespace kvgauge {
namespace {

constexpr double kLeft = 46, kRight = 12, kTop = 8, kBottom = 40;  // margins, in units of the view box

std::string opening(int id, std::string_view title, std::string_view description, double width, double height) {
  std::string out;
  put(out,
      "<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-labelledby=\"t{} d{}\">"
      "<title id=\"t{}\">{}</title><desc id=\"d{}\">{}</desc>",
      width, height, id, id, id, html_text(title), id, html_text(description, 2000));
  return out;
}

// 1, 2 or 5 times a power of ten, at least `least`.
double round_step(double least) {
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= least * (1 - 1e-9)) return factor * power;
  return 10 * power;
}

// The frame that rows of names and values stand in: the grid, ticks and label of the axis below.
class RowFrame {
 public:
  static constexpr double kWidth = 900, kNames = 235, kEnd = kWidth - 14, kRow = 19, kHead = 6;

  RowFrame(const PlotAxis& x, std::size_t rows) : x_(x), bottom_(kHead + kRow * static_cast<double>(rows)) {}
  double at(double v) const {
    return kNames + (kEnd - kNames) * std::clamp((v - x_.low) / (x_.high - x_.low), 0.0, 1.0);
  }
  double bottom() const { return bottom_; }
  std::string begin(int id, std::string_view title, std::string_view description) const {
    std::string out = opening(id, title, description, kWidth, bottom_ + 38);
    for (const double tick : x_.ticks) {
      put(out, "<line class=\"grid\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\"/>", at(tick), kHead,
          bottom_);
      put(out, "<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"mid\">{}</text>", at(tick), bottom_ + 14, tick_text(x_, tick));
    }
    put(out, "<path class=\"axis\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>", kNames, bottom_, kEnd);
    put(out, "<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"mid label\">{}</text>", (kNames + kEnd) / 2, bottom_ + 31,
        html_text(x_.label));
    return out;
  }
  static std::string name(const std::string& label, double y) {
    return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"end\">{}</text>", kNames - 8, y + 3.5,
                       html_text(label, 38));
  }

 private:
  const PlotAxis& x_;
  double bottom_;
};

}  // namespace

PlotAxis percent_axis(std::string label) {
  return {.label = std::move(label), .low = 0, .high = 1, .ticks = {0, 0.2, 0.4, 0.6, 0.8, 1}, .unit = 100};
}

PlotAxis round_axis(std::string label, double low, double high) {
  constexpr double kLargest = 1e150;  // differences and powers of what is drawn stay finite
  low = std::clamp(low, -kLargest, kLargest);
  high = std::clamp(high, -kLargest, kLargest);
  if (!(low <= high)) low = 0, high = 1;
  const double size = std::max(std::abs(low), std::abs(high));
  if (!(high - low > 1e-9 * size)) {  // one value, or as good as one
    const double half = size > 0 ? 0.1 * size : 1;
    low -= half;
    high += half;
  }
  const double step = round_step((high - low) / 5);
  const double first = std::floor(low / step + 1e-9), last = std::ceil(high / step - 1e-9);
  PlotAxis axis{.label = std::move(label), .low = first * step, .high = last * step};
  for (int i = 0; i <= static_cast<int>(std::min(last - first, 12.0)); ++i) axis.ticks.push_back((first + i) * step);
  return axis;
}

std::string tick_text(const PlotAxis& axis, double tick) {
  const double step = axis.ticks.size() > 1 ? (axis.ticks[1] - axis.ticks[0]) * axis.unit : 1;
  const double value = tick * axis.unit;
  if (!(step >= 1e-4 && step < 1e6)) return fmt::format("{:.3g}", value);
  const int decimals = std::max(0, static_cast<int>(std::ceil(-std::log10(step) - 1e-9)));
  std::string text = fmt::format("{:.{}f}", value, decimals);
  if (text.find_first_not_of("-0.") == std::string::npos && text[0] == '-') text.erase(0, 1);
  return text;
}

SvgPlot::SvgPlot(int id, std::string_view title, std::string_view description, PlotAxis x, PlotAxis y, PlotSize size)
    : x_(std::move(x)),
      y_(std::move(y)),
      left_(kLeft),
      right_(size.width - kRight),
      top_(kTop),
      bottom_(size.height - kBottom),
      out_(opening(id, title, description, size.width, size.height)) {
  for (const double tick : x_.ticks)
    put(out_, "<line class=\"grid\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\"/>", at_x(tick), top_,
        bottom_);
  for (const double tick : y_.ticks)
    put(out_, "<line class=\"grid\" x1=\"{1:.1f}\" x2=\"{2:.1f}\" y1=\"{0:.1f}\" y2=\"{0:.1f}\"/>", at_y(tick), left_,
        right_);
  put(out_, "<path class=\"axis\" d=\"M{:.1f} {:.1f}V{:.1f}H{:.1f}\"/>", left_, top_, bottom_, right_);
  for (const double tick : x_.ticks)
    put(out_, "<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"mid\">{}</text>", at_x(tick), bottom_ + 14, tick_text(x_, tick));
  for (const double tick : y_.ticks)
    put(out_, "<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"end\">{}</text>", left_ - 5, at_y(tick) + 3.5,
        tick_text(y_, tick));
  put(out_, "<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"mid label\">{}</text>", (left_ + right_) / 2, bottom_ + 31,
      html_text(x_.label, 60));
  put(out_, "<text transform=\"translate(11 {:.1f}) rotate(-90)\" class=\"mid label\">{}</text>", (top_ + bottom_) / 2,
      html_text(y_.label, 60));
}

double SvgPlot::at_x(double x) const {
  return left_ + (right_ - left_) * std::clamp((x - x_.low) / (x_.high - x_.low), 0.0, 1.0);
}

double SvgPlot::at_y(double y) const {
  return bottom_ - (bottom_ - top_) * std::clamp((y - y_.low) / (y_.high - y_.low), 0.0, 1.0);
}

// Points that are nearer than half a unit to the one before are left out, the last one never.
std::string SvgPlot::path(std::span<const PlotPoint> points) const {
  std::string d;
  double x = 0, y = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const double next_x = at_x(points[i].x), next_y = at_y(points[i].y);
    if (i > 0 && i + 1 < points.size() && std::abs(next_x - x) < 0.5 && std::abs(next_y - y) < 0.5) continue;
    x = next_x;
    y = next_y;
    put(d, "{}{:.1f} {:.1f}", i == 0 ? "M" : "L", x, y);
  }
  return d;
}

void SvgPlot::line(std::span<const PlotPoint> points, std::string_view classes) {
  if (!points.empty()) put(out_, "<path class=\"line {}\" d=\"{}\"/>", classes, path(points));
}

void SvgPlot::area(std::span<const PlotPoint> points, std::string_view classes) {
  if (points.empty()) return;
  put(out_, "<path class=\"area {}\" d=\"{}V{:.1f}H{:.1f}Z\"/>", classes, path(points), bottom_,
      at_x(points.front().x));
}

void SvgPlot::dots(std::span<const PlotPoint> points, double diameter, std::string_view classes) {
  if (points.empty()) return;
  std::string d;  // strokes of no length with round ends
  for (const PlotPoint& p : points) put(d, "M{:.1f} {:.1f}h0", at_x(p.x), at_y(p.y));
  put(out_, "<path class=\"dots {}\" style=\"stroke-width:{:.1f}\" d=\"{}\"/>", classes, diameter, d);
}

void SvgPlot::bar(double x, double low, double high, std::string_view classes) {
  put(out_, "<path class=\"line thin {0}\" d=\"M{1:.1f} {2:.1f}h5m-2.5 0V{3:.1f}m-2.5 0h5\"/>", classes, at_x(x) - 2.5,
      at_y(high), at_y(low));
}

std::string SvgPlot::finish() { return std::move(out_) + "</svg>"; }

std::string svg_forest(int id, std::string_view title, std::string_view description, const PlotAxis& x,
                       std::span<const ForestRow> rows, std::span<const double> marks) {
  const RowFrame frame(x, rows.size());
  const auto at = [&](double v) { return frame.at(v); };
  std::string out = frame.begin(id, title, description);
  for (std::size_t i = 0; i < marks.size(); ++i)
    if (std::isfinite(marks[i]))
      put(out, "<line class=\"mark m{3}\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\"/>", at(marks[i]),
          RowFrame::kHead, frame.bottom(), i);
  double y = RowFrame::kHead + RowFrame::kRow / 2;
  for (const ForestRow& row : rows) {
    out += RowFrame::name(row.label, y);
    double shift = row.dots.size() > 1 ? -3 : 0;
    for (const ForestDot& dot : row.dots) {
      if (std::isfinite(dot.low) && std::isfinite(dot.high))
        put(out, "<path class=\"line {}\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>", dot.classes, at(dot.low), y + shift,
            at(dot.high));
      if (std::isfinite(dot.value))
        put(out, "<circle class=\"dot {}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\"/>", dot.classes, at(dot.value),
            y + shift);
      shift += 6;
    }
    y += RowFrame::kRow;
  }
  return out + "</svg>";
}

std::string svg_stacked_bars(int id, std::string_view title, std::string_view description, const PlotAxis& x,
                             std::span<const StackedBar> bars, std::span<const std::string> classes) {
  const RowFrame frame(x, bars.size());
  std::string out = frame.begin(id, title, description);
  double y = RowFrame::kHead + RowFrame::kRow / 2;
  for (const StackedBar& bar : bars) {
    out += RowFrame::name(bar.label, y);
    double from = 0;
    for (std::size_t i = 0; i < bar.parts.size(); ++i) {
      const double to = from + bar.parts[i], begin = frame.at(from);
      if (to > from)
        put(out, "<rect class=\"part {}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"12\"/>",
            classes[i % classes.size()], begin, y - 6, frame.at(to) - begin);
      from = to;
    }
    y += RowFrame::kRow;
  }
  return out + "</svg>";
}

std::string svg_swatch(std::string_view classes, bool dot) {
  return dot ? fmt::format(
                   "<svg class=\"swatch\" viewBox=\"0 0 26 10\" aria-hidden=\"true\"><circle class=\"dot {}\" "
                   "cx=\"13\" cy=\"5\" r=\"3.5\"/></svg>",
                   classes)
             : fmt::format(
                   "<svg class=\"swatch\" viewBox=\"0 0 26 10\" aria-hidden=\"true\"><path class=\"line {}\" "
                   "d=\"M1 5H25\"/></svg>",
                   classes);
}

}  // namespace kvgauge
