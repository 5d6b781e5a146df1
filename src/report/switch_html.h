#pragma once
#include <string>

#include "report/switch_report.h"

namespace kvgauge {

/// The report as one self-contained HTML document, as evaluation_html() makes them: the accuracy/token curve with
/// intervals, d by outcome, and the tables.
std::string switch_html(const SwitchReport& report);

}  // namespace kvgauge
