#include "report/bench_report.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "kvgauge/error.h"
#include "report/bench_html.h"
#include "report/well_formed_html.h"

namespace kvgauge::testing {
namespace {

BenchReport report() {
  BenchReport r;
  r.benchmark = "overhead";
  r.title = "What <it> costs";
  r.machine = {{"cpu", "A, \"quoted\" & <one>"}, {"threads", 2}, {"date", "2026-01-01T00:00:00Z"}};
  r.settings = {{"pairs", 40}};
  r.keys = {"phase", "batch"};
  r.measures = {"ratio", "off_tok_s"};
  r.columns = {{.field = "phase", .title = "phase"},
               {.field = "batch", .title = "batch"},
               {.field = "ratio", .title = "on | off", .places = 3},
               {.field = "ratio_ci95", .title = "interval", .places = 2}};
  using Kind = BenchFigure::Kind;
  r.figures = {
      {.kind = Kind::kIntervals, .caption = "Ratios", .axis = "ratio", .fields = {"ratio", "ratio_ci95"}, .mark = 1},
      {.kind = Kind::kLines, .caption = "Rates", .axis = "tok/s", .fields = {"off_tok_s", "rates"}, .over = "batch"},
      {.kind = Kind::kStacked,
       .caption = "Parts",
       .axis = "GB",
       .fields = {"off_tok_s", "batch"},
       .names = {"a<b", "c"}}};
  r.notes = {"A & B."};
  for (const int batch : {1, 8})
    r.rows.push_back({{"phase", "decode"},
                      {"batch", batch},
                      {"ratio", 1.0 + batch / 100.0},
                      {"ratio_ci95", {0.99, 1.2}},
                      {"off_tok_s", 100.0 * batch}});
  r.rows.push_back(
      {{"phase", "prefill"}, {"batch", 1}, {"ratio", nullptr}, {"ratio_ci95", {nullptr, nullptr}}, {"note", "a,b"}});
  return r;
}

TEST(BenchReport, JsonHoldsTheRowsAsTheyAre) {
  const BenchReport r = report();
  const OrderedJson json = OrderedJson::parse(bench_json(r));
  EXPECT_EQ(json["benchmark"], "overhead");
  EXPECT_EQ(json["complete"], true);
  EXPECT_EQ(json["machine"]["threads"], 2);
  ASSERT_EQ(json["rows"].size(), 3u);
  EXPECT_EQ(json["rows"][1], r.rows[1]);
  const std::string lines = bench_jsonl(r);
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 3);
  const OrderedJson first = OrderedJson::parse(lines.substr(0, lines.find('\n')));
  EXPECT_EQ(first["machine"]["threads"], 2);
  EXPECT_EQ(first["ratio"], 1.01);
}

TEST(BenchReport, CsvQuotesWhatNeedsIt) {
  EXPECT_EQ(bench_csv(report()),
            "benchmark,phase,batch,ratio,ratio_ci95,off_tok_s,note,machine_cpu,machine_threads,machine_date\n"
            "overhead,decode,1,1.01,\"[0.99,1.2]\",100.0,,\"A, \"\"quoted\"\" & <one>\",2,2026-01-01T00:00:00Z\n"
            "overhead,decode,8,1.08,\"[0.99,1.2]\",800.0,,\"A, \"\"quoted\"\" & <one>\",2,2026-01-01T00:00:00Z\n"
            "overhead,prefill,1,,\"[null,null]\",,\"a,b\",\"A, \"\"quoted\"\" & <one>\",2,2026-01-01T00:00:00Z\n");
}

TEST(BenchReport, MarkdownShowsColumnsAndNoNumbersThatAreNone) {
  const std::string text = bench_markdown(report());
  EXPECT_NE(text.find("| decode | 8 | 1.080 | 0.99 to 1.20 |\n"), std::string::npos) << text;
  EXPECT_NE(text.find("| prefill | 1 | - | - |\n"), std::string::npos) << text;
  EXPECT_NE(text.find("on \\| off"), std::string::npos) << text;
  BenchReport cut = report();
  cut.complete = false;
  EXPECT_NE(bench_markdown(cut).find("Interrupted"), std::string::npos);
}

TEST(BenchReport, NamesLeaveOutWhatAllRowsShare) {
  BenchReport r = report();
  EXPECT_EQ(bench_row_name(r, r.rows[1]), "decode, batch 8");
  r.rows.pop_back();
  EXPECT_EQ(bench_row_name(r, r.rows[1]), "batch 8");
  r.rows.pop_back();
  EXPECT_EQ(bench_row_name(r, r.rows[0]), "overhead");
}

TEST(BenchReport, HtmlIsATreeWithFigures) {
  for (const bool compared : {false, true}) {
    BenchReport r = report();
    if (compared) r.comparison = compare_bench(r, parse_json(bench_json(report()), "old"), "old<.json");
    const std::string html = bench_html(r);
    const WellFormed page(html);
    EXPECT_EQ(page.fault(), "");
    EXPECT_EQ(page.tags().count("figure"), 3u);
    EXPECT_GT(page.tags().count("rect"), 3u);
    EXPECT_EQ(page.tags().count("script"), 0u);
    EXPECT_EQ(page.tags().count("table"), compared ? 2u : 1u);
  }
  BenchReport empty = report();
  empty.rows.clear();
  EXPECT_EQ(WellFormed(bench_html(empty)).fault(), "");
  EXPECT_EQ(OrderedJson::parse(bench_json(empty))["rows"], OrderedJson::array());
}

TEST(BenchReport, ComparesRowsOfTheSameKeys) {
  BenchReport now = report();
  now.machine["threads"] = 4;
  now.rows[0]["ratio"] = 2.02;
  now.rows.push_back({{"phase", "score"}, {"batch", 1}, {"ratio", 1.0}});
  Json then = parse_json(bench_json(report()), "old");
  then["rows"].erase(1);
  then["rows"].push_back({{"phase", "decode"}, {"batch", 64}, {"ratio", 1}});
  const BenchComparison c = compare_bench(now, then, "old.json");
  EXPECT_EQ(c.differences, std::vector<std::string>({"threads: 2 then, 4 now"}));
  EXPECT_EQ(c.only_now, 2);
  EXPECT_EQ(c.only_then, 1);
  ASSERT_EQ(c.rows.size(), 2u);
  EXPECT_EQ(c.rows[0]["ratio_ratio"], 2);
  EXPECT_EQ(c.rows[0]["off_tok_s_ratio"], 1);
  EXPECT_EQ(c.rows[1]["phase"], "prefill");
  EXPECT_TRUE(c.rows[1]["ratio_ratio"].is_null());
  EXPECT_NE(bench_markdown([&] {
              now.comparison = c;
              return now;
            }())
                .find("| decode | 1 | 2.000 | 1.000 |"),
            std::string::npos);
}

TEST(BenchReport, RefusesWhatIsNoReportOfTheBenchmark) {
  for (const char* const text :
       {"[]", "1", "{}", R"({"benchmark":3})", R"({"benchmark":"latency","rows":[]})", R"({"benchmark":"overhead"})",
        R"({"benchmark":"overhead","rows":{}})", R"({"benchmark":"overhead","rows":[1]})"})
    EXPECT_THROW(compare_bench(report(), parse_json(text, "x"), "x"), FormatError) << text;
  // Fields of the wrong kind are passed over.
  const Json odd = parse_json(
      R"({"benchmark":"overhead","machine":[],"settings":"s","rows":[{"phase":"decode","batch":1,"ratio":"x","off_tok_s":0}]})",
      "x");
  const BenchComparison c = compare_bench(report(), odd, "x");
  ASSERT_EQ(c.rows.size(), 1u);
  EXPECT_TRUE(c.rows[0]["ratio_ratio"].is_null());
  EXPECT_TRUE(c.rows[0]["off_tok_s_ratio"].is_null());
}

}  // namespace
}  // namespace kvgauge::testing
