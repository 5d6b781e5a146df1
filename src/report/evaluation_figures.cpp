#include "report/evaluation_figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/cat.h"
#include "metrics/calibration.h"
#include "report/html_figure.h"
#include "report/html_text.h"
#include "report/report_text.h"
#include "report/svg_plot.h"

namespace kvgauge {
namespace {

constexpr const char* kRight = "c0 d0";
constexpr const char* kWrong = "c1 d1";
constexpr std::size_t kMostDots = 800;
constexpr int kHistogramBins = 24;

std::string signed_name(std::string_view name) { return cat(higher_is_better(name) ? "" : "-", name); }

double share(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

// Colours c0 to c5 and c7 in turn; c6 is the baseline's.
std::string series(std::string_view name, std::size_t i) {
  if (name == "neg_length") return "c6 d4";
  return fmt::format("c{0} d{0}", i % 7 == 6 ? 7 : i % 7);
}

std::vector<FigureLegend> legend_of(const std::vector<std::string>& scores) {
  std::vector<FigureLegend> legend;
  for (std::size_t i = 0; i < scores.size(); ++i)
    legend.push_back({.classes = series(scores[i], i), .label = signed_name(scores[i])});
  return legend;
}

const ScoreEvaluation* find_score(const Evaluation& evaluation, std::string_view name) {
  for (const auto* const list : {&evaluation.scores, &evaluation.baselines})
    for (const ScoreEvaluation& score : *list)
      if (score.name == name) return &score;
  return nullptr;
}

// The values as the file has them, for axes that show the score itself.
std::vector<double> unoriented(std::string_view name, std::vector<double> values) {
  if (!higher_is_better(name))
    for (double& value : values) value = -value;
  return values;
}

struct Range {
  double low = 0, high = 0;
  bool cut = false;  // values lie outside
};

// All finite values, or, when a few far ones would squeeze the rest, the middle 98 %.
Range range_of(const std::vector<double>& values) {
  std::vector<double> sorted;
  for (const double v : values)
    if (std::isfinite(v)) sorted.push_back(v);
  if (sorted.empty()) return {};
  std::sort(sorted.begin(), sorted.end());
  const auto at = [&](double share) {
    return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))];
  };
  const double inner = at(0.99) - at(0.01);
  if (inner > 0 && sorted.back() - sorted.front() > 4 * inner) return {.low = at(0.01), .high = at(0.99), .cut = true};
  return {.low = sorted.front(), .high = sorted.back()};
}

// METHOD.md A.3: the normalised variants are what a report of KV-CoE is about.
bool is_headline(std::string_view name) { return name == "kv_coe.normalized.r" || name == "kv_coe.normalized.c"; }

bool has_both_classes(const ScoreMetrics& metrics) {
  return metrics.ranking.positives > 0 && metrics.ranking.negatives > 0;
}

}  // namespace

struct EvaluationFigures::Ranked {
  RankedRows rows = {};
  std::vector<RocVertex> vertices = {};
};

EvaluationFigures::Ranked EvaluationFigures::ranked(std::string_view name) const {
  Ranked out{.rows = apply_nan_policy(oriented_column(columns_, name), columns_.correct, evaluation_.nan_policy)};
  out.vertices = roc_vertices(out.rows.scores, out.rows.correct);
  return out;
}

