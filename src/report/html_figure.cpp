#include "report/html_figure.h"

#include <fmt/format.h>

#include "report/html_text.h"
#include "report/svg_plot.h"

namespace kvgauge {

std::string html_figure(std::string_view caption, const std::string& svg, const std::vector<FigureLegend>& legend,
                        std::string_view classes) {
  std::string out = fmt::format("<figure class=\"{}\"><figcaption>{}</figcaption>{}", classes, html_text(caption), svg);
  if (!legend.empty()) out += "<p class=\"legend\">";
  for (const FigureLegend& entry : legend)
    out += fmt::format("<span>{}{}</span> ", svg_swatch(entry.classes, entry.dot), html_text(entry.label, 60));
  return out + (legend.empty() ? "</figure>\n" : "</p></figure>\n");
}

}  // namespace kvgauge
