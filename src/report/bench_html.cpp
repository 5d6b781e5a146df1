#include "report/bench_html.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/cat.h"
#include "report/build_info.h"
#include "report/evaluation_style.h"
#include "report/html_figure.h"
#include "report/html_table.h"
#include "report/html_text.h"
#include "report/report_text.h"
#include "report/svg_plot.h"

namespace kvgauge {
namespace {

constexpr int kColours = 6;
std::string series(std::size_t i) { return fmt::format("c{0} d{0}", i % kColours); }

double number(const OrderedJson& row, const std::string& field) {
  const auto at = row.find(field);
  return at != row.end() && at->is_number() ? at->get<double>() : NAN;
}

// A row's range: a field that is an array of two numbers.
std::pair<double, double> range(const OrderedJson& row, const BenchFigure& figure) {
  if (figure.fields.size() < 2) return {NAN, NAN};
  const auto at = row.find(figure.fields[1]);
  if (at == row.end() || !at->is_array() || at->size() != 2 || !(*at)[0].is_number() || !(*at)[1].is_number())
    return {NAN, NAN};
  return {(*at)[0].get<double>() * figure.scale, (*at)[1].get<double>() * figure.scale};
}

/// The smallest and the largest of finite numbers.
struct Extent {
  double low = INFINITY, high = -INFINITY;
  void add(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

std::string intervals(const BenchReport& report, const BenchFigure& figure, int id) {
  Extent extent;
  if (figure.mark) extent.add(*figure.mark);
  std::vector<ForestRow> rows;
  for (const OrderedJson& row : report.rows) {
    const double value = number(row, figure.fields[0]) * figure.scale;
    const auto ends = range(row, figure);
    for (const double v : {value, ends.first, ends.second}) extent.add(v);
    rows.push_back({.label = bench_row_name(report, row),
                    .dots = {{.value = value, .low = ends.first, .high = ends.second, .classes = "c0"}}});
  }
  std::vector<double> marks;
  if (figure.mark) marks.push_back(*figure.mark);
  return html_figure(figure.caption,
                     svg_forest(id, figure.caption, "A line per row; the same numbers are in the table.",
                                round_axis(figure.axis, extent.low, extent.high), rows, marks),
                     {{.classes = "c0", .label = figure.names.empty() ? "value" : figure.names.front(), .dot = true}},
                     "wide");
}

std::string lines(const BenchReport& report, const BenchFigure& figure, int id) {
  BenchReport named = report;  // names of lines leave out the key that runs along the axis
  named.keys.erase(std::remove(named.keys.begin(), named.keys.end(), figure.over), named.keys.end());
  std::vector<std::pair<std::string, std::vector<const OrderedJson*>>> groups;
  Extent x, y;
  y.add(0);
  for (const OrderedJson& row : report.rows) {
    if (!std::isfinite(number(row, figure.over)) || !std::isfinite(number(row, figure.fields[0]))) continue;
    const std::string name = bench_row_name(named, row);
    auto at = std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.first == name; });
    if (at == groups.end()) at = groups.insert(groups.end(), {name, {}});
    at->second.push_back(&row);
    x.add(number(row, figure.over));
    y.add(number(row, figure.fields[0]) * figure.scale);
    y.add(range(row, figure).second);
  }
  if (groups.empty()) return "";
  SvgPlot plot(id, figure.caption, "The same numbers are in the table.", round_axis(figure.over, x.low, x.high),
               round_axis(figure.axis, y.low, y.high), {.width = 480, .height = 300});
  std::vector<FigureLegend> legend;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    std::vector<PlotPoint> points;
    for (const OrderedJson* const row : groups[i].second) {
      points.push_back({number(*row, figure.over), number(*row, figure.fields[0]) * figure.scale});
      if (const auto ends = range(*row, figure); std::isfinite(ends.first))
        plot.bar(points.back().x, ends.first, ends.second, series(i));
    }
    std::sort(points.begin(), points.end(), [](const PlotPoint& a, const PlotPoint& b) { return a.x < b.x; });
    plot.line(points, series(i));
    plot.dots(points, 5, fmt::format("c{}", i % kColours));
    legend.push_back({.classes = series(i), .label = groups[i].first});
  }
  return html_figure(figure.caption, plot.finish(), legend);
}

std::string stacked(const BenchReport& report, const BenchFigure& figure, int id) {
  std::vector<StackedBar> bars;
  double most = 0;
  for (const OrderedJson& row : report.rows) {
    StackedBar bar{.label = bench_row_name(report, row), .parts = {}};
    double sum = 0;
    for (const std::string& field : figure.fields) {
      const double value = number(row, field) * figure.scale;
      bar.parts.push_back(std::isfinite(value) ? value : 0);
      sum += bar.parts.back();
    }
    most = std::max(most, sum);
    bars.push_back(std::move(bar));
  }
  std::vector<FigureLegend> legend;
  std::vector<std::string> classes;
  for (std::size_t i = 0; i < figure.fields.size(); ++i) {
    classes.push_back(fmt::format("c{}", i % kColours));
    legend.push_back({.classes = classes.back(), .label = figure.names[i], .dot = true});
  }
  return html_figure(figure.caption,
                     svg_stacked_bars(id, figure.caption, "A bar per row; the same numbers are in the table.",
                                      round_axis(figure.axis, 0, most), bars, classes),
                     legend, "wide");
}

std::string figures(const BenchReport& report) {
  std::string wide, narrow;
  int id = 0;
  for (const BenchFigure& figure : report.figures) {
    ++id;
    switch (figure.kind) {
      case BenchFigure::Kind::kIntervals: wide += intervals(report, figure, id); break;
      case BenchFigure::Kind::kLines: narrow += lines(report, figure, id); break;
      case BenchFigure::Kind::kStacked: wide += stacked(report, figure, id); break;
    }
  }
  return wide + (narrow.empty() ? "" : cat("<div class=\"two\">", narrow, "</div>\n"));
}

std::string facts(const BenchReport& report) {
  std::string out = "<dl>\n";
  for (const OrderedJson* const block : {&report.machine, &report.settings})
    for (const auto& entry : block->items()) {
      const OrderedJson& value = entry.value();
      put(out, "<dt>{}</dt><dd>{}</dd>\n", html_text(entry.key()),
          html_text(value.is_string() ? value.get<std::string>()
                                      : value.dump(-1, ' ', false, OrderedJson::error_handler_t::replace),
                    1500));
    }
  return out + "</dl>\n";
}

std::string table(const BenchReport& report) {
  std::vector<std::string> head;
  for (const BenchColumn& column : report.columns) head.push_back(column.title);
  HtmlTable out(head);
  for (const OrderedJson& row : report.rows) {
    std::vector<std::string> cells;
    for (const BenchColumn& column : report.columns) cells.push_back(html_text(bench_cell(row, column)));
    out.row(cells);
  }
  return out.finish();
}

std::string comparison(const BenchReport& report) {
  const BenchComparison& c = *report.comparison;
  std::string out = cat("<h2>Beside ", html_text(c.file, 200), "</h2>\n");
  if (!c.differences.empty()) out += "<ul>\n";
  for (const std::string& difference : c.differences) out += cat("<li>", html_text(difference, 600), "</li>\n");
  if (!c.differences.empty()) out += "</ul>\n";
  put(out, "<p class=\"note\">Ratios: now / then. {} rows are new, {} of the other file are not here.</p>\n",
      c.only_now, c.only_then);
  std::vector<std::string> head = report.keys;
  head.insert(head.end(), report.measures.begin(), report.measures.end());
  HtmlTable rows(head);
  for (const OrderedJson& row : c.rows) {
    std::vector<std::string> cells;
    for (const std::string& key : report.keys) cells.push_back(html_text(bench_cell(row, {.field = key, .title = {}})));
    for (const std::string& measure : report.measures)
      cells.push_back(bench_cell(row, {.field = measure + "_ratio", .title = {}, .places = 3}));
    rows.row(cells);
  }
  return out + rows.finish();
}

}  // namespace

std::string bench_html(const BenchReport& report) {
  std::string out =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n";
  put(out, "<title>kvgauge bench {}</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n", html_text(report.benchmark),
      kReportStyle);
  out += cat("<header><h1>", html_text(report.title), "</h1>\n", facts(report));
  if (!report.complete) out += "<p class=\"note\">Interrupted: rows are missing.</p>\n";
  out += "</header>\n<h2>Figures</h2>\n" + figures(report) + "<h2>All rows</h2>\n" + table(report);
  if (report.comparison) out += comparison(report);
  if (!report.notes.empty()) {
    out += "<h2>How this was measured</h2>\n<ul>\n";
    for (const std::string& note : report.notes) out += cat("<li>", html_text(note, 2000), "</li>\n");
    out += "</ul>\n";
  }
  put(out, "<footer>kvgauge {} (commit {}). This page stands alone: no script, nothing fetched.</footer>\n",
      html_text(build_info().version), html_text(build_info().commit));
  return out + "</main>\n</body>\n</html>\n";
}

}  // namespace kvgauge
