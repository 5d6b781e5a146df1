#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/check.h"
#include "kvgauge/error.h"
#include "report/bench_html.h"
#include "report/bench_report.h"

// Any JSON as the earlier report of --compare: rows found again with ratios that are numbers or null, or an error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kvgauge;
  BenchReport now;
  now.benchmark = "overhead";
  now.machine = {{"cpu", "A"}, {"threads", 4}};
  now.settings = {{"pairs", 40}};
  now.keys = {"phase", "batch"};
  now.measures = {"ratio", "off_tok_s"};
  now.rows.push_back({{"phase", "decode"}, {"batch", 1}, {"ratio", 1.02}, {"off_tok_s", 100.0}});
  now.rows.push_back({{"phase", "prefill"}, {"batch", 8}, {"ratio", 1.0}, {"off_tok_s", nullptr}});
  try {
    now.comparison = compare_bench(now, parse_json({reinterpret_cast<const char*>(data), size}, "fuzz"), "fuzz");
    for (const OrderedJson& row : now.comparison->rows)
      for (const std::string& measure : now.measures)
        KVGAUGE_CHECK(row.at(measure + "_ratio").is_null() || row.at(measure + "_ratio").is_number());
    KVGAUGE_CHECK(std::ssize(now.comparison->rows) + now.comparison->only_now == 2 && now.comparison->only_then >= 0);
    KVGAUGE_CHECK(!bench_json(now).empty() && !bench_markdown(now).empty() && !bench_html(now).empty());
  } catch (const Error&) {
  }
  return 0;
}
