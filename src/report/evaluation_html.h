#pragma once
#include <string>

#include "report/evaluation_report.h"
#include "report/graded_rows.h"

namespace kvgauge {

/// The report as one self-contained HTML document: style and figures inline, no script, nothing fetched (its content
/// security policy forbids both). For screens, light and dark, and for A4 paper. All text of the input is escaped.
/// @param rows those that `report` was made from
std::string evaluation_html(const EvaluationReport& report, const GradedRows& rows);

}  // namespace kvgauge