std::vector<std::string> EvaluationFigures::chosen(std::size_t most) const {
  std::vector<std::string> out;
  if (evaluation_.scores.size() <= most) {
    for (const ScoreEvaluation& score : evaluation_.scores) out.push_back(score.name);
    return out;
  }
  constexpr std::size_t kOfGroup = 2;
  std::map<std::string, std::vector<const ScoreEvaluation*>> groups;
  std::vector<const ScoreEvaluation*> best;
  for (const ScoreEvaluation& score : evaluation_.scores) {
    if (score.name.ends_with(".tokens") || !has_both_classes(score.all)) continue;
    if (is_headline(score.name)) {
      best.push_back(&score);
      continue;
    }
    auto& group = groups[score.name.substr(0, score.name.find('.'))];
    const bool copy = std::any_of(group.begin(), group.end(), [&](const ScoreEvaluation* other) {
      return other->all.ranking.auroc == score.all.ranking.auroc;
    });
    if (!copy) group.push_back(&score);
  }
  for (auto& entry : groups) {
    auto& group = entry.second;
    std::stable_sort(group.begin(), group.end(), [](const ScoreEvaluation* a, const ScoreEvaluation* b) {
      return a->all.ranking.auroc > b->all.ranking.auroc;
    });
    if (group.size() > kOfGroup) group.resize(kOfGroup);
    best.insert(best.end(), group.begin(), group.end());
  }
  std::sort(best.begin(), best.end());  // pointers into one vector: the order of the scores
  if (best.size() > most) best.resize(most);
  for (const ScoreEvaluation* const score : best) out.push_back(score->name);
  return out;
}

std::string EvaluationFigures::aurocs() {
  constexpr std::size_t kMostRows = 60;
  std::vector<ForestRow> rows;
  const bool truncated = evaluation_.truncated > 0;
  const auto add = [&](const ScoreEvaluation& score, const char* prefix) {
    ForestRow row{.label = cat(prefix, signed_name(score.name)), .dots = {}};
    const auto dot = [&](const ScoreMetrics& m, const char* classes) {
      row.dots.push_back(
          {.value = m.ranking.auroc, .low = m.auroc_ci95.low, .high = m.auroc_ci95.high, .classes = classes});
    };
    dot(score.all, "c0");
    if (truncated) dot(score.complete_only, "c1 hollow");
    rows.push_back(std::move(row));
  };
  for (const ScoreEvaluation& score : evaluation_.scores)
    if (rows.size() < kMostRows) add(score, "");
  for (const ScoreEvaluation& score : evaluation_.baselines) add(score, "baseline ");
  const ScoreEvaluation* const length = find_score(evaluation_, "neg_length");
  const std::vector<double> marks = {0.5, length ? length->all.ranking.auroc : kUndefined};
  PlotAxis axis = percent_axis("AUROC, %");
  axis.ticks = {0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1};
  std::vector<FigureLegend> legend = {{.classes = "c0", .label = "all rows, 95 % interval", .dot = true}};
  if (truncated) legend.push_back({.classes = "c1 hollow", .label = "complete rows only", .dot = true});
  legend.push_back({.classes = "mark m0", .label = "chance"});
  legend.push_back({.classes = "mark m1", .label = "baseline neg_length, all rows"});
  std::string caption = "AUROC of every score";
  if (evaluation_.scores.size() > kMostRows)
    caption += fmt::format(" (the first {} of {}; all are in the table)", kMostRows, evaluation_.scores.size());
  return html_figure(
      caption,
      svg_forest(++figures_, "AUROC of every score with its 95 % interval",
                 "One line per score; the same numbers are in the table of all rows.", axis, rows, marks),
      legend, "wide");
}

std::string EvaluationFigures::roc_panel(const std::vector<std::string>& scores, bool wide) {
  std::string description = "True positive rate over false positive rate.";
  for (const std::string& name : scores)
    if (const ScoreEvaluation* const score = find_score(evaluation_, name))
      description += cat(" ", signed_name(name), ": AUROC ", percent(score->all.ranking.auroc), " %.");
  SvgPlot plot(++figures_, "ROC curves", description, percent_axis("wrong accepted (FPR), %"),
               percent_axis("right accepted (TPR), %"), wide ? PlotSize{.width = 480, .height = 390} : PlotSize{});
  plot.line(std::vector<PlotPoint>{{0, 0}, {1, 1}}, "reference");
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const Ranked score = ranked(scores[i]);
    const RocVertex all = score.vertices.back();
    if (all.tp == 0 || all.fp == 0) continue;
    std::vector<PlotPoint> points;
    for (const RocVertex& v : score.vertices)
      points.push_back({static_cast<double>(v.fp) / static_cast<double>(all.fp),
                        static_cast<double>(v.tp) / static_cast<double>(all.tp)});
    plot.line(points, series(scores[i], i));
  }
  return plot.finish();
}

