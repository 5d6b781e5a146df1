// Any bytes as graded rows: every report can be made of them, and the HTML one is a well-formed document without
// script.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "kvgauge/error.h"
#include "report/evaluation_html.h"
#include "report/input_row.h"
#include "report/well_formed_html.h"

using namespace kvgauge;

namespace {

void report(GradedRows& rows) {
  rows.finish("fuzz");
  const BootstrapOptions bootstrap{.resamples = 5};
  EvaluationReport report{.evaluation = evaluate(rows.columns(), {.bootstrap = bootstrap}),
                          .selection = rows.selection().result(rows.score_names(), bootstrap),
                          .input = "fuzz",
                          .failed = rows.failed(),
                          .first_error = rows.first_error()};
  for (const ScoreEvaluation& score : report.evaluation.scores) {
    const double auroc = score.all.ranking.auroc;
    if (auroc < 0 || auroc > 1) std::abort();
  }
  (void)evaluation_json(report).dump();
  (void)evaluation_markdown(report);
  (void)evaluation_csv(report);
  const std::string html = evaluation_html(report, rows);
  const testing::WellFormed check(html);
  if (!check.fault().empty() || check.tags().count("script") > 0) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  GradedRows rows;
  std::int64_t number = 0;
  try {
    while (!text.empty()) {
      const std::size_t end = std::min(text.find('\n'), text.size());
      const JsonlLine line{.index = number, .number = number + 1, .text = std::string(text.substr(0, end))};
      text.remove_prefix(std::min(end + 1, text.size()));
      ++number;
      try {
        rows.add(parse_row(line, "fuzz"), "fuzz");
      } catch (const FormatError&) {  // the command ends there; here the other lines are read as well
      } catch (const RequestError&) {
      }
    }
    if (rows.columns().scores.size() <= 40) report(rows);
  } catch (const InputError&) {  // no graded row
  }
  return 0;
}
