#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kvgauge {

struct PlotPoint {
  double x = 0, y = 0;
};

/// A linear axis. What is written at a tick is its value times `unit`.
struct PlotAxis {
  std::string label = {};  ///< with its unit
  double low = 0, high = 1;
  std::vector<double> ticks = {};
  double unit = 1;
};
PlotAxis percent_axis(std::string label);  ///< 0 to 1, written 0 to 100
/// Ends and four to seven ticks at round numbers around [low, high]; any finite numbers, also equal ones.
/// Where nothing was there to be measured (low > high, or not a number): 0 to 1.
PlotAxis round_axis(std::string label, double low, double high);
std::string tick_text(const PlotAxis& axis, double tick);

struct PlotSize {
  double width = 270, height = 194;
};

/// An inline SVG figure with axes, grid, title and description for screen readers. Its colours are classes of the
/// report's style sheet: c0..c7 and, for lines, d0..d7 as dash patterns. Points outside the axes are drawn at their
/// edge.
class SvgPlot {
 public:
  /// @param id unique in the document. @param title,description plain text, escaped here
  SvgPlot(int id, std::string_view title, std::string_view description, PlotAxis x, PlotAxis y, PlotSize size = {});

  void line(std::span<const PlotPoint> points, std::string_view classes);
  void area(std::span<const PlotPoint> points, std::string_view classes);  ///< down to the bottom of the plot
  void dots(std::span<const PlotPoint> points, double diameter, std::string_view classes);
  void bar(double x, double low, double high, std::string_view classes);  ///< a vertical interval with caps
  std::string finish();

 private:
  double at_x(double x) const;
  double at_y(double y) const;
  std::string path(std::span<const PlotPoint> points) const;

  PlotAxis x_, y_;
  double left_, right_, top_, bottom_;
  std::string out_;
};

/// A row of dots with horizontal intervals, one for each thing that is compared.
struct ForestDot {
  double value = 0, low = 0, high = 0;  ///< NaN: not drawn
  std::string classes;
};
struct ForestRow {
  std::string label;  ///< plain text, escaped here
  std::vector<ForestDot> dots;
};
/// @param marks vertical lines, each at a value
std::string svg_forest(int id, std::string_view title, std::string_view description, const PlotAxis& x,
                       std::span<const ForestRow> rows, std::span<const double> marks);

/// A horizontal bar of parts, one behind another.
struct StackedBar {
  std::string label;          ///< plain text, escaped here
  std::vector<double> parts;  ///< finite, not negative
};
/// @param classes colours of the parts. @param x from 0
std::string svg_stacked_bars(int id, std::string_view title, std::string_view description, const PlotAxis& x,
                             std::span<const StackedBar> bars, std::span<const std::string> classes);

/// A sample of a line or dot for a legend.
std::string svg_swatch(std::string_view classes, bool dot);

}  // namespace kvgauge
