#include "report/html_table.h"

#include <fmt/format.h>

#include "report/html_text.h"

namespace kvgauge {

HtmlTable::HtmlTable(const std::vector<std::string>& head, std::size_t text_columns) : text_columns_(text_columns) {
  out_ = "<div class=\"scroll\"><table><thead><tr>";
  for (std::size_t i = 0; i < head.size(); ++i)
    out_ += fmt::format("<th scope=\"col\"{}>{}</th>", i < text_columns_ ? " class=\"left\"" : "", html_text(head[i]));
  out_ += "</tr></thead><tbody>\n";
}

void HtmlTable::row(const std::vector<std::string>& cells, std::string_view classes) {
  out_ += fmt::format("<tr class=\"{}\">", classes);
  for (std::size_t i = 0; i < cells.size(); ++i)
    out_ += fmt::format("<td{}>{}</td>",
                        i == 0              ? " class=\"name\""
                        : i < text_columns_ ? " class=\"left\""
                                            : "",
                        cells[i]);
  out_ += "</tr>\n";
}

}  // namespace kvgauge
