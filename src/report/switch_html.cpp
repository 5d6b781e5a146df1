#include "report/switch_html.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

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

constexpr int kHistogramBins = 30;

const Estimate& processed(const StrategyResult& r) { return r.tokens.of(TokenCounter::kProcessed); }
const Estimate& saved(const StrategyResult& r) { return r.reduction.of(TokenCounter::kProcessed); }

const ReportedStrategy* find_strategy(const SwitchReport& report, std::string_view name) {
  for (const ReportedStrategy& s : report.strategies)
    if (s.result.name == name) return &s;
  return nullptr;
}

/// How a strategy is drawn.
struct Look {
  const char* name;
  const char* classes;
};
constexpr std::array<Look, 7> kLooks = {{{"always-fast", "c5"},
                                         {"always-slow", "c7"},
                                         {"random", "c6"},
                                         {"oracle", "c4"},
                                         {"length-router", "c1"},
                                         {"one-step", "c0"},
                                         {"two-step", "c2"}}};

PlotPoint point(const StrategyResult& r) { return {processed(r).value, r.accuracy.value}; }

/// The plane of processed tokens and accuracy.
std::string pareto(const SwitchReport& report) {
  double low = 1, high = 0, most = 0;
  const auto widen = [&](const StrategyResult& r) {
    const Interval& ci = r.accuracy.ci95;
    low = std::min({low, r.accuracy.value, std::isfinite(ci.low) ? ci.low : low});
    high = std::max({high, r.accuracy.value, std::isfinite(ci.high) ? ci.high : high});
    most = std::max(most, processed(r).value);
  };
  for (const ReportedStrategy& s : report.strategies) widen(s.result);
  for (const auto* const sweep : {&report.sweep_one_step, &report.sweep_length, &report.sweep_two_step})
    for (const StrategyResult& r : *sweep) widen(r);
  PlotAxis y = round_axis("right, %", low, high);
  y.unit = 100;
  SvgPlot plot(1, "Accuracy over processed tokens",
               "One point per strategy with its 95 % interval; the same numbers are in the table of strategies.",
               round_axis("processed tokens per question", 0, most), y, {.width = 900, .height = 430});
  std::vector<FigureLegend> legend;
  const ReportedStrategy *fast = find_strategy(report, "always-fast"), *slow = find_strategy(report, "always-slow");
  if (fast && slow) {
    plot.line(std::vector<PlotPoint>{point(fast->result), point(slow->result)}, "reference");
    legend.push_back({.classes = "reference", .label = "random, any slow share"});
    if (std::isfinite(report.keep)) {
      const double kept = report.keep * slow->result.accuracy.value;
      plot.line(std::vector<PlotPoint>{{0, kept}, {1e9, kept}}, "c3 d2 thin");
      legend.push_back({.classes = "c3 d2 thin", .label = cat(percent(report.keep), " % of always-slow")});
    }
  }
  const auto curve = [&](const std::vector<StrategyResult>& sweep, const char* classes, const char* label) {
    if (sweep.empty()) return;
    std::vector<PlotPoint> points;
    for (const StrategyResult& r : sweep) points.push_back(point(r));
    plot.line(points, classes);
    legend.push_back({.classes = classes, .label = label});
  };
  curve(report.sweep_length, "c1 d1", "router on prompt length");
  curve(report.sweep_one_step, "c0 d0", "one-step, tau varied, with its interval");
  for (double Interval::*const end : {&Interval::low, &Interval::high}) {
    std::vector<PlotPoint> points;
    for (const StrategyResult& r : report.sweep_one_step) points.push_back({processed(r).value, r.accuracy.ci95.*end});
    plot.line(points, "c0 d2 thin faint");
  }
  if (!report.sweep_two_step.empty()) {
    std::vector<PlotPoint> points;
    for (const StrategyResult& r : report.sweep_two_step) points.push_back(point(r));
    plot.dots(points, 4.5, "c2 faint");
    legend.push_back({.classes = "c2", .label = "two-step, other settings", .dot = true});
  }
  for (const Look& look : kLooks)
    if (const ReportedStrategy* const s = find_strategy(report, look.name)) {
      plot.bar(processed(s->result).value, s->result.accuracy.ci95.low, s->result.accuracy.ci95.high, look.classes);
      plot.dots(std::vector<PlotPoint>{point(s->result)}, 8, look.classes);
      legend.push_back({.classes = look.classes, .label = look.name, .dot = true});
    }
  return html_figure("Accuracy over processed tokens, 95 % intervals", plot.finish(), legend, "wide");
}

