#include "report/evaluation_html.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/cat.h"
#include "reference/lcg.h"
#include "report/html_text.h"
#include "report/svg_plot.h"
#include "report/well_formed_html.h"

namespace kvgauge {
namespace {

using testing::Lcg;
using testing::WellFormed;

OrderedJson graded_row(Lcg& lcg, int index, const std::string& name) {
  const bool right = lcg.u53() < 0.6;
  OrderedJson row = {{"id", index}, {"correct", right}, {"finish_reason", lcg.u53() < 0.2 ? "length" : "stop"}};
  row["usage"] = {{"completion_tokens", static_cast<int>(20 + 100 * lcg.u53())}};
  row["scores"]["kv_coe"]["normalized"]["r"] = lcg.f24();
  row["scores"]["kv_coe"]["dr"] = {lcg.u53(), lcg.u53(), lcg.u53(), lcg.u53(), 2.5};
  row["scores"]["kv_coe"]["dtheta"] = {lcg.u53(), lcg.u53(), lcg.u53(), lcg.u53(), 1.5};
  row["scores"]["prob"]["nll"] = lcg.u53() + (right ? 0 : 1);
  row["scores"][name] = lcg.u53() < 0.1 ? OrderedJson() : OrderedJson(lcg.u53() * 1e6);
  for (int i = 0; i < 3; ++i)
    row["candidates"].push_back({{"correct", lcg.u53() < 0.5},
                                 {"predicted", cat(static_cast<int>(3 * lcg.u53()))},
                                 {"completion_tokens", 5 + i},
                                 {"scores", {{name, lcg.u53()}}}});
  return row;
}

struct Made {
  GradedRows rows;
  EvaluationReport report;
  std::string html;
};

Made made(int count, const std::string& name, const std::string& input = "graded.jsonl") {
  Made out;
  Lcg lcg(21);
  for (int i = 0; i < count; ++i) out.rows.add(graded_row(lcg, i, name), "f");
  out.rows.finish("f");
  out.report = {.evaluation = evaluate(out.rows.columns(), {.bootstrap = {.resamples = 50}}),
                .selection = out.rows.selection().result(out.rows.score_names(), {.resamples = 50}),
                .input = input,
                .input_sha256 = "abc"};
  out.html = evaluation_html(out.report, out.rows);
  return out;
}

TEST(EvaluationHtml, IsAWellFormedDocumentThatStandsAlone) {
  const Made m = made(120, "plain");
  const WellFormed check(m.html);
  EXPECT_EQ(check.fault(), "");
  for (const char* const tag : {"html", "title", "style", "main", "svg", "table", "figure"})
    EXPECT_GT(check.tags().count(tag), 0u) << tag;
  EXPECT_EQ(check.tags().count("script"), 0u);
  for (const char* const word : {"http:", "https:", "url(", "@import", "javascript"})
    EXPECT_EQ(m.html.find(word), std::string::npos) << word;
  EXPECT_NE(m.html.find("default-src 'none'"), std::string::npos);
  // Every figure names itself to those who cannot see it; swatches are hidden from them.
  std::size_t figures = 0, named = 0;
  for (std::size_t at = 0; (at = m.html.find("<svg ", at)) != std::string::npos; ++at) ++figures;
  for (std::size_t at = 0; (at = m.html.find("role=\"img\" aria-labelledby", at)) != std::string::npos; ++at) ++named;
  for (std::size_t at = 0; (at = m.html.find("aria-hidden=\"true\"", at)) != std::string::npos; ++at) ++named;
  EXPECT_EQ(figures, named);
}

TEST(EvaluationHtml, HasEverySection) {
  const Made m = made(120, "plain");
  for (const char* const text :
       {"ROC curves", "Values by label", "Risk over coverage", "Reliability", "Score over length",
        "AUROC of every score", "Two trajectories", "Angle from token to token", "Paired comparisons",
        "Selection among candidates", "majority", "oracle", "no manifest beside the input", "field correct", "SHA-256",
        "Complete rows only", "baseline neg_length"})
    EXPECT_NE(m.html.find(text), std::string::npos) << text;
}

TEST(EvaluationHtml, ShowsTheSettingsOfTheManifest) {
  Made m = made(20, "plain");
  m.report.manifest = parse_json(
      R"({"verb":"run","model":{"path":"models/<b>","hash":"0f"},"settings":{"max-tokens":7,"stop":["</dd>"]},"input":{"path":"q"},"kvgauge":{"version":"1","commit":"c"}})",
      "m");
  const std::string html = evaluation_html(m.report, m.rows);
  EXPECT_EQ(WellFormed(html).fault(), "");
  EXPECT_NE(html.find("max-tokens = 7"), std::string::npos);
  EXPECT_NE(html.find("models/&lt;b&gt; (0f)"), std::string::npos);
  for (const char* const odd : {"[]", "7", R"({"settings":[1],"model":"x","kvgauge":null})"}) {
    m.report.manifest = parse_json(odd, "m");
    EXPECT_EQ(WellFormed(evaluation_html(m.report, m.rows)).fault(), "") << odd;
  }
}

TEST(EvaluationHtml, TextOfTheInputIsNeverMarkup) {
  for (const std::string name : {"<script>alert(1)</script>", "a\"onload=\"x", "</style><img src=x>", "a&b'c",
                                 "]]>--><!--", "\xE2\x80\xAE mirrored", "tab\tand\x01", "\xC3\xA9t\xC3\xA9"}) {
    const Made m = made(60, name, "in<put>&.jsonl");
    const WellFormed check(m.html);
    EXPECT_EQ(check.fault(), "") << name;
    EXPECT_EQ(check.tags().count("script") + check.tags().count("img"), 0u) << name;
    EXPECT_NE(m.html.find(html_text(name, 34)), std::string::npos) << name;
  }
  const Made m = made(30, std::string(5000, 'w'));
  EXPECT_EQ(WellFormed(m.html).fault(), "");
}

TEST(EvaluationHtml, TablesThatHaveNothingToDraw) {
  GradedRows rows;
  rows.add(OrderedJson{{"correct", true}}, "f");
  rows.add(OrderedJson{{"correct", true}, {"scores", {{"s", 1e308}, {"t", nullptr}}}}, "f");
  rows.add(OrderedJson{{"correct", true}, {"scores", {{"s", -1e308}}}}, "f");
  rows.finish("f");
  const std::string html = evaluation_html({.evaluation = evaluate(rows.columns())}, rows);
  EXPECT_EQ(WellFormed(html).fault(), "");
  EXPECT_EQ(html.find("nan"), std::string::npos);
  EXPECT_EQ(html.find("inf"), std::string::npos);
}

TEST(EvaluationHtml, DependsOnNothingButTheInput) { EXPECT_EQ(made(80, "x").html, made(80, "x").html); }

TEST(RoundAxis, CoversTheRangeWithFewRoundTicks) {
  Lcg lcg(22);
  for (int i = 0; i < 2000; ++i) {
    const double scale = std::pow(10.0, 40 * lcg.f24());
    const double a = scale * lcg.f24(), b = a + scale * std::pow(10.0, -12 * lcg.u53()) * lcg.u53();
    const PlotAxis axis = round_axis("x", a, b);
    EXPECT_LE(axis.low, a + 1e-9 * std::abs(a));
    EXPECT_GE(axis.high, b - 1e-9 * std::abs(b));
    EXPECT_GE(axis.ticks.size(), 3u) << a << " " << b;
    EXPECT_LE(axis.ticks.size(), 8u) << a << " " << b;
    EXPECT_LT(axis.low, axis.high);
  }
  EXPECT_EQ(round_axis("x", 0, 0).ticks.size(), 5u);
  const PlotAxis of_nothing = round_axis("x", 1, 0), of_nan = round_axis("x", 0, std::nan(""));
  EXPECT_EQ(of_nothing.low, 0);
  EXPECT_EQ(of_nothing.high, 1);
  EXPECT_EQ(of_nothing.ticks, of_nan.ticks);
  const PlotAxis axis = round_axis("x", 0.13, 0.87);
  EXPECT_EQ(axis.ticks, (std::vector<double>{0, 0.2, 0.4, 0.6000000000000001, 0.8, 1}));
  EXPECT_EQ(tick_text(axis, axis.ticks[3]), "0.6");
  EXPECT_EQ(tick_text(round_axis("x", 0, 3000), 1500), "1500");
  EXPECT_EQ(tick_text(percent_axis("x"), 0.2), "20");
  for (const double huge : {1e300, -1e300}) EXPECT_TRUE(std::isfinite(round_axis("x", huge, 1e308).high));
}

}  // namespace
}  // namespace kvgauge