std::string EvaluationFigures::risk_panel(const std::vector<std::string>& scores, bool wide) {
  std::string description = "Share of wrong answers among the most certain ones, over the share that is kept.";
  for (const std::string& name : scores)
    if (const ScoreEvaluation* const score = find_score(evaluation_, name))
      description += cat(" ", signed_name(name), ": PRR ", percent(score->all.ranking.prr), " %.");
  double highest = 0;
  std::vector<std::vector<PlotPoint>> curves;
  for (const std::string& name : scores) {
    const std::vector<double> risk = risk_at_coverage(ranked(name).vertices);
    std::vector<PlotPoint> points;
    for (std::size_t k = 0; k < risk.size(); ++k) {
      points.push_back({static_cast<double>(k + 1) / static_cast<double>(risk.size()), risk[k]});
      highest = std::max(highest, risk[k]);
    }
    curves.push_back(std::move(points));
  }
  PlotAxis y = round_axis("wrong among the kept, %", 0, std::max(highest, 0.01) * 100);
  for (double& tick : y.ticks) tick /= 100;
  y.low /= 100;
  y.high /= 100;
  y.unit = 100;
  SvgPlot plot(++figures_, "Risk over coverage", description, percent_axis("most certain kept, %"), y,
               wide ? PlotSize{.width = 480, .height = 390} : PlotSize{});
  const double base = 1 - share(evaluation_.correct, evaluation_.rows);
  plot.line(std::vector<PlotPoint>{{0, base}, {1, base}}, "reference");
  for (std::size_t i = 0; i < curves.size(); ++i) plot.line(curves[i], series(scores[i], i));
  return plot.finish();
}

std::string EvaluationFigures::roc(const std::vector<std::string>& scores) {
  const std::vector<FigureLegend> legend = legend_of(scores);
  return cat("<div class=\"two\">", html_figure("ROC curves", roc_panel(scores, true), legend),
             html_figure("Risk over coverage", risk_panel(scores, true), legend), "</div>\n");
}

std::string EvaluationFigures::histogram_panel(const ScoreEvaluation& score) {
  const std::vector<double> values = unoriented(score.name, oriented_column(columns_, score.name));
  const Range range = range_of(values);
  const PlotAxis x =
      round_axis(cat(score.name, score.higher_is_better ? "" : " (lower = more certain)"), range.low, range.high);
  std::vector<double> bins[2] = {std::vector<double>(kHistogramBins), std::vector<double>(kHistogramBins)};
  double rows[2] = {0, 0};
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) continue;
    const double at = std::clamp((values[i] - x.low) / (x.high - x.low), 0.0, 1.0) * kHistogramBins;
    const int label = columns_.correct[i] ? 1 : 0;
    ++bins[label][std::min(static_cast<std::size_t>(at), bins[label].size() - 1)];
    ++rows[label];
  }
  double highest = 0;
  std::vector<PlotPoint> outlines[2];
  for (int label = 0; label < 2; ++label)
    for (int bin = 0; bin < kHistogramBins; ++bin) {
      const double share = rows[label] > 0 ? bins[label][static_cast<std::size_t>(bin)] / rows[label] : 0;
      const double left = x.low + (x.high - x.low) * bin / kHistogramBins;
      const double right = x.low + (x.high - x.low) * (bin + 1) / kHistogramBins;
      if (bin == 0) outlines[label].push_back({left, 0});
      outlines[label].push_back({left, share});
      outlines[label].push_back({right, share});
      if (bin + 1 == kHistogramBins) outlines[label].push_back({right, 0});
      highest = std::max(highest, share);
    }
  PlotAxis y = round_axis("share of the class, %", 0, std::max(highest, 0.01) * 100);
  for (PlotPoint& p : outlines[0]) p.y *= 100;
  for (PlotPoint& p : outlines[1]) p.y *= 100;
  SvgPlot plot(++figures_, cat("Histogram of ", score.name, " by label"),
               fmt::format("{:.0f} right and {:.0f} wrong answers with a finite value, each class adds up to 100 %.",
                           rows[1], rows[0]),
               x, y);
  plot.area(outlines[1], kRight);
  plot.area(outlines[0], kWrong);
  plot.line(outlines[1], kRight);
  plot.line(outlines[0], kWrong);
  return html_figure(range.cut ? "Values by label (far ones are in the outer bins)" : "Values by label", plot.finish(),
                     {{.classes = kRight, .label = fmt::format("right ({:.0f})", rows[1])},
                      {.classes = kWrong, .label = fmt::format("wrong ({:.0f})", rows[0])}});
}