/// d of the prompt by what fast and slow answers came to.
std::string by_outcome(const SwitchReport& report) {
  struct Outcome {
    const char *label, *classes;
    bool fast, slow;
  };
  static constexpr std::array<Outcome, 4> kOutcomes = {{{"both right", "c0 d0", true, true},
                                                        {"only slow right", "c1 d1", false, true},
                                                        {"only fast right", "c2 d3", true, false},
                                                        {"both wrong", "c3 d2", false, false}}};
  std::vector<double> all;
  for (const SwitchQuestion& q : report.questions)
    if (std::isfinite(q.difficulty)) all.push_back(q.difficulty);
  if (all.empty()) return "";
  const auto ends = std::minmax_element(all.begin(), all.end());
  const PlotAxis x = round_axis("d of the prompt", *ends.first, *ends.second);
  std::array<std::array<double, kHistogramBins>, kOutcomes.size()> counts = {};
  double highest = 0;
  for (const SwitchQuestion& q : report.questions) {
    if (!std::isfinite(q.difficulty)) continue;
    const double at = (q.difficulty - x.low) / (x.high - x.low) * kHistogramBins;
    const auto bin = static_cast<std::size_t>(std::clamp(at, 0.0, kHistogramBins - 1.0));
    for (std::size_t o = 0; o < kOutcomes.size(); ++o)
      if (q.fast.correct == kOutcomes[o].fast && q.slow.correct == kOutcomes[o].slow)
        highest = std::max(highest, ++counts[o][bin]);
  }
  SvgPlot plot(2, "Difficulty by outcome", "Questions in each of 30 bins of d, by which answers were right.", x,
               round_axis("questions", 0, highest), {.width = 900, .height = 300});
  std::vector<FigureLegend> legend;
  for (std::size_t o = 0; o < kOutcomes.size(); ++o) {
    std::vector<PlotPoint> steps;
    double sum = 0;
    for (int bin = 0; bin < kHistogramBins; ++bin) {
      const double count = counts[o][static_cast<std::size_t>(bin)];
      const double width = (x.high - x.low) / kHistogramBins;
      steps.push_back({x.low + width * bin, count});
      steps.push_back({x.low + width * (bin + 1), count});
      sum += count;
    }
    if (sum == 0) continue;
    plot.area(steps, kOutcomes[o].classes);
    plot.line(steps, kOutcomes[o].classes);
    legend.push_back({.classes = kOutcomes[o].classes, .label = fmt::format("{} ({:.0f})", kOutcomes[o].label, sum)});
  }
  return html_figure("Difficulty of the prompt by outcome", plot.finish(), legend, "wide");
}

std::string setting_cell(const OrderedJson& settings) { return html_text(settings_text(settings), 300); }

std::string strategies(const SwitchReport& report) {
  HtmlTable table({"strategy", "settings", "right, %", "95 % interval", "of always-slow, %", "slow, %", "processed",
                   "saved, %", "95 % interval", "p against random"},
                  2);
  for (const ReportedStrategy& s : report.strategies) {
    const StrategyResult& r = s.result;
    const bool ours = r.name == "one-step" || r.name == "two-step";
    table.row(
        {html_text(r.name), cat("<span class=\"set\">", setting_cell(r.settings), "</span>"), percent(r.accuracy.value),
         percent_range(r.accuracy.ci95), percent(r.kept.value), percent(r.slow_share), decimal(processed(r).value, 2),
         percent(saved(r).value), percent_range(saved(r).ci95), html_text(p_value(s.vs_random_p))},
        ours ? "" : "base");
  }
  return table.finish();
}

