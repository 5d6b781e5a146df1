#pragma once
#include <string>

#include "report/bench_report.h"

namespace kvgauge {

/// The report as a page that stands alone: machine, figures, tables. No script, nothing fetched.
std::string bench_html(const BenchReport& report);

}  // namespace kvgauge