std::string EvaluationFigures::reliability_panel(const ScoreEvaluation& score) {
  SvgPlot plot(++figures_, cat("Reliability of ", score.name),
               cat("Share of right answers over the probability that isotonic regression assigns, cross-fitted. ECE ",
                   percent(score.all.ece_isotonic), " %."),
               percent_axis("predicted P(right), %"), percent_axis("right answers, %"));
  plot.line(std::vector<PlotPoint>{{0, 0}, {1, 1}}, "reference");
  const Ranked rows = ranked(score.name);
  const auto add = [&](const std::vector<double>& probabilities, const char* classes, bool bars) {
    const std::vector<Reliability::Bin> bins = reliability(probabilities, rows.rows.correct).bins;
    std::int64_t most = 1;
    for (const Reliability::Bin& bin : bins) most = std::max(most, bin.n);
    for (const Reliability::Bin& bin : bins) {
      const PlotPoint point{bin.predicted, bin.correct};
      if (bars) plot.bar(bin.predicted, bin.ci95.low, bin.ci95.high, classes);
      plot.dots({&point, 1}, 3 + 8 * std::sqrt(share(bin.n, most)), classes);
    }
  };
  std::vector<FigureLegend> legend = {
      {.classes = "c0",
       .label = cat("after isotonic regression, 5 folds: ECE ", percent(score.all.ece_isotonic), " %"),
       .dot = true}};
  if (has_both_classes(score.all)) add(cross_fitted_probabilities(rows.rows.scores, rows.rows.correct), "c0", true);
  if (std::isfinite(score.all.ece)) {
    std::vector<double> claimed;
    for (const double value : unoriented(score.name, rows.rows.scores))
      claimed.push_back(claimed_probability(score.name, value));
    add(claimed, "c1", false);
    legend.push_back(
        {.classes = "c1", .label = cat("as the score claims: ECE ", percent(score.all.ece), " %"), .dot = true});
  }
  return html_figure("Reliability: 10 bins, area = rows", plot.finish(), legend);
}

std::string EvaluationFigures::length_panel(const ScoreEvaluation& score) {
  const std::vector<double> values = unoriented(score.name, oriented_column(columns_, score.name));
  std::vector<std::size_t> known;
  std::vector<double> lengths, shown;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (columns_.tokens[i] >= 0 && std::isfinite(values[i])) {
      known.push_back(i);
      lengths.push_back(static_cast<double>(columns_.tokens[i]));
      shown.push_back(values[i]);
    }
  const std::size_t step = known.size() / kMostDots + 1;
  std::vector<PlotPoint> points[2];
  for (std::size_t i = 0; i < known.size(); i += step)
    points[columns_.correct[known[i]] ? 1 : 0].push_back({lengths[i], shown[i]});
  const Range x = range_of(lengths), y = range_of(shown);
  const double correlation = score.all.length.spearman.xz;
  SvgPlot plot(
      ++figures_, cat(score.name, " over length"),
      fmt::format("One dot per answer, every {} of {}. Rank correlation of length with the oriented score: {}.", step,
                  known.size(), std::isnan(correlation) ? "undefined" : fmt::format("{:.3f}", correlation)),
      round_axis("sampled tokens", x.low, x.high), round_axis(score.name, y.low, y.high));
  plot.dots(points[1], 3.6, "c0 faint");
  plot.dots(points[0], 3.6, "c1 faint");
  return html_figure(
      step > 1 ? fmt::format("Score over length (one row in {})", step) : std::string("Score over length"),
      plot.finish(),
      {{.classes = "c0", .label = "right", .dot = true}, {.classes = "c1", .label = "wrong", .dot = true}});
}