std::string counters(const SwitchReport& report) {
  HtmlTable table({"strategy", "sampled", "injected", "processed", "prompt", "paper", "post hoc", "probes", "switches",
                   "truncated, %", "ms"});
  for (const ReportedStrategy& s : report.strategies) {
    const StrategyResult& r = s.result;
    std::vector<std::string> cells = {html_text(r.name)};
    for (std::size_t c = 0; c < kTokenCounters; ++c) cells.push_back(decimal(r.tokens[c].value, 2));
    for (const double value : {r.probes, r.switches}) cells.push_back(decimal(value, 2));
    cells.push_back(percent(r.truncated));
    cells.push_back(decimal(r.wall_ms, 1));
    table.row(cells);
  }
  HtmlTable reductions({"saved, %", "sampled", "processed", "paper", "post hoc"});
  for (const ReportedStrategy& s : report.strategies) {
    std::vector<std::string> cells = {html_text(s.result.name)};
    for (const TokenCounter c :
         {TokenCounter::kSampled, TokenCounter::kProcessed, TokenCounter::kPaper, TokenCounter::kPosthocTrue}) {
      const Estimate& e = s.result.reduction.of(c);
      cells.push_back(cat(percent(e.value), " (", percent_range(e.ci95), ")"));
    }
    reductions.row(cells);
  }
  return table.finish() + reductions.finish();
}

std::string comparisons(const SwitchReport& report) {
  if (report.comparisons.empty()) return "";
  HtmlTable table(
      {"a", "b", "b made equal in", "right, points", "95 % interval", "p", "test", "processed", "95 % interval", "p"},
      3);
  for (const PairedDifference& c : report.comparisons)
    table.row({html_text(c.a), html_text(c.b), html_text(c.matched.empty() ? "-" : c.matched),
               percent(c.accuracy.value), percent_range(c.accuracy.ci95), html_text(p_value(c.accuracy_p)),
               html_text(c.accuracy_test), decimal(c.processed.value, 2),
               cat(decimal(c.processed.ci95.low, 2), " to ", decimal(c.processed.ci95.high, 2)),
               html_text(p_value(c.processed_p))});
  return "<h2>Paired comparisons, a - b</h2>\n" + table.finish();
}

std::string choices(const SwitchReport& report) {
  if (report.choices.empty()) return "";
  std::string out = fmt::format(
      "<h2>Choices on the validation questions</h2>\n<p>Of each, the cheapest that keeps {} % of always-slow's "
      "accuracy "
      "with a margin of {} points.</p>\n",
      percent(report.keep), percent(report.margin));
  HtmlTable table({"of", "settings", "right, %", "processed", "slow, %", "kept enough", "chosen"}, 2);
  for (const SwitchChoice& c : report.choices)
    table.row({html_text(c.of), cat("<span class=\"set\">", setting_cell(c.settings), "</span>"), percent(c.accuracy),
               decimal(c.processed, 2), percent(c.slow_share), c.met ? "yes" : "no", c.chosen ? "yes" : ""},
              c.chosen ? "" : "base");
  return out + table.finish();
}

std::string heads(const SwitchReport& report) {
  if (report.heads.empty()) return "";
  HtmlTable table({"head", "window", "AUROC of fast failing, %", "with length", "one-step right, %", "processed",
                   "saved, %", "two-step right, %", "processed", "saved, %"},
                  2);
  const auto with_range = [](const Estimate& e) { return cat(percent(e.value), " (", percent_range(e.ci95), ")"); };
  for (const ReportedHead& h : report.heads) {
    std::vector<std::string> cells = {cat("<span class=\"file\">", html_text(h.path, 120), "</span>"),
                                      cat("<span class=\"set\">", setting_cell(h.facts), "</span>"), percent(h.auroc),
                                      decimal(h.length_spearman, 3)};
    for (const StrategyResult* const r : {&h.one_step, h.two_step ? &*h.two_step : nullptr}) {
      cells.push_back(r ? with_range(r->accuracy) : "-");
      cells.push_back(r ? decimal(processed(*r).value, 2) : "-");
      cells.push_back(r ? with_range(saved(*r)) : "-");
    }
    table.row(cells);
  }
  return "<h2>Heads</h2>\n" + table.finish();
}

std::string sweep(const std::vector<StrategyResult>& results, const char* title) {
  if (results.empty()) return "";
  HtmlTable table({"settings", "slow, %", "right, %", "95 % interval", "of always-slow, %", "processed", "saved, %",
                   "95 % interval"});
  for (const StrategyResult& r : results)
    table.row({setting_cell(r.settings), percent(r.slow_share), percent(r.accuracy.value),
               percent_range(r.accuracy.ci95), percent(r.kept.value), decimal(processed(r).value, 2),
               percent(saved(r).value), percent_range(saved(r).ci95)});
  return cat("<h3>", title, "</h3>\n", table.finish());
}

std::string facts(const SwitchReport& report) {
  std::string out = "<dl>\n";
  const auto fact = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) put(out, "<dt>{}</dt><dd>{}</dd>\n", html_text(name), html_text(value, 1500));
  };
  fact("Questions", report.input.path);
  fact("SHA-256", report.input.sha256);
  if (report.validation)
    fact("Validation",
         cat(report.validation->path, " (", report.validation->sha256, "), ", report.validation->n, " questions",
             report.validation->also_in_input > 0
                 ? cat("; ", report.validation->also_in_input, " left out that the input has too")
                 : ""));
  for (const auto& entry : report.provenance.items()) {
    const OrderedJson& value = entry.value();
    fact(entry.key(), value.is_object()   ? settings_text(value)
                      : value.is_string() ? value.get<std::string>()
                                          : value.dump());
  }
  fact("Evaluated by", cat("kvgauge ", build_info().version, " (commit ", build_info().commit, "), ",
                           report.bootstrap.resamples, " resamples, seed ", report.bootstrap.seed));
  return out + "</dl>\n";
}

std::string tiles(const SwitchReport& report) {
  std::string out = "<div class=\"tiles\">";
  const auto tile = [&](const std::string& value, const std::string& name) {
    put(out, "<div class=\"tile\"><b>{}</b><span>{}</span></div>", html_text(value), html_text(name));
  };
  tile(cat(report.input.n),
       report.input.failed > 0 ? cat("questions, and ", report.input.failed, " that failed") : "questions");
  for (const char* const name : {"always-slow", "one-step", "two-step"})
    if (const ReportedStrategy* const s = find_strategy(report, name)) {
      const StrategyResult& r = s->result;
      tile(percent(r.accuracy.value) + " %", cat(name, ": right"));
      tile(name == std::string_view("always-slow") ? decimal(processed(r).value, 1) : percent(saved(r).value) + " %",
           name == std::string_view("always-slow") ? "always-slow: processed tokens" : cat(name, ": tokens saved"));
    }
  return out + "</div>\n";
}

constexpr const char* kMethods = R"(<h2>How to read this</h2>
<ul>
<li>Each question was answered fast (empty think block) and slowly; always-fast, always-slow, random, oracle, length-router and one-step choose
between these two answers. Two-step answers were generated online under the controller.</li>
<li>random: the expectation with one-step's slow share. oracle: fast where fast is right, else slow where slow is right, else fast.
length-router: slow above a prompt length, chosen as one-step's tau was.</li>
<li>processed = sampled + injected tokens, what decoding costs; paper: sampled tokens of the last segment only; post hoc: the whole first
response and what follows the first switch. Saved: against always-slow on the same counter.</li>
<li>Intervals: percentile bootstrap over the questions, the same resamples for every strategy. p against random: one-step and other routers by an
exact permutation test over all routings with as many slow answers; two-step by bootstrap against random routing at the same processed tokens.</li>
<li>Settings were chosen on validation questions only, where there were any.</li>
</ul>
)";

}  // namespace

std::string switch_html(const SwitchReport& report) {
  std::string out =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n";
  put(out,
      "<title>kvgauge fast and slow on "
      "{}</title>\n<style>{}td.name{{white-space:nowrap}}.set,.file{{white-space:normal;overflow-wrap:anywhere}}</"
      "style>\n</head>\n<body>\n<main>\n",
      html_text(report.input.path, 120), kReportStyle);
  out += "<header><h1>Thinking only where it pays</h1>\n" + facts(report) + tiles(report);
  if (report.input.failed > 0)
    put(out, "<p class=\"note\">First failure: <code>{}</code></p>\n", html_text(report.input.first_error));
  out += "</header>\n<h2>Accuracy and tokens</h2>\n" + pareto(report) + strategies(report);
  out += comparisons(report);
  out += "<h2>All counters</h2>\n" + counters(report);
  out += "<h2>Difficulty</h2>\n" + by_outcome(report);
  out += choices(report) + heads(report);
  if (!report.sweep_one_step.empty())
    out += "<h2>Sweeps</h2>\n" + sweep(report.sweep_one_step, "One-step over tau") +
           sweep(report.sweep_two_step, "Two-step settings") +
           sweep(report.sweep_length, "Router on prompt length, at the same slow shares");
  out += kMethods;
  put(out, "<footer>kvgauge {} (commit {}). This page stands alone: no script, nothing fetched.</footer>\n",
      html_text(build_info().version), html_text(build_info().commit));
  return out + "</main>\n</body>\n</html>\n";
}

}  // namespace kvgauge