std::string EvaluationFigures::score(const ScoreEvaluation& score) {
  return cat(histogram_panel(score), html_figure("ROC curve", roc_panel({score.name}, false), {}),
             html_figure("Risk over coverage", risk_panel({score.name}, false), {}), reliability_panel(score),
             length_panel(score));
}

std::string EvaluationFigures::trajectory_panel(const GradedRows& rows, bool angles) {
  double longest = 1, highest = 0;
  for (const bool correct : {true, false})
    if (const auto& example = rows.example(correct)) {
      longest = std::max(longest, static_cast<double>(example->dr.size()));
      for (const double v : angles ? example->dtheta : example->dr) highest = std::max(highest, v);
    }
  SvgPlot plot(++figures_, angles ? "Angles between consecutive tokens" : "Distances between consecutive tokens",
               "Steps of the KV trajectory of one right and one wrong answer, token by token.",
               round_axis("token of the span", 1, longest),
               round_axis(angles ? "angle, rad" : "distance, unit of the cache", 0, highest),
               {.width = 480, .height = 270});
  std::vector<FigureLegend> legend;
  for (const bool correct : {true, false})
    if (const auto& example = rows.example(correct)) {
      std::vector<PlotPoint> points;
      for (const double v : angles ? example->dtheta : example->dr)
        points.push_back({static_cast<double>(points.size() + 1), v});
      plot.line(points, cat(correct ? kRight : kWrong, " thin"));
      legend.push_back(
          {.classes = correct ? kRight : kWrong, .label = cat(correct ? "right" : "wrong", ", id ", example->id)});
    }
  return html_figure(angles ? "Angle from token to token" : "Distance from token to token", plot.finish(), legend);
}

std::string EvaluationFigures::trajectories(const GradedRows& rows) {
  if (!rows.example(true) && !rows.example(false)) return "";
  return cat("<div class=\"two\">", trajectory_panel(rows, false), trajectory_panel(rows, true), "</div>\n");
}

std::string EvaluationFigures::selection(const SelectionResult& selection) {
  constexpr std::size_t kMostRows = 60;
  std::vector<ForestRow> rows;
  double low = 1, high = 0, random = kUndefined, oracle = kUndefined;
  for (const SelectorResult& s : selection.selectors) {
    if (rows.size() >= kMostRows) break;
    if (!s.is_score && s.name == "random") random = s.accuracy;
    if (!s.is_score && s.name == "oracle") oracle = s.accuracy;
    low = std::min(low, s.ci95.low);
    high = std::max(high, s.ci95.high);
    rows.push_back(
        {.label = s.is_score ? signed_name(s.name) : s.name,
         .dots = {{.value = s.accuracy, .low = s.ci95.low, .high = s.ci95.high, .classes = s.is_score ? "c0" : "c2"}}});
  }
  PlotAxis axis = round_axis("accuracy, %", 100 * low, 100 * high);
  for (double& tick : axis.ticks) tick /= 100;
  axis.low = std::max(0.0, axis.low / 100);
  axis.high = std::min(1.0, axis.high / 100);
  axis.unit = 100;
  std::erase_if(axis.ticks, [&](double tick) { return tick < axis.low - 1e-9 || tick > axis.high + 1e-9; });
  return html_figure("Accuracy of the chosen answer",
                     svg_forest(++figures_, "Accuracy of each selector with its 95 % interval",
                                "One line per selector; the same numbers are in the table.", axis, rows,
                                std::vector<double>{random, oracle}),
                     {{.classes = "c2", .label = "rule", .dot = true},
                      {.classes = "c0", .label = "score", .dot = true},
                      {.classes = "mark m0", .label = "random"},
                      {.classes = "mark m1", .label = "oracle"}},
                     "wide");
}

}  // namespace kvgauge
